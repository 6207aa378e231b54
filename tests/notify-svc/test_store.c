/* test_store.c - inboxes, deliveries, sessions of streams and settings on the real PostgreSQL, in a schema of its own.
 */
#include "test_store.h"
#include "clock.h"
#include "events.h"
#include "migrate.h"
#include "store.h"

#include <pthread.h>
#include <stdatomic.h>

extern const struct migration NOTIFY_MIGRATIONS[];

static struct pg_pool *database(void)
{
    static struct pg_pool *pool;
    if (!pool) {
        struct err err = {0};
        pool = test_pool("notify", 24);
        if (!migrate_up(pool, NOTIFY_MIGRATIONS, &err) ||
            !migrate_up(pool, NOTIFY_MIGRATIONS, &err)) { /* twice is once */
            printf("migrate: %s %s\n", err.message, err.detail);
            exit(1);
        }
    }
    return pool;
}

static struct arena *arena(void)
{
    static struct arena *one;
    if (!one)
        one = arena_open(256 * 1024 * 1024);
    return one;
}

static const char *new_id(void)
{
    char id[UUID_TEXT_BYTES];
    uuid_new(id);
    return arena_text(arena(), id);
}

/* ---- requests by batches, as the worker has them ---- */

static _Atomic int64_t next_offset;

static struct notice_request request_to(const char *const *users, size_t count, const char *dedupe_id)
{
    struct notice_request request = {.kind = kind_find("friend_accepted"),
                                     .users = {(const char **)users, count},
                                     .args = {.items = {{"from.id", "x"}, {"from.nickname", "kim"}}, .count = 2},
                                     .args_json = "{\"from\":{\"id\":\"x\",\"nickname\":\"kim\"}}",
                                     .dedupe_id = dedupe_id,
                                     .at_ms = clock_now_ms()};
    return request;
}

static bool apply_at(struct arena *memory, const struct notice_request *requests, size_t count, int partition,
                     int64_t offset, struct apply_work *work, struct err *err)
{
    static const struct slack_config NO_SLACK = {.channel_general = "", .channel_errors = "", .channel_inquiries = ""};
    struct kafka_record *records = arena_alloc(memory, count * sizeof *records);
    struct kafka_batch *batch = ARENA_NEW(memory, kafka_batch);
    for (size_t i = 0; i < count; i++)
        records[i].offset = offset + (int64_t)i;
    *batch =
        (struct kafka_batch){.topic = "notify.requests", .partition = partition, .records = records, .count = count};
    *work = (struct apply_work){.arena = memory, .batch = batch, .requests = requests, .slack = &NO_SLACK};
    return store_apply_requests(database(), work, err);
}

static struct apply_work apply(const struct notice_request *requests, size_t count)
{
    struct apply_work work;
    struct err err = {0};
    const int64_t offset = atomic_fetch_add(&next_offset, (int64_t)count);
    test_check(apply_at(arena(), requests, count, 0, offset, &work, &err), __FILE__, __LINE__, "apply: %s %s",
               err.message, err.detail);
    return work;
}

static int64_t tell(const char *user, const char *dedupe_id)
{
    const struct notice_request request = request_to(&user, 1, dedupe_id);
    return apply(&request, 1).stored;
}

static int64_t count_sql(const char *sql, const char *user)
{
    return atoll(test_sql("SELECT count(*) FROM %s '%s'", sql, user));
}

/* ---- the inbox ---- */

TEST(a_notice_is_stored_once_whatever_comes_again, "K-45 M-54")
{
    const char *kim = new_id();
    struct notice_request twice[3];
    for (int i = 0; i < 3; i++)
        twice[i] = request_to(&kim, 1, i == 1 ? "b" : "a");
    struct apply_work work = apply(twice, 3);
    EXPECT_I64(2, work.stored);
    EXPECT_I64(1, work.woken.count);
    EXPECT_TEXT(kim, work.woken.items[0]);
    work = apply(twice, 3);
    EXPECT_I64(0, work.stored);
    EXPECT_I64(0, work.woken.count);
    EXPECT_I64(1, tell(kim, "c"));
    EXPECT_TEXT(
        "1a 2b 3c",
        test_sql("SELECT string_agg(seq || dedupe_id, ' ' ORDER BY seq) FROM notices WHERE user_id = '%s'", kim));
    EXPECT_I64(3, count_sql("outbox WHERE topic = 'push.requests' AND key =", kim)); /* a push each, and no more */
    EXPECT_I64(3, count_sql("deliveries WHERE channel = 'push' AND state = 'sent' AND target =", kim));
}

