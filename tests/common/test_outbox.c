#include "clock.h"
#include "kafka.h"
#include "metrics.h"
#include "migrate.h"
#include "outbox.h"
#include "pg_conn.h"
#include "test_kafka.h"
#include "test_store.h"

#include <pthread.h>
#include <stdatomic.h>

enum { KEYS = 8, PARTITIONS = 3 };

static const struct migration TABLES[] = {
    {"001_things", "CREATE TABLE things (id BIGINT PRIMARY KEY, version BIGINT NOT NULL);"
                   "INSERT INTO things SELECT n, 0 FROM generate_series(0, 99) AS n"},
    {0},
};

static struct pg_pool *pool_of(int connections)
{
    struct err err = {0};
    struct pg_pool *pool = test_pool("outbox", connections);
    test_stop_at(migrate_up(pool, TABLES, &err), "migrate", &err);
    return pool;
}

static struct outbox_relay *relay_of(struct pg_pool *db, struct kafka_producer *producer)
{
    struct err err = {0};
    struct outbox_relay *relay = outbox_relay_start(db, producer, &err);
    test_stop_at(relay != NULL, "relay", &err);
    return relay;
}

static int waiting(void)
{
    return atoi(test_sql("SELECT count(*) FROM outbox"));
}

struct change {
    const char *topic;
    int64_t id;
    bool fail;
};

/* As every service does it: the aggregate's row is locked, its version grows, the event carries it. */
static bool change_thing(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement GROW = {"grow",
                                             "UPDATE things SET version = version + 1 WHERE id = $1 RETURNING version"};
    const struct change *change = payload;
    AUTO(pg_result) row = pg_tx_query(tx, &GROW, PARAMS(PG_I64(change->id)), err);
    if (!row)
        return false;
    char key[24];
    (void)snprintf(key, sizeof key, "%lld", (long long)change->id);
    const struct outbox_event event = {.topic = change->topic, .key = key, .payload = pg_text(row, 0, 0)};
    return outbox_add(tx, &event, err) && (!change->fail || err_set(err, &ERR_CONFLICT, "rolled back"));
}

static bool change_now(struct pg_pool *db, const char *topic, int64_t id, bool fail)
{
    struct change change = {.topic = topic, .id = id, .fail = fail};
    struct err err = {0};
    return pg_transaction(db, change_thing, &change, &err);
}

static bool add_two(struct pg_tx *tx, void *topic, struct err *err)
{
    const struct outbox_event events[] = {
        {.topic = topic,
         .key = "열쇠",
         .payload = "{\"text\":\"\\\"따옴표\\\" {a,b}\"}",
         .request_id = "req-1",
         .traceparent = "00-11-22-01"},
        {.topic = topic, .key = "열쇠", .payload = "{}"},
    };
    return outbox_add_all(tx, events, 2, err);
}

static bool add_many(struct pg_tx *tx, void *topic, struct err *err)
{
    enum { MANY = 2500 };
    AUTO(arena) arena = arena_open(1 << 20);
    struct outbox_event *events = arena_alloc(arena, MANY * sizeof *events);
    for (int i = 0; i < MANY; i++)
        events[i] = (struct outbox_event){.topic = topic, .key = "k", .payload = arena_printf(arena, "%d", i)};
    return outbox_add_all(tx, events, 0, err) && outbox_add_all(tx, events, MANY, err);
}

TEST(more_events_than_a_statement_takes_are_added_in_their_order, "I1")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    REQUIRE_OK(pg_transaction(db, add_many, (void *)(uintptr_t) "many", &err), &err);
    EXPECT_I64(2500, waiting());
    EXPECT_TEXT(
        "t",
        test_sql(
            "SELECT array_agg(payload::int ORDER BY id) = array_agg(payload::int ORDER BY payload::int) FROM outbox"));
    (void)test_sql("DELETE FROM outbox");
}

TEST(an_event_leaves_when_its_transaction_commits_and_only_then, "I1")
{
    AUTO(pg_pool) db = pool_of(2);
    AUTO(kafka_producer) producer = test_producer(NULL);
    char topic[160];
    (void)snprintf(topic, sizeof topic, "%s", test_topic("leave", 1, false));
    AUTO(outbox_relay) relay = relay_of(db, producer);
    EXPECT(!change_now(db, topic, 0, true));
    struct err err = {0};
    REQUIRE_OK(pg_transaction(db, add_two, topic, &err), &err);
    struct test_reader *reader = test_reader_open(topic, 1);
    EVENTUALLY(10000, test_reader_count(reader) >= 2);
    EXPECT_I64(2, reader->count);
    EXPECT_TEXT("열쇠", test_reader_at(reader, 0)->key);
    EXPECT_TEXT("{\"text\":\"\\\"따옴표\\\" {a,b}\"}", test_reader_at(reader, 0)->payload);
    EXPECT_TEXT("x-request-id=req-1\ntraceparent=00-11-22-01\n", test_reader_at(reader, 0)->headers);
    EXPECT_TEXT("{}", test_reader_at(reader, 1)->payload);
    EXPECT_TEXT("", test_reader_at(reader, 1)->headers);
    EVENTUALLY(10000, waiting() == 0);
    test_reader_release(&reader);
}

