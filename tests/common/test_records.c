#include "records.h"

#include "arena.h"
#include "mem.h"
#include "test.h"

#include <string.h>

#define KIM "01890000-0000-7000-8000-00000000000a"
#define LEE "01890000-0000-7000-8000-00000000000b"

enum { MOST = 4 };

static struct kafka_record records[MOST];

/* A batch of these payloads; NULL: a tombstone. */
static struct kafka_batch batch_of(const char *const *payloads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        records[i] = (struct kafka_record){.offset = (int64_t)i,
                                           .payload = payloads[i] ? view_of(payloads[i]) : (struct view){0}};
    return (struct kafka_batch){.topic = "t", .records = records, .count = count};
}

TEST(accounts_are_read_whatever_stands_beside_and_a_tombstone_is_an_empty_item, "P-45")
{
    const char *const payloads[] = {
        "{\"v\":1,\"kind\":\"account\",\"user_id\":\"" KIM
        "\",\"nickname\":\"kim\",\"phone\":null,\"email_verified\":true,"
        "\"withdrawn\":false,\"version\":3,\"of_tomorrow\":{\"a\":[1]}}",
        NULL,
        "{\"user_id\":\"" LEE "\",\"withdrawn\":true,\"version\":9}",
    };
    const struct kafka_batch batch = batch_of(payloads, 3);
    struct err err = {0};
    AUTO(arena) arena = arena_open(1 << 20);
    const struct account_copy *copies = accounts_decode(arena, &batch, &err);
    REQUIRE_OK(copies != NULL, &err);
    EXPECT(strcmp(copies[0].user_id, KIM) == 0 && strcmp(copies[0].nickname, "kim") == 0);
    EXPECT(copies[0].phone == NULL && copies[0].email == NULL && copies[0].email_verified);
    EXPECT_I64(3, copies[0].version);
    EXPECT(copies[1].user_id == NULL);
    EXPECT(copies[2].withdrawn && strcmp(copies[2].user_id, LEE) == 0);
}

TEST(the_newest_of_a_batch_stands_for_its_account, "P-45")
{
    const struct account_copy copies[] = {{.user_id = KIM, .version = 2},
                                          {0},
                                          {.user_id = KIM, .version = 5},
                                          {.user_id = LEE, .version = 1},
                                          {.user_id = KIM, .version = 5}};
    const bool superseded[] = {true, false, true, false, false}; /* of two alike the last */
    for (size_t i = 0; i < 5; i++)
        if (copies[i].user_id)
            EXPECT(account_is_superseded(copies, 5, i) == superseded[i]);
}

TEST(what_is_no_relation_or_end_of_a_session_is_refused, "P-45")
{
    static const struct {
        const char *payload;
        bool good;
    } relations[] = {
        {"{\"a\":\"" KIM "\",\"b\":\"" LEE "\",\"friend\":true,\"blocked_by\":[],\"version\":1}", true},
        {"{\"a\":\"" LEE "\",\"b\":\"" KIM "\",\"friend\":true,\"blocked_by\":[],\"version\":1}", false}, /* a < b */
        {"{\"a\":\"" KIM "\",\"b\":\"" KIM "\",\"friend\":true,\"blocked_by\":[],\"version\":1}", false},
        {"{\"a\":\"" KIM "\",\"b\":\"x\",\"friend\":true,\"version\":1}", false},
        {"{\"a\":\"" KIM "\",\"b\":\"" LEE "\",\"version\":1}", false},
        {"{\"a\":\"" KIM "\",\"b\":\"" LEE "\",\"friend\":true,\"blocked_by\":[\"a\"],\"version\":1}", false},
    };
    for (size_t i = 0; i < sizeof relations / sizeof *relations; i++) {
        const struct kafka_batch batch = batch_of(&relations[i].payload, 1);
        struct err err = {0};
        AUTO(arena) arena = arena_open(1 << 20);
        EXPECT((relations_decode(arena, &batch, &err) != NULL) == relations[i].good);
        EXPECT(err_is(&err, &ERR_BAD_INPUT) == !relations[i].good);
    }
    const char *const ends[] = {"{\"user_id\":\"" KIM "\",\"sid\":\"" LEE "\",\"reason\":\"logout\"}",
                                "{\"user_id\":\"" KIM "\"}"};
    for (size_t i = 0; i < 2; i++) {
        const struct kafka_batch batch = batch_of(&ends[i], 1);
        struct err err = {0};
        AUTO(arena) arena = arena_open(1 << 20);
        EXPECT((session_ends_decode(arena, &batch, &err) != NULL) == (i == 0));
    }
}

TEST(friends_are_those_whom_no_block_parts, "P-19")
{
    const struct relation_copy friends = {.friend = true}, strangers = {.friend = false},
                               blocked = {.friend = true, .blocked_by = {.count = 1}};
    EXPECT(relation_is_friendly(&friends) && !relation_is_friendly(&strangers) && !relation_is_friendly(&blocked));
}