TEST(a_batch_that_comes_again_is_skipped_by_its_offset, "K-45")
{
    const char *kim = new_id();
    struct err err = {0};
    struct apply_work work;
    struct notice_request request = request_to(&kim, 1, "a");
    REQUIRE_OK(apply_at(arena(), &request, 1, 7, 41, &work, &err), &err);
    EXPECT_I64(1, work.stored);
    request.dedupe_id = "b"; /* other bytes at an old place: never read again */
    REQUIRE_OK(apply_at(arena(), &request, 1, 7, 41, &work, &err), &err);
    EXPECT_I64(0, work.stored);
    struct notice_request both[2] = {request_to(&kim, 1, "c"), request_to(&kim, 1, "d")};
    REQUIRE_OK(apply_at(arena(), both, 2, 7, 41, &work, &err), &err); /* half of it is new */
    EXPECT_TEXT("ad", test_sql("SELECT string_agg(dedupe_id, '' ORDER BY seq) FROM notices WHERE user_id = '%s'", kim));
}

enum { CROWD = 6, THREADS = 4, ROUNDS = 25 };
static const char *crowd[CROWD];

static void *tell_crowd(void *payload)
{
    const int me = (int)(intptr_t)payload;
    for (int round = 0; round < ROUNDS; round++) {
        AUTO(arena) memory = arena_open(16 * 1024 * 1024);
        const char *users[CROWD];
        for (int i = 0; i < CROWD; i++) /* each thread in another order */
            users[i] = crowd[(i * (me % 2 ? 1 : CROWD - 1) + me) % CROWD];
        /* Half of what they tell is the same. */
        const char *dedupe = arena_printf(memory, round % 2 ? "both%d" : "own%d.%d", round, me);
        struct notice_request request = request_to(users, CROWD, dedupe);
        struct apply_work work;
        struct err err = {0};
        test_check(apply_at(memory, &request, 1, 20 + me, round, &work, &err), __FILE__, __LINE__, "%s %s", err.message,
                   err.detail);
    }
    return NULL;
}

TEST(instances_that_write_to_the_same_inboxes_leave_no_hole_and_no_double, "K-44 K-45")
{
    pthread_t threads[THREADS];
    (void)database();
    for (int i = 0; i < CROWD; i++)
        crowd[i] = new_id();
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, tell_crowd, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    const int64_t each = ROUNDS / 2 + (ROUNDS - ROUNDS / 2) * THREADS;
    for (int i = 0; i < CROWD; i++) {
        EXPECT_I64(each, atoll(test_sql("SELECT last_seq FROM inboxes WHERE user_id = '%s'", crowd[i])));
        EXPECT_I64(each, atoll(test_sql(
                             "SELECT count(DISTINCT seq) FROM notices WHERE user_id = '%s' AND seq BETWEEN 1 AND %lld",
                             crowd[i], (long long)each)));
        EXPECT_I64(each, count_sql("outbox WHERE topic = 'push.requests' AND key =", crowd[i]));
    }
}

TEST(read_marks_move_forward_and_count, "K-42 M-54")
{
    const char *kim = new_id(), *lee = new_id();
    struct err err = {0};
    struct notice_page page;
    int64_t unread;
    bool changed;
    for (int i = 0; i < 6; i++)
        (void)tell(kim, arena_printf(arena(), "n%d", i));
    REQUIRE_OK(store_list(database(), arena(), kim, false, 0, 4, &page, &err), &err);
    EXPECT(page.more && page.count == 4 && page.items[0].seq == 6 && page.items[3].seq == 3);
    const char *ids[] = {page.items[0].id, new_id()};
    struct read_wish by_ids = {.ids = {ids, 2}, .ids_seen = true}, up_to = {.up_to = 3, .up_to_seen = true};
    REQUIRE_OK(store_mark_read(database(), lee, &by_ids, &unread, &changed, &err), &err);
    EXPECT(unread == 0 && !changed); /* not hers */
    REQUIRE_OK(store_mark_read(database(), kim, &by_ids, &unread, &changed, &err), &err);
    EXPECT(unread == 5 && changed);
    REQUIRE_OK(store_mark_read(database(), kim, &by_ids, &unread, &changed, &err), &err);
    EXPECT(unread == 5 && !changed);
    REQUIRE_OK(store_mark_read(database(), kim, &up_to, &unread, &changed, &err), &err);
    EXPECT(unread == 2 && changed);
    up_to.up_to = 1;
    REQUIRE_OK(store_mark_read(database(), kim, &up_to, &unread, &changed, &err), &err);
    EXPECT(unread == 2 && !changed);
    up_to.up_to = INT64_MAX;
    REQUIRE_OK(store_mark_read(database(), kim, &up_to, &unread, &changed, &err), &err);
    EXPECT(unread == 0 && changed);
    EXPECT_TEXT(
        "6 6 3",
        test_sql("SELECT last_seq || ' ' || read_up_to || ' ' || read_rev FROM inboxes WHERE user_id = '%s'", kim));
}

