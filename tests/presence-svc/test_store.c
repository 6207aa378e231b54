/* The store on the real PostgreSQL: batches, leases, the sweep, read copies. */
#include "test_store.h"
#include "migrate.h"
#include "store.h"
#include "uuid.h"

#include <inttypes.h>
#include <pthread.h>

extern const struct migration PRESENCE_MIGRATIONS[];

enum { LEASE_MS = 90000, DOWN_MS = 5000 };
static const struct presence_limits LIMITS = {.lease_ms = LEASE_MS, .down_ms = DOWN_MS};

static struct pg_pool *database(void)
{
    static struct pg_pool *pool;
    struct err err = {0};
    if (!pool) {
        pool = test_pool("presence", 8);
        if (!migrate_up(pool, PRESENCE_MIGRATIONS, &err)) {
            printf("migrate: %s %s\n", err.message, err.detail);
            exit(1);
        }
    }
    return pool;
}

static int64_t db_now_ms(void)
{
    return strtoll(test_sql("SELECT (extract(epoch from now()) * 1000)::bigint"), NULL, 10);
}

static struct presence_signal signal_of(const char *user, const char *connection, enum signal_kind kind, int64_t n,
                                        int64_t at_ms)
{
    struct presence_signal signal = {.kind = kind, .n = n, .at_ms = at_ms, .lease_ms = LEASE_MS};
    (void)snprintf(signal.connection, sizeof signal.connection, "%s", connection);
    (void)snprintf(signal.user_id, sizeof signal.user_id, "%s", user);
    return signal;
}

/* Applies signals as the records from `offset` on of a partition. */
static bool apply_at(int32_t partition, int64_t offset, const struct presence_signal *signals, size_t count)
{
    struct err err = {0};
    struct kafka_record *records = mem_new(count, sizeof *records);
    for (size_t i = 0; i < count; i++)
        records[i].offset = offset + (int64_t)i;
    const struct kafka_batch batch = {
        .topic = TOPIC_PRESENCE_SIGNALS, .partition = partition, .records = records, .count = count};
    AUTO(arena) arena = arena_open(1 << 26);
    bool ok = store_apply_signals(database(), arena, &batch, signals, &LIMITS, &err);
    free(records);
    return test_check(ok, __FILE__, __LINE__, "apply: %s %s", err.message, err.detail);
}

/* What other tests left behind is nobody's time any more. */
static void alone(void)
{
    (void)database();
    (void)test_sql("UPDATE people SET online = false, look_at = NULL");
}

static int64_t next_offset = 100;
static bool apply(const struct presence_signal *signals, size_t count)
{
    bool ok = apply_at(0, next_offset, signals, count);
    next_offset += (int64_t)count;
    return ok;
}

static bool apply_one(const char *user, const char *connection, enum signal_kind kind, int64_t n, int64_t at_ms)
{
    struct presence_signal signal = signal_of(user, connection, kind, n, at_ms);
    return apply(&signal, 1);
}

static int64_t begin_offset; /* of the partition, in the sweeps that follow */

/* Lets time pass for a partition whose signals are applied up to `end_offset`. */
static size_t sweep_to(int64_t now_ms, int64_t end_offset, int64_t extra_ms)
{
    struct err err = {0};
    struct sweep_work work = {
        .partition = 0, .now_ms = now_ms, .end_offset = end_offset, .begin_offset = begin_offset, .extra_ms = extra_ms};
    AUTO(arena) arena = arena_open(1 << 26);
    test_check(store_sweep(database(), arena, &work, &err), __FILE__, __LINE__, "sweep: %s %s", err.message,
               err.detail);
    return work.went;
}

static const char *person(const char *user)
{
    return test_sql(
        "SELECT CASE WHEN online THEN 'online' ELSE 'offline' END || ' ' || n FROM people WHERE user_id = '%s'", user);
}

/* What was told of the user so far, in order. */
static const char *told(const char *user)
{
    return test_sql("SELECT coalesce(string_agg(CASE WHEN (payload::json->>'online')::boolean THEN 'up' ELSE 'down' END"
                    " || (payload::json->>'n'), ' ' ORDER BY id), '') FROM outbox WHERE key = '%s'",
                    user);
}

