/* Ended sessions and least role versions: nothing is forgotten too early, nothing is kept for ever. */
#include "clock.h"
#include "mem.h"
#include "test.h"
#include "token.h"

#include <stdlib.h>

static struct uuid numbered(uint64_t number)
{
    struct uuid id = {{0}};
    memcpy(id.bytes + 8, &number, sizeof number);
    return id;
}

TEST(sessions_and_role_versions_are_found_again, "P-05 P-06")
{
    enum { MANY = 20000 };
    AUTO(revoked) revoked = revoked_open();
    int64_t until_ms = clock_now_ms() + 300000;
    EXPECT_I64(0, revoked_count(revoked));
    for (uint64_t i = 0; i < MANY; i++) {
        struct uuid id = numbered(2 * i);
        revoked_add_session(revoked, &id, until_ms);
        revoked_add_user(revoked, &id, (int64_t)i + 1, until_ms);
    }
    EXPECT_I64(2 * MANY, revoked_count(revoked));
    for (uint64_t i = 0; i < MANY; i++) {
        struct uuid in = numbered(2 * i), out = numbered(2 * i + 1);
        if (!EXPECT(revoked_session(revoked, &in)) || !EXPECT(!revoked_session(revoked, &out)) ||
            !EXPECT_I64(i + 1, revoked_least_role_version(revoked, &in)) ||
            !EXPECT_I64(0, revoked_least_role_version(revoked, &out)))
            return;
    }
}

TEST(a_repeated_entry_counts_once_and_never_goes_back, "P-05")
{
    AUTO(revoked) revoked = revoked_open();
    struct uuid id = numbered(1);
    int64_t now_ms = clock_now_ms();
    revoked_add_user(revoked, &id, 5, now_ms + 300000);
    revoked_add_user(revoked, &id, 4, now_ms + 100000);
    EXPECT_I64(5, revoked_least_role_version(revoked, &id));
    revoked_add_user(revoked, &id, 6, now_ms + 100000);
    EXPECT_I64(6, revoked_least_role_version(revoked, &id));
    EXPECT_I64(1, revoked_count(revoked));
}

TEST(expired_entries_make_room, "I9 P-05")
{
    AUTO(revoked) revoked = revoked_open();
    int64_t shifted = 0;
    uint64_t next = 0;
    for (int minute = 0; minute < 20; minute++) { /* 1,000 endings a minute, kept five minutes each */
        for (int i = 0; i < 1000; i++) {
            struct uuid id = numbered(next++);
            revoked_add_session(revoked, &id, clock_now_ms() + 300000);
        }
        struct uuid newest = numbered(next - 1), four_minutes_old = numbered(next > 4500 ? next - 4500 : 0);
        EXPECT(revoked_session(revoked, &newest));
        EXPECT(revoked_session(revoked, &four_minutes_old));
        EXPECT(revoked_count(revoked) <= 7000);
        clock_shift_ms(61000);
        shifted += 61000;
    }
    struct uuid first = numbered(0);
    EXPECT(!revoked_session(revoked, &first));
    clock_shift_ms(300000);
    shifted += 300000;
    struct uuid last = numbered(next);
    revoked_add_session(revoked, &last, clock_now_ms() + 300000);
    EXPECT_I64(1, revoked_count(revoked));
    clock_shift_ms(-shifted);
}

TEST(an_entry_that_is_over_already_is_not_kept, "P-05")
{
    AUTO(revoked) revoked = revoked_open();
    struct uuid id = numbered(1);
    revoked_add_session(revoked, &id, clock_now_ms() - 1);
    EXPECT(!revoked_session(revoked, &id));
    EXPECT_I64(0, revoked_count(revoked));
}