static bool add_binary(struct pg_tx *tx, void *topic, struct err *err)
{
    const struct outbox_event events[] = {
        {.topic = topic, .key = "k", .bytes = {"\0\x01\xff\\\0z", 6}},
        {.topic = topic, .key = "k", .payload = "{}"},
        {.topic = topic, .key = "k", .bytes = {"", 0}},
    };
    return outbox_add_all(tx, events, 3, err);
}

TEST(a_binary_payload_leaves_as_it_is_in_the_order_of_the_list, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(2);
    AUTO(kafka_producer) producer = test_producer(NULL);
    char topic[160];
    (void)snprintf(topic, sizeof topic, "%s", test_topic("binary", 1, false));
    AUTO(outbox_relay) relay = relay_of(db, producer);
    struct err err = {0};
    REQUIRE_OK(pg_transaction(db, add_binary, topic, &err), &err);
    struct test_reader *reader = test_reader_open(topic, 1);
    EVENTUALLY(10000, test_reader_count(reader) >= 3);
    EXPECT_I64(3, reader->count);
    EXPECT(memcmp(test_reader_at(reader, 0)->payload, "\0\x01\xff\\\0z", 7) == 0);
    EXPECT_TEXT("{}", test_reader_at(reader, 1)->payload);
    EXPECT(test_reader_at(reader, 2)->payload != NULL);
    EXPECT_TEXT("", test_reader_at(reader, 2)->payload);
    EVENTUALLY(10000, waiting() == 0);
    test_reader_release(&reader);
}

/* ---- many writers, relays that come and go
 * ------------------------------------------------------------------------------ */

struct writer {
    struct pg_pool *db;
    const char *topic;
    int changes;
    pthread_t thread;
    _Atomic int done;
    unsigned seed;
};

static void *change_often(void *payload)
{
    struct writer *writer = payload;
    while (writer->done < writer->changes)
        if (change_now(writer->db, writer->topic, rand_r(&writer->seed) % KEYS, rand_r(&writer->seed) % 10 == 0))
            writer->done++;
    return NULL;
}

enum { WRITERS = 4 };
static void start_writers(struct writer *writers, struct pg_pool *db, const char *topic, int changes)
{
    (void)test_sql("UPDATE things SET version = 0");
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.db = db, .topic = topic, .changes = changes, .seed = (unsigned)test_random()};
        pthread_create(&writers[i].thread, NULL, change_often, &writers[i]);
    }
}

static int done_by(const struct writer *writers)
{
    int done = 0;
    for (int i = 0; i < WRITERS; i++)
        done += writers[i].done;
    return done;
}

static void join_writers(struct writer *writers)
{
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
}

/* Every version of every key arrived, in order when doubles are dropped, and the newest came last. */
static void expect_nothing_lost(const char *topic)
{
    struct test_reader *reader = test_reader_open(topic, PARTITIONS);
    size_t before;
    do { /* everything was acknowledged before: the reader only has to come to the end */
        before = reader->count;
        for (int i = 0; i < 10; i++)
            (void)test_reader_count(reader);
    } while (reader->count != before || !reader->count);
    for (int key = 0; key < KEYS; key++) {
        int64_t seen = 0, last = 0, gaps = 0;
        for (size_t i = 0; i < reader->count; i++) {
            if (atoi(reader->records[i].key) != key)
                continue;
            last = atoll(reader->records[i].payload);
            gaps += last > seen + 1;
            seen = last > seen ? last : seen;
        }
        EXPECT_I64(0, gaps);
        EXPECT_I64(atoll(test_sql("SELECT version FROM things WHERE id = %d", key)), seen);
        EXPECT_I64(seen, last);
    }
    test_reader_release(&reader);
}

TEST(a_relay_stopped_midway_loses_nothing_and_keeps_the_order_of_a_key, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(WRITERS);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("midway", PARTITIONS, false);
    struct writer writers[WRITERS];
    start_writers(writers, db, topic, 300);
    for (int goal = 200; goal < WRITERS * 300; goal += 200) {
        AUTO(outbox_relay) relay = relay_of(db, producer);
        EVENTUALLY(60000, done_by(writers) >= goal);
    }
    join_writers(writers);
    AUTO(outbox_relay) relay = relay_of(db, producer);
    EVENTUALLY(20000, waiting() == 0);
    expect_nothing_lost(topic);
}