#define NEW_ID(name)                                                                                                   \
    char name[UUID_TEXT_BYTES];                                                                                        \
    uuid_new(name)

TEST(up_is_told_at_once_and_down_after_a_moment, "P-35 P-36")
{
    alone();
    NEW_ID(user);
    NEW_ID(one);
    int64_t now = db_now_ms();
    apply_one(user, one, SIGNAL_UP, 1, now);
    EXPECT_TEXT("online 1", person(user));
    apply_one(user, one, SIGNAL_DOWN, 2, now);
    EXPECT_TEXT("online 1", person(user));
    EXPECT_I64(0, sweep_to(now + DOWN_MS - 1000, 0, 0));
    EXPECT_TEXT("online 1", person(user));
    EXPECT_I64(1, sweep_to(now + DOWN_MS + 1000, 0, 0));
    EXPECT_TEXT("offline 2", person(user));
    EXPECT_TEXT("up1 down2", told(user));
    char when[64];
    (void)snprintf(
        when, sizeof when, "%s",
        test_sql("SELECT payload::json->>'last_seen' FROM outbox WHERE key = '%s' ORDER BY id DESC LIMIT 1", user));
    EXPECT(strlen(when) == 24 && when[23] == 'Z');
    EXPECT_TEXT("t", test_sql("SELECT abs(extract(epoch from last_seen) * 1000 - %" PRId64
                              ") < 2 FROM people WHERE user_id = '%s'",
                              now, user));
}

TEST(a_reconnect_within_the_moment_is_no_change, "P-35")
{
    NEW_ID(user);
    NEW_ID(one);
    NEW_ID(two);
    alone();
    int64_t now = db_now_ms();
    apply_one(user, one, SIGNAL_UP, 1, now);
    apply_one(user, one, SIGNAL_DOWN, 2, now);
    apply_one(user, two, SIGNAL_UP, 1, now);
    EXPECT_I64(0, sweep_to(now + DOWN_MS + 1000, 0, 0));
    EXPECT_TEXT("up1", told(user));
}

TEST(two_connections_and_one_closes_is_still_online, "M-49")
{
    NEW_ID(user);
    NEW_ID(one);
    NEW_ID(two);
    alone();
    int64_t now = db_now_ms();
    apply_one(user, one, SIGNAL_UP, 1, now);
    apply_one(user, two, SIGNAL_UP, 1, now);
    apply_one(user, one, SIGNAL_DOWN, 2, now);
    EXPECT_I64(0, sweep_to(now + LEASE_MS - 1000, 0, 0));
    EXPECT_TEXT("online 1", person(user));
    EXPECT_I64(1, sweep_to(now + LEASE_MS + 1000, 0, 0)); /* and the silent one's lease ends */
    EXPECT_TEXT("up1 down2", told(user));
}

TEST(doubled_and_old_signals_change_nothing, "I1")
{
    NEW_ID(user);
    NEW_ID(one);
    int64_t now = db_now_ms() - 20000;
    struct presence_signal life[] = {signal_of(user, one, SIGNAL_UP, 1, now - 2000),
                                     signal_of(user, one, SIGNAL_BEAT, 2, now - 1000),
                                     signal_of(user, one, SIGNAL_DOWN, 3, now)};
    int64_t offset = next_offset;
    apply(life, 2);
    apply(life + 2, 1); /* a while ago: at once */
    EXPECT_TEXT("up1 down2", told(user));
    apply_at(0, offset, life, 3); /* the same records again: a worker that was killed before its commit */
    apply(life, 3);               /* and sent again: a producer that was replaced */
    apply_one(user, one, SIGNAL_BEAT, 9, now);
    EXPECT_TEXT("offline 2", person(user));
    EXPECT_TEXT("up1 down2", told(user));
}