TEST(streams_ask_for_many_users_at_once, "K-43 K-44")
{
    const char *ids[3] = {new_id(), new_id(), new_id()};
    struct err err = {0};
    for (int i = 0; i < 5; i++)
        (void)tell(ids[0], arena_printf(arena(), "n%d", i));
    (void)tell(ids[2], "x");
    struct read_wish wish = {.up_to = 2, .up_to_seen = true};
    int64_t unread;
    bool changed;
    REQUIRE_OK(store_mark_read(database(), ids[0], &wish, &unread, &changed, &err), &err);
    struct head heads[3];
    int64_t counts[3];
    REQUIRE_OK(store_heads(database(), arena(), ids, 3, heads, &err), &err);
    EXPECT(heads[0].last_seq == 5 && heads[0].read_up_to == 2 && heads[0].read_rev == 1 && heads[1].last_seq == 0 &&
           heads[2].last_seq == 1);
    REQUIRE_OK(store_unread_of(database(), ids, 3, counts, &err), &err);
    EXPECT(counts[0] == 3 && counts[1] == 0 && counts[2] == 1);
    const char *asked[4] = {ids[2], ids[0], ids[1], ids[0]};
    const int64_t after[4] = {0, 1, 0, 0}, newest[4] = {0, 0, 0, 1};
    struct user_notices notices;
    REQUIRE_OK(store_notices_of(database(), arena(), asked, after, newest, 4, 2, &notices, &err), &err);
    REQUIRE(notices.count == 5);
    static const struct {
        size_t user;
        int64_t seq;
    } WANTED[] = {{0, 1}, {1, 2}, {1, 3}, {3, 4}, {3, 5}};
    for (size_t i = 0; i < 5; i++)
        EXPECT(notices.items[i].user == WANTED[i].user && notices.items[i].notice.seq == WANTED[i].seq);
}

TEST(who_withdrew_keeps_nothing, "M-11")
{
    const char *kim = new_id();
    struct err err = {0};
    struct kafka_record records[2] = {{.offset = 0}, {.offset = 1}};
    struct kafka_batch batch = {.topic = "accounts", .partition = 0, .records = records, .count = 2};
    struct account_copy copies[2] = {{.user_id = kim, .email = "kim@example.test", .locale = "en", .version = 2},
                                     {.user_id = kim, .email = "old@example.test", .locale = "ko", .version = 1}};
    REQUIRE_OK(store_apply_accounts(database(), arena(), &batch, copies, &err), &err);
    EXPECT_TEXT("kim@example.test", test_sql("SELECT email FROM accounts WHERE user_id = '%s'", kim));
    struct notice_request request = request_to(&kim, 1, "a");
    request.asked = CHANNEL_INBOX | CHANNEL_EMAIL;
    EXPECT(apply(&request, 1).deliveries);
    EXPECT_TEXT("en", test_sql("SELECT locale FROM deliveries WHERE target = '%s'", kim));
    records[0].offset = 2;
    batch.count = 1;
    copies[0] = (struct account_copy){.user_id = kim, .email = "kim@example.test", .withdrawn = true, .version = 3};
    REQUIRE_OK(store_apply_accounts(database(), arena(), &batch, copies, &err), &err);
    EXPECT_I64(0, count_sql("notices WHERE user_id =", kim));
    EXPECT_TEXT(
        "dropped withdrawn .",
        test_sql("SELECT state || ' ' || reason || ' .' || title || body FROM deliveries WHERE target = '%s'", kim));
    EXPECT_TEXT("", test_sql("SELECT email FROM accounts WHERE user_id = '%s'", kim));
    EXPECT_I64(0, tell(kim, "b"));
}

/* ---- deliveries ---- */

/* So many mails to addresses nobody has. */
static void add_mails(size_t count, const char *kind)
{
    struct notice_request *requests = arena_alloc(arena(), count * sizeof *requests);
    for (size_t i = 0; i < count; i++) {
        requests[i] = request_to(NULL, 0, new_id());
        requests[i].kind = kind_find(kind);
        requests[i].asked = CHANNEL_EMAIL;
        requests[i].email = arena_printf(arena(), "%s@example.test", new_id());
        requests[i].args = (struct args){.items = {{"code", "246813"}, {"from.nickname", "kim"}}, .count = 2};
    }
    (void)apply(requests, count);
}