TEST(two_relays_take_turns, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(WRITERS);
    AUTO(kafka_producer) first_producer = test_producer(NULL);
    AUTO(kafka_producer) second_producer = test_producer(NULL);
    const char *topic = test_topic("turns", PARTITIONS, false);
    struct writer writers[WRITERS];
    AUTO(outbox_relay) first = relay_of(db, first_producer);
    AUTO(outbox_relay) second = relay_of(db, second_producer);
    start_writers(writers, db, topic, 300);
    EVENTUALLY(60000, done_by(writers) >= 300);
    outbox_relay_release(&first);
    EVENTUALLY(60000, done_by(writers) >= 600);
    first = relay_of(db, first_producer);
    outbox_relay_release(&second);
    join_writers(writers);
    EVENTUALLY(20000, waiting() == 0);
    expect_nothing_lost(topic);
}

/* Ends the connection that holds the lock of this schema's relay. */
static bool cut_relay(void)
{
    const char *cut =
        test_sql("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                 "AND classid = %u AND objid = %u",
                 (unsigned)pg_lock_number("outbox"), (unsigned)pg_lock_number(test_schema_name));
    return strcmp(cut, "1") == 0;
}

TEST(a_relay_whose_connection_breaks_goes_on, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(WRITERS);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("cut", PARTITIONS, false);
    struct writer writers[WRITERS];
    AUTO(outbox_relay) relay = relay_of(db, producer);
    start_writers(writers, db, topic, 300);
    for (int goal = 100; goal < WRITERS * 300; goal += 300) {
        EVENTUALLY(60000, done_by(writers) >= goal);
        EVENTUALLY(10000, cut_relay());
    }
    join_writers(writers);
    EVENTUALLY(20000, waiting() == 0);
    expect_nothing_lost(topic);
}

TEST(events_wait_while_kafka_is_away, "I1")
{
    AUTO(pg_pool) db = pool_of(2);
    const char *topic = test_topic("away", PARTITIONS, false);
    (void)test_sql("UPDATE things SET version = 0");
    struct metric_child *failures = METRIC_CHILD(metric_counter("madang_outbox_failures_total", "", NULL));
    {
        AUTO(kafka_producer) nowhere = test_producer("127.0.0.1:1");
        AUTO(outbox_relay) relay = relay_of(db, nowhere);
        int64_t before = metric_value(failures);
        for (int i = 0; i < 20; i++)
            EXPECT(change_now(db, topic, i % KEYS, false));
        EVENTUALLY(20000, metric_value(failures) >= before + 2); /* it tried, and tries again */
        EXPECT_I64(20, waiting());
    }
    EXPECT_I64(20, waiting());
    AUTO(kafka_producer) producer = test_producer(NULL);
    AUTO(outbox_relay) relay = relay_of(db, producer);
    EVENTUALLY(20000, waiting() == 0);
    expect_nothing_lost(topic);
}

TEST(what_is_left_is_sent_at_release, "I1")
{
    AUTO(pg_pool) db = pool_of(2);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("rest", PARTITIONS, false);
    (void)test_sql("UPDATE things SET version = 0");
    /* more than one look takes */
    (void)test_sql("INSERT INTO outbox (topic, key, payload) SELECT '%s', '99', '1' FROM generate_series(1, 2500)",
                   topic);
    AUTO(outbox_relay) relay = relay_of(db, producer);
    outbox_relay_release(&relay);
    EXPECT_I64(0, waiting());
    struct test_reader *reader = test_reader_open(topic, PARTITIONS);
    EVENTUALLY(20000, test_reader_count(reader) >= 2500);
    EXPECT_I64(2500, reader->count);
    test_reader_release(&reader);
}

static bool add_event(struct pg_tx *tx, void *event, struct err *err)
{
    return outbox_add(tx, event, err);
}

TEST(an_event_that_is_too_long_is_refused_when_it_is_made, "I10")
{
    AUTO(pg_pool) db = pool_of(1);
    (void)test_sql("DELETE FROM outbox");
    struct err err = {0};
    char *payload = mem_new(300001, 1);
    memset(payload, ' ', 300000);
    struct outbox_event event = {.topic = "t", .key = "k", .payload = payload};
    EXPECT(!pg_transaction(db, add_event, &event, &err));
    EXPECT_PROBLEM("internal", &err);
    EXPECT_I64(0, waiting());
    free(payload);
}