TEST(nobody_goes_before_what_stands_in_the_log_is_applied, "M-49")
{
    alone();
    NEW_ID(user);
    NEW_ID(one);
    int64_t now = db_now_ms();
    apply_one(user, one, SIGNAL_UP, 1, now);
    int64_t end = next_offset + 1; /* one record more: a beat, maybe */
    EXPECT_I64(0, sweep_to(now + LEASE_MS + 1000, end, 0));
    EXPECT_TEXT("online 1", person(user));
    NEW_ID(nobody);
    apply_one(nobody, nobody, SIGNAL_DOWN, 1, now);
    EXPECT_I64(1, sweep_to(now + LEASE_MS + 1000, end, 0));
    EXPECT_TEXT("offline 2", person(user));
    EXPECT_TEXT("down1", told(nobody)); /* was seen, and that is all */
}

TEST(what_kafka_does_not_keep_any_more_holds_nobody_online, "M-49")
{
    alone();
    NEW_ID(user);
    NEW_ID(one);
    int64_t now = db_now_ms();
    apply_one(user, one, SIGNAL_UP, 1, now);
    const int64_t end = next_offset + 3; /* that came while nobody applied, and went by retention */
    begin_offset = next_offset + 2;
    EXPECT_I64(0, sweep_to(now + LEASE_MS + 1000, end, 0)); /* one is there still */
    begin_offset = end;
    EXPECT_I64(1, sweep_to(now + LEASE_MS + 1000, end, 0));
    EXPECT_TEXT("offline 2", person(user));
    begin_offset = 0;
}

TEST(leases_do_not_run_while_kafka_is_away, "I1")
{
    alone();
    NEW_ID(user);
    NEW_ID(one);
    NEW_ID(leaver);
    NEW_ID(two);
    int64_t now = db_now_ms();
    apply_one(user, one, SIGNAL_UP, 1, now);
    apply_one(leaver, two, SIGNAL_UP, 1, now);
    apply_one(leaver, two, SIGNAL_DOWN, 2, now);
    EXPECT_I64(1, sweep_to(now + LEASE_MS + 10000, 0, 60000)); /* the closed one only */
    EXPECT_TEXT("online 1", person(user));
    EXPECT_TEXT("offline 2", person(leaver));
    EXPECT_I64(1, sweep_to(now + LEASE_MS + 70000, 0, 0));
    EXPECT_TEXT("offline 2", person(user));
}

TEST(what_waited_in_the_log_for_long_brings_nobody_back, "P-35")
{
    NEW_ID(user);
    NEW_ID(one);
    int64_t now = db_now_ms();
    struct presence_signal old[] = {signal_of(user, one, SIGNAL_UP, 1, now - 600000),
                                    signal_of(user, one, SIGNAL_BEAT, 2, now - 570000)};
    apply(old, 2);
    EXPECT_TEXT("offline 1", person(user)); /* seen, ten minutes ago */
    apply_one(user, one, SIGNAL_BEAT, 3, now - 1000);
    EXPECT_TEXT("online 2", person(user));
}

TEST(a_close_alone_keeps_nobody_here, "M-49")
{
    NEW_ID(user);
    NEW_ID(one);
    apply_one(user, one, SIGNAL_DOWN, 3, db_now_ms());
    EXPECT_TEXT("offline 1", person(user));
}

static void make_friends(const char *a, const char *b, bool friends, int64_t version)
{
    static int64_t offset;
    struct err err = {0};
    bool swap = strcmp(a, b) > 0;
    const struct kafka_record record = {.offset = offset++};
    const struct kafka_batch batch = {.topic = TOPIC_RELATIONS, .partition = 0, .records = &record, .count = 1};
    const struct relation_copy news = {.a = swap ? b : a, .b = swap ? a : b, .version = version, .friend = friends};
    AUTO(arena) arena = arena_open(1 << 20);
    test_check(store_apply_relations(database(), arena, &batch, &news, &err), __FILE__, __LINE__, "%s %s", err.message,
               err.detail);
}

static void account(const char *user, int64_t version, bool withdrawn)
{
    static int64_t offset;
    struct err err = {0};
    const struct kafka_record record = {.offset = offset++};
    const struct kafka_batch batch = {.topic = TOPIC_ACCOUNTS, .partition = 0, .records = &record, .count = 1};
    const struct account_copy news = {.user_id = user, .version = version, .withdrawn = withdrawn};
    AUTO(arena) arena = arena_open(1 << 20);
    test_check(store_apply_accounts(database(), arena, &batch, &news, &err), __FILE__, __LINE__, "%s %s", err.message,
               err.detail);
}