static void forget_deliveries(void)
{
    (void)database();
    (void)test_sql("DELETE FROM deliveries");
}

static _Atomic int64_t claimed;

static void *claim_all(void *payload)
{
    (void)payload;
    AUTO(arena) memory = arena_open(1 << 20);
    bool found = true;
    while (found) {
        struct due due;
        struct err err = {0};
        if (!test_check(store_claim(database(), memory, "email", 60000, &due, &found, &err), __FILE__, __LINE__, "%s",
                        err.detail))
            break;
        if (found)
            atomic_fetch_add(&claimed, 1);
        arena_reset(memory);
    }
    return NULL;
}

TEST(a_due_row_goes_to_one_sender, "D-48 K-45")
{
    pthread_t threads[8];
    forget_deliveries();
    add_mails(90, "code");
    atomic_store(&claimed, 0);
    for (int i = 0; i < 8; i++)
        REQUIRE(pthread_create(&threads[i], NULL, claim_all, NULL) == 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    EXPECT_I64(90, atomic_load(&claimed));
    EXPECT_TEXT("1 1",
                test_sql("SELECT min(attempts) || ' ' || max(attempts) FROM deliveries WHERE channel = 'email'"));
}

TEST(a_claim_runs_out_and_its_late_mark_changes_nothing, "D-48")
{
    struct due first, second;
    struct err err = {0};
    bool found;
    forget_deliveries();
    add_mails(1, "code");
    REQUIRE_OK(store_claim(database(), arena(), "email", 60000, &first, &found, &err) && found, &err);
    EXPECT_TEXT("code", first.delivery.kind);
    EXPECT_I64(1, first.delivery.attempt);
    EXPECT(first.left_ms > 100000 && !first.expired);
    REQUIRE_OK(store_claim(database(), arena(), "email", 60000, &second, &found, &err), &err);
    EXPECT(!found);
    (void)test_sql("UPDATE deliveries SET next_try_at = now()");
    REQUIRE_OK(store_claim(database(), arena(), "email", 60000, &second, &found, &err) && found, &err);
    EXPECT_I64(2, second.delivery.attempt);
    REQUIRE_OK(store_done(database(), &first, "dead", "late", &err), &err); /* the first sender wakes up */
    EXPECT_TEXT("waiting", test_sql("SELECT state FROM deliveries"));
    REQUIRE_OK(store_done(database(), &second, "sent", "", &err), &err);
    EXPECT_TEXT("sent ..",
                test_sql("SELECT state || ' .' || title || body || '.' FROM deliveries")); /* a code is forgotten */
    REQUIRE_OK(store_again(database(), &second, 0, false, "", &err), &err);
    EXPECT_TEXT("sent", test_sql("SELECT state FROM deliveries"));
}

TEST(keeping_a_pace_costs_no_attempt, "D-48")
{
    struct due due;
    struct err err = {0};
    bool found;
    forget_deliveries();
    add_mails(1, "friend_accepted");
    for (int i = 0; i < 3; i++) {
        REQUIRE_OK(store_claim(database(), arena(), "email", 60000, &due, &found, &err) && found, &err);
        EXPECT_I64(1, due.delivery.attempt);
        REQUIRE_OK(store_again(database(), &due, 0, true, "paced", &err), &err);
    }
    REQUIRE_OK(store_claim(database(), arena(), "email", 60000, &due, &found, &err) && found, &err);
    REQUIRE_OK(store_again(database(), &due, 3600000, false, "451", &err), &err);
    REQUIRE_OK(store_claim(database(), arena(), "email", 60000, &due, &found, &err), &err);
    EXPECT(!found);
    EXPECT_TEXT("1 451", test_sql("SELECT attempts || ' ' || reason FROM deliveries"));
    struct delivery_count counts[DELIVERY_COUNTS];
    size_t count;
    REQUIRE_OK(store_count(database(), counts, &count, &err), &err);
    EXPECT(count == 1 && strcmp(counts[0].channel, "email") == 0 && counts[0].waiting == 1 && counts[0].dead == 0);
}

/* ---- sessions ---- */

static bool end_session(const char *session, const char *user, int64_t offset)
{
    struct kafka_record record = {.offset = offset};
    const struct kafka_batch batch = {.topic = "sessions.ended", .partition = 0, .records = &record, .count = 1};
    const struct session_end end = {.user_id = user, .sid = session, .reason = "logout"};
    struct err err = {0};
    return store_apply_sessions(database(), arena(), &batch, &end, &err);
}

TEST(an_ended_session_opens_nothing_whoever_came_first, "P-03")
{
    const char *kim = new_id(), *session = new_id(), *late = new_id();
    char user[UUID_TEXT_BYTES];
    struct err err = {0};
    EXPECT(!store_stream_session_find(database(), session, user, &err));
    EXPECT_PROBLEM("session_ended", &err);
    REQUIRE_OK(store_stream_session(database(), session, kim, &err), &err);
    REQUIRE_OK(store_stream_session(database(), session, kim, &err), &err);
    REQUIRE_OK(store_stream_session_find(database(), session, user, &err), &err);
    EXPECT_TEXT(kim, user);
    EXPECT(!store_stream_session(database(), session, new_id(), &err)); /* another's */
    EXPECT(end_session(session, kim, 0) && end_session(late, kim, 1));
    EXPECT(!store_stream_session_find(database(), session, user, &err));
    EXPECT(!store_stream_session(database(), session, kim, &err));
    EXPECT(!store_stream_session(database(), late, kim, &err)); /* ended before it was ever seen */
    EXPECT_PROBLEM("session_ended", &err);
}

TEST(the_key_of_the_cookies_is_made_once, "P-03")
{
    unsigned char first[STREAM_KEY_BYTES], second[STREAM_KEY_BYTES];
    struct err err = {0};
    REQUIRE_OK(store_stream_key(database(), first, &err), &err);
    REQUIRE_OK(store_stream_key(database(), second, &err), &err);
    EXPECT(memcmp(first, second, sizeof first) == 0);
}

/* ---- settings, sweep ---- */

TEST(settings_are_kept_and_told, "P-42")
{
    const char *kim = new_id();
    const struct origin origin = {"req-1", NULL};
    struct settings after, wish = {.choice_count = 1, .quiet_seen = true, .quiet = {"22:00", "07:00", "Asia/Seoul"}};
    struct err err = {0};
    wish.choices[0] = (struct choice){kind_find("friend_accepted"), CHANNEL_PUSH, 0};
    REQUIRE_OK(store_change_settings(database(), arena(), kim, &wish, &origin, &after, &err), &err);
    EXPECT_I64(1, after.version);
    EXPECT_I64(1, tell(kim, "a"));
    EXPECT_I64(0, count_sql("outbox WHERE topic = 'push.requests' AND key =", kim));
    EXPECT_TEXT("req-1", test_sql("SELECT request_id FROM outbox WHERE topic = 'notify.settings' AND key = '%s'", kim));
    EXPECT_TEXT(
        "[\"friend_accepted\"]",
        test_sql("SELECT payload::json ->> 'push_off' FROM outbox WHERE topic = 'notify.settings' AND key = '%s'",
                 kim));
    struct settings wrong = {.quiet_seen = true, .quiet = {"22:00", "07:00", "Asia/Soul"}};
    EXPECT(!store_change_settings(database(), arena(), kim, &wrong, &origin, &after, &err));
    EXPECT_PROBLEM("bad_input", &err);
    err_clear(&err);
    REQUIRE_OK(store_settings(database(), kim, &after, &err), &err);
    EXPECT(after.version == 1 && strcmp(after.quiet.time_zone, "Asia/Seoul") == 0 && after.choice_count == 1);
}

TEST(the_sweep_takes_what_is_old_and_nothing_else, "M-54")
{
    const char *kim = new_id();
    struct err err = {0};
    int64_t gone;
    forget_deliveries();
    for (int i = 0; i < 4; i++)
        (void)tell(kim, arena_printf(arena(), "n%d", i));
    (void)test_sql("UPDATE notices SET stored_at = now() - interval '91 days' WHERE user_id = '%s' AND seq < 3", kim);
    (void)test_sql(
        "UPDATE deliveries SET done_at = now() - interval '15 days' WHERE target = '%s' AND dedupe_id = 'n0'", kim);
    REQUIRE_OK(store_sweep(database(), 90, 14, &gone, &err), &err);
    EXPECT_I64(3, gone);
    REQUIRE_OK(store_sweep(database(), 90, 14, &gone, &err), &err);
    EXPECT_I64(0, gone);
    EXPECT_I64(1, tell(kim, "n4"));
    EXPECT_TEXT("3 4 5",
                test_sql("SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM notices WHERE user_id = '%s'", kim));
}