static size_t friends_of(struct arena *arena, const char *user, bool online_only, struct presence_list *list)
{
    struct err err = {0};
    EXPECT(store_friends(database(), arena, user, NULL, online_only, 100, list, &err));
    return list->count;
}

TEST(friends_are_those_of_the_newest_version, "P-36")
{
    NEW_ID(me);
    NEW_ID(friend);
    NEW_ID(former);
    NEW_ID(connection);
    struct presence_list list;
    struct err err = {0};
    AUTO(arena) arena = arena_open(1 << 20);
    make_friends(me, friend, true, 3);
    make_friends(me, friend, false, 2); /* an old record */
    make_friends(me, former, true, 1);
    make_friends(me, former, false, 2); /* ended, or one blocks the other */
    EXPECT_I64(1, friends_of(arena, me, false, &list));
    EXPECT_TEXT(friend, list.items[0].user_id);
    EXPECT(!list.items[0].online && list.items[0].visible); /* never seen here */
    EXPECT_I64(0, friends_of(arena, me, true, &list));
    apply_one(friend, connection, SIGNAL_UP, 1, db_now_ms());
    EXPECT_I64(1, friends_of(arena, me, true, &list));
    EXPECT_I64(1, friends_of(arena, friend, false, &list));
    const char *ids[] = {friend, former, me};
    EXPECT(store_friends_among(database(), arena, me, &(struct texts){ids, 3}, &list, &err));
    EXPECT_I64(1, list.count);
    EXPECT(list.items[0].online);
}

TEST(who_withdraws_goes_and_does_not_come_back, "P-06")
{
    NEW_ID(me);
    NEW_ID(user);
    NEW_ID(one);
    NEW_ID(two);
    struct presence_list list;
    AUTO(arena) arena = arena_open(1 << 20);
    make_friends(me, user, true, 1);
    apply_one(user, one, SIGNAL_UP, 1, db_now_ms());
    account(user, 1, false); /* an ordinary change: nothing */
    EXPECT_TEXT("online 1", person(user));
    account(user, 2, true);
    account(user, 2, true);
    EXPECT_TEXT("up1 down2", told(user));
    EXPECT_I64(0, friends_of(arena, me, false, &list));
    apply_one(user, one, SIGNAL_BEAT, 2, db_now_ms());
    apply_one(user, two, SIGNAL_UP, 1, db_now_ms());
    EXPECT_TEXT("offline 2", person(user));
    struct err err = {0};
    struct presence presence;
    EXPECT(!store_change_settings(database(), arena, user, &(struct settings_wish){true, true}, &presence, &err));
    EXPECT_PROBLEM("session_ended", &err);
    NEW_ID(unknown); /* nothing was told of them: nothing is */
    account(unknown, 1, true);
    EXPECT_TEXT("", told(unknown));
}

TEST(settings_are_stored_and_told_with_the_truth, "P-42")
{
    NEW_ID(user);
    NEW_ID(one);
    struct err err = {0};
    struct presence presence;
    AUTO(arena) arena = arena_open(1 << 20);
    EXPECT(store_settings(database(), user, &presence, &err));
    EXPECT(presence.visible && presence.show_last_seen);
    apply_one(user, one, SIGNAL_UP, 1, db_now_ms());
    REQUIRE_OK(store_change_settings(database(), arena, user, &(struct settings_wish){false, true}, &presence, &err),
               &err);
    REQUIRE_OK(store_change_settings(database(), arena, user, &(struct settings_wish){false, true}, &presence, &err),
               &err);
    EXPECT_I64(2, presence.n);
    EXPECT_TEXT("up1 up2", told(user)); /* the truth, beside visible: false */
    EXPECT_TEXT(
        "false",
        test_sql("SELECT payload::json->>'visible' FROM outbox WHERE key = '%s' ORDER BY id DESC LIMIT 1", user));
    apply_one(user, one, SIGNAL_BEAT, 2, db_now_ms());
    EXPECT(store_settings(database(), user, &presence, &err));
    EXPECT(!presence.visible && presence.show_last_seen && presence.online);
}

TEST(old_connections_are_forgotten_and_their_people_stay, "I9")
{
    NEW_ID(user);
    NEW_ID(one);
    struct err err = {0};
    int64_t now = db_now_ms(), count = 0;
    apply_one(user, one, SIGNAL_UP, 1, now - 400000);
    EXPECT(store_forget_connections(database(), 2 * LEASE_MS, &count, &err));
    EXPECT(count >= 1);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM connections WHERE user_id = '%s'", user));
    EXPECT_TEXT("offline 1", person(user));
    apply_one(user, one, SIGNAL_UP, 1, now - 400000); /* doubled after that: still nobody comes */
    EXPECT_TEXT("offline 1", person(user));
}

TEST(due_partitions_are_found_and_a_signal_that_can_not_be_read_is_noted, "M-49")
{
    NEW_ID(user);
    NEW_ID(one);
    struct err err = {0};
    int32_t partitions[8];
    size_t count;
    int64_t now_ms;
    alone();
    EXPECT(store_due_partitions(database(), partitions, 8, &count, &now_ms, &err));
    EXPECT_I64(0, count);
    struct presence_signal signal = signal_of(user, one, SIGNAL_UP, 1, db_now_ms());
    apply_at(5, 10, &signal, 1);
    (void)test_sql("UPDATE people SET look_at = now() - interval '1 second' WHERE user_id = '%s'", user);
    EXPECT(store_due_partitions(database(), partitions, 8, &count, &now_ms, &err));
    EXPECT_I64(1, count);
    EXPECT_I64(5, partitions[0]);
    const struct kafka_record record = {.offset = 11};
    const struct kafka_batch batch = {.topic = TOPIC_PRESENCE_SIGNALS, .partition = 5, .records = &record, .count = 1};
    EXPECT(store_skip(database(), &batch, &err));
    EXPECT_TEXT("12", test_sql("SELECT next_offset FROM applied WHERE topic = 'presence.signals' AND partition = 5"));
}

/* Five thousand people come at once, in the worker's batches, while settings change beside. */
static void *change_settings(void *payload)
{
    const char(*users)[UUID_TEXT_BYTES] = payload;
    for (int i = 0; i < 300; i++) {
        struct err err = {0};
        struct presence presence;
        AUTO(arena) arena = arena_open(1 << 20);
        const struct settings_wish wish = {.visible = i % 2, .show_last_seen = true};
        EXPECT(store_change_settings(database(), arena, users[(i * 37) % 5000], &wish, &presence, &err));
    }
    return NULL;
}

TEST(many_come_at_once_while_settings_change_and_each_n_is_told_once, "I2")
{
    enum { MANY = 5000, BATCH = 2000 };
    static char users[MANY][UUID_TEXT_BYTES];
    struct presence_signal *signals = mem_new(MANY, sizeof *signals);
    int64_t now = db_now_ms();
    for (int i = 0; i < MANY; i++) {
        char connection[UUID_TEXT_BYTES];
        uuid_new(users[i]);
        uuid_new(connection);
        signals[i] = signal_of(users[i], connection, SIGNAL_UP, 1, now);
    }
    pthread_t thread;
    pthread_create(&thread, NULL, change_settings, users);
    for (int from = 0; from < MANY; from += BATCH)
        apply(signals + from, (size_t)(MANY - from < BATCH ? MANY - from : BATCH));
    pthread_join(thread, NULL);
    free(signals);
    EXPECT_TEXT(
        "5000",
        test_sql("SELECT count(*) FROM people p WHERE online AND partition = 0 AND EXISTS"
                 " (SELECT 1 FROM outbox o WHERE o.key = p.user_id::text AND o.created_at >= to_timestamp(%" PRId64
                 " / 1000.0))",
                 now - 1000));
    EXPECT_TEXT(
        "0",
        test_sql("SELECT count(*) FROM (SELECT key, count(*) AS c, count(DISTINCT payload::json->>'n') AS d,"
                 " max((payload::json->>'n')::bigint) AS m FROM outbox WHERE topic = 'presence.changes' GROUP BY key) t"
                 " WHERE c <> d OR c <> m"));
}
