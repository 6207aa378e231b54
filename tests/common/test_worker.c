#include "applied.h"
#include "clock.h"
#include "kafka.h"
#include "metrics.h"
#include "migrate.h"
#include "service.h"
#include "test_kafka.h"
#include "test_store.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

static const struct migration TABLES[] = {
    {"001_seen", "CREATE TABLE seen (topic TEXT, partition INT, key TEXT, payload TEXT, process INT, n BIGINT "
                 "GENERATED ALWAYS AS IDENTITY)"},
    {0},
};

static struct pg_pool *pool_of(int connections)
{
    struct err err = {0};
    struct pg_pool *pool = test_pool("worker", connections);
    test_stop_at(migrate_up(pool, TABLES, &err), "migrate", &err);
    return pool;
}

static void send_one(struct kafka_producer *producer, const char *topic, const char *key, const char *payload)
{
    const struct kafka_header headers[] = {{"x-request-id", "req-7"}, {"traceparent", "00-aa-bb-01"}, {NULL, NULL}};
    const struct kafka_message message = {.topic = topic,
                                          .key = view_of(key),
                                          .payload = payload ? view_of(payload) : (struct view){0},
                                          .headers = headers};
    struct err err = {0};
    test_stop_at(kafka_send_all(producer, &message, 1, 30000, &err), "send", &err);
}

/* ---- an app that writes what it sees into `seen`, once
 * ------------------------------------------------------------------ */

struct app {
    struct pg_pool *db;
    int process;
    const char *refuse;         /* a payload that is bad input */
    _Atomic int fail_partition; /* this one fails with unavailable; -1: none */
    _Atomic int calls, fails, largest;
    _Atomic int other_partition_records;
};

struct seen {
    struct app *app;
    const struct kafka_batch *batch;
};

static bool store_seen(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement STORE = {"store_seen",
                                              "INSERT INTO seen (topic, partition, key, payload, process) SELECT $1, "
                                              "$2, key, payload, $5 FROM unnest($3::text[], $4::text[]) "
                                              "WITH ORDINALITY AS r (key, payload, place) ORDER BY place"};
    struct seen *seen = payload;
    const struct kafka_batch *batch = seen->batch;
    size_t first;
    if (!applied_begin(tx, batch, &first, err))
        return false;
    size_t count = batch->count - first;
    char **texts = mem_new(2 * count, sizeof *texts);
    for (size_t i = 0; i < count; i++) {
        const struct kafka_record *record = &batch->records[first + i];
        texts[i] = test_bytes(record->key.bytes, record->key.length);
        texts[count + i] = record->payload.bytes ? test_bytes(record->payload.bytes, record->payload.length) : NULL;
    }
    bool ok =
        pg_tx_exec(tx, &STORE,
                   PARAMS(PG_TEXT(batch->topic), PG_I64(batch->partition), PG_TEXTS((const char *const *)texts, count),
                          PG_TEXTS((const char *const *)texts + count, count), PG_I64(seen->app->process)),
                   NULL, err) &&
        applied_end(tx, batch, err);
    for (size_t i = 0; i < 2 * count; i++)
        free(texts[i]);
    free(texts);
    return ok;
}

static bool apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct app *app = payload;
    app->calls++;
    if ((int)batch->count > app->largest)
        app->largest = (int)batch->count;
    if (batch->partition == app->fail_partition) {
        app->fails++;
        return err_set(err, &ERR_UNAVAILABLE, "this partition waits");
    }
    for (size_t i = 0; app->refuse && i < batch->count; i++)
        if (view_equals(batch->records[i].payload, view_of(app->refuse)))
            return err_add_field(err, "/kind", "unknown");
    struct seen seen = {.app = app, .batch = batch};
    if (!pg_transaction(app->db, store_seen, &seen, err))
        return false;
    if (batch->partition != 0)
        app->other_partition_records += (int)batch->count;
    return true;
}

static struct kafka_worker *worker_of(struct app *app, const struct kafka_subscription *table, const char *group,
                                      int slot, struct kafka_producer *producer)
{
    const struct kafka_worker_options options = {
        .brokers = test_env("KAFKA_BROKERS"),
        .group = group,
        .service = group,
        .slot = slot,
        .subscriptions = table,
        .app = app,
        .producer = producer,
    };
    struct err err = {0};
    struct kafka_worker *worker = kafka_worker_start(&options, &err);
    test_stop_at(worker != NULL, "worker", &err);
    return worker;
}

static int seen_count(const char *topic)
{
    return atoi(test_sql("SELECT count(*) FROM seen WHERE topic = '%s'", topic));
}

/* Each number of 0..count-1 once, and the numbers of a key in order. */
static void expect_exactly_once_in_order(const char *topic, int count)
{
    EXPECT_I64(count, atoi(test_sql("SELECT count(DISTINCT payload) FROM seen WHERE topic = '%s'", topic)));
    EXPECT_I64(count, seen_count(topic));
    EXPECT_TEXT(
        "0",
        test_sql(
            "SELECT count(*) FROM (SELECT payload::int < lag(payload::int) OVER (PARTITION BY key ORDER BY n) AS back "
            "FROM seen WHERE topic = '%s') AS steps WHERE back",
            topic));
}

TEST(a_worker_applies_everything_in_order_and_is_ready_then, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(2);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("work", 3, false);
    struct app app = {.db = db, .fail_partition = -1};
    const struct kafka_subscription table[] = {{.topic = topic, .apply = apply, .batch_max = 100}, {0}};
    test_send_numbers(producer, topic, 0, 1000);
    AUTO(kafka_worker) worker = worker_of(&app, table, topic, 1, producer);
    EVENTUALLY(20000, kafka_worker_ready(worker));
    EXPECT_I64(1000, seen_count(topic)); /* ready: what stood there is applied */
    test_send_numbers(producer, topic, 1000, 500);
    EVENTUALLY(20000, seen_count(topic) == 1500);
    expect_exactly_once_in_order(topic, 1500);
    EXPECT(app.largest <= 100 && app.largest > 1);
    kafka_worker_release(&worker);
    /* what was committed is not read again: a new worker gets nothing but the new */
    app.calls = 0;
    worker = worker_of(&app, table, topic, 1, producer);
    EVENTUALLY(20000, kafka_worker_ready(worker));
    EXPECT_I64(0, app.calls);
    test_send_numbers(producer, topic, 1500, 1);
    EVENTUALLY(20000, seen_count(topic) == 1501);
}

static bool look_at_record(void *payload, const struct kafka_batch *batch, struct err *err)
{
    (void)err;
    _Atomic int *step = payload;
    for (size_t i = 0; i < batch->count; i++) {
        const struct kafka_record *record = &batch->records[i];
        EXPECT(view_equals(record->key, view_of("key")));
        EXPECT_TEXT("req-7", record->request_id);
        EXPECT_TEXT("00-aa-bb-01", record->traceparent);
        EXPECT(clock_now_ms() - record->timestamp_ms < 60000);
        EXPECT(*step == 1 ? record->payload.bytes == NULL : view_equals(record->payload, view_of("값")));
        ++*step;
    }
    return true;
}

TEST(a_record_carries_headers_time_and_tombstone, "")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("record", 1, true);
    _Atomic int step = 0;
    const struct kafka_subscription table[] = {{.topic = topic, .apply = look_at_record, .poison = POISON_STOP}, {0}};
    send_one(producer, topic, "key", "값");
    send_one(producer, topic, "key", NULL);
    const struct kafka_worker_options options = {.brokers = test_env("KAFKA_BROKERS"),
                                                 .group = topic,
                                                 .service = "svc",
                                                 .slot = 1,
                                                 .subscriptions = table,
                                                 .app = &step,
                                                 .producer = producer};
    struct err err = {0};
    AUTO(kafka_worker) worker = kafka_worker_start(&options, &err);
    REQUIRE_OK(worker != NULL, &err);
    EVENTUALLY(20000, step == 2);
}

/* ---- taking a partition
 * ------------------------------------------------------------------------------------------------------ */

static struct {
    _Atomic int asked[3], refuse, early, records, given_back;
} takings;

static bool take_over(void *app, const char *topic, int32_t partition, struct err *err)
{
    (void)app, (void)topic;
    takings.asked[partition]++;
    if (takings.refuse > 0) {
        takings.refuse--;
        return err_set(err, &ERR_UNAVAILABLE, "not yet");
    }
    return true;
}

static void give_back(void *app, const char *topic, int32_t partition)
{
    (void)app, (void)topic;
    takings.given_back += takings.asked[partition] > 0;
}

static bool count_taken(void *app, const struct kafka_batch *batch, struct err *err)
{
    (void)app, (void)err;
    if (!takings.asked[batch->partition] || takings.refuse > 0)
        takings.early++;
    takings.records += (int)batch->count;
    return true;
}

/* A worker whose first seven take-overs are refused, of all partitions together. */
static struct kafka_worker *start_taking(const char *topic, const struct kafka_subscription *table,
                                         struct kafka_producer *producer)
{
    const struct kafka_worker_options options = {.brokers = test_env("KAFKA_BROKERS"),
                                                 .group = topic,
                                                 .service = topic,
                                                 .slot = 1,
                                                 .subscriptions = table,
                                                 .producer = producer};
    struct err err = {0};
    memset(&takings, 0, sizeof takings);
    takings.refuse = 7;
    struct kafka_worker *worker = kafka_worker_start(&options, &err);
    test_stop_at(worker != NULL, "worker", &err);
    return worker;
}

TEST(a_partition_is_taken_over_before_its_first_batch_and_given_back_once, "I2")
{
    const char *topic = test_topic("taken", 3, false);
    const struct kafka_subscription table[] = {
        {.topic = topic, .apply = count_taken, .poison = POISON_STOP, .assigned = take_over, .revoked = give_back},
        {0}};
    AUTO(kafka_producer) producer = test_producer(NULL);
    test_send_numbers(producer, topic, 0, 300);
    AUTO(kafka_worker) worker = start_taking(topic, table, producer);
    EVENTUALLY(20000, kafka_worker_ready(worker));
    EXPECT_I64(300, takings.records);
    EXPECT_I64(0, takings.early);
    EXPECT_I64(3 + 7, takings.asked[0] + takings.asked[1] + takings.asked[2]);
    test_send_numbers(producer, topic, 300, 10); /* told once for as long as it is ours */
    EVENTUALLY(20000, takings.records == 310);
    EXPECT_I64(3 + 7, takings.asked[0] + takings.asked[1] + takings.asked[2]);
    EXPECT_I64(0, takings.given_back);
    kafka_worker_release(&worker); /* each once, whichever way they go */
    EXPECT_I64(3, takings.given_back);
}

TEST(a_worker_is_not_ready_before_it_has_taken_over_partitions_with_nothing_in_them, "I2")
{
    const char *topic = test_topic("nothing", 3, false);
    const struct kafka_subscription table[] = {
        {.topic = topic, .apply = count_taken, .poison = POISON_STOP, .assigned = take_over}, {0}};
    AUTO(kafka_producer) producer = test_producer(NULL);
    AUTO(kafka_worker) worker = start_taking(topic, table, producer);
    EVENTUALLY(20000, kafka_worker_ready(worker));
    EXPECT_I64(0, takings.refuse);
    EXPECT_I64(3 + 7, takings.asked[0] + takings.asked[1] + takings.asked[2]);
}

TEST(two_members_share_the_partitions_and_one_may_leave, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(4);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("share", 6, false);
    struct app apps[2] = {{.db = db, .process = 1, .fail_partition = -1},
                          {.db = db, .process = 2, .fail_partition = -1}};
    const struct kafka_subscription table[] = {{.topic = topic, .apply = apply, .batch_max = 20}, {0}};
    AUTO(kafka_worker) first = worker_of(&apps[0], table, topic, 1, producer);
    EVENTUALLY(20000, kafka_worker_ready(first));
    AUTO(kafka_worker) second = worker_of(&apps[1], table, topic, 2, producer);
    int sent = 0;
    /* until both have something to do */
    EVENTUALLY(30000, (test_send_numbers(producer, topic, sent, 50), sent += 50,
                       atoi(test_sql("SELECT count(DISTINCT process) FROM seen WHERE topic = '%s'", topic)) == 2));
    test_send_numbers(producer, topic, sent, 500);
    sent += 500;
    kafka_worker_release(&second); /* in the middle of it */
    test_send_numbers(producer, topic, sent, 200);
    sent += 200;
    EVENTUALLY(9000, seen_count(topic) == sent); /* sooner than a session times out */
    expect_exactly_once_in_order(topic, sent);
}

TEST(a_partition_whose_handler_fails_waits_while_the_others_go_on, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(2);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("fail", 3, false);
    struct app app = {.db = db, .fail_partition = 0};
    const struct kafka_subscription table[] = {{.topic = topic, .apply = apply, .batch_max = 50}, {0}};
    int sent = 300;
    test_send_numbers(producer, topic, 0, sent);
    AUTO(kafka_worker) worker = worker_of(&app, table, topic, 1, producer);
    while (sent < 3000) {
        test_send_numbers(producer, topic, sent, 300);
        sent += 300;
    }
    EVENTUALLY(20000, app.fails >= 4); /* it is called again and again */
    EXPECT(!kafka_worker_ready(worker));
    EVENTUALLY(20000,
               app.other_partition_records ==
                       atoi(test_sql("SELECT count(*) FROM seen WHERE topic = '%s' AND partition <> 0", topic)) &&
                   app.other_partition_records > 0);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM seen WHERE topic = '%s' AND partition = 0", topic));
    app.fail_partition = -1;
    EVENTUALLY(20000, seen_count(topic) == sent);
    EVENTUALLY(5000, kafka_worker_ready(worker));
    expect_exactly_once_in_order(topic, sent);
}

/* The partition that waits comes back to the same member after the group was shared out anew. */
TEST(a_partition_that_waited_goes_on_after_a_rebalance, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(4);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("waited", 3, false);
    struct app apps[2] = {{.db = db, .process = 1, .fail_partition = 0},
                          {.db = db, .process = 2, .fail_partition = -1}};
    const struct kafka_subscription table[] = {{.topic = topic, .apply = apply, .batch_max = 20}, {0}};
    int sent = 300;
    test_send_numbers(producer, topic, 0, sent);
    AUTO(kafka_worker) first = worker_of(&apps[0], table, topic, 1, producer);
    EVENTUALLY(20000, apps[0].fails >= 2);
    AUTO(kafka_worker) second = worker_of(&apps[1], table, topic, 2, producer);
    EVENTUALLY(30000, (test_send_numbers(producer, topic, sent, 50), sent += 50,
                       atoi(test_sql("SELECT count(DISTINCT process) FROM seen WHERE topic = '%s'", topic)) == 2));
    apps[0].fail_partition = -1;
    EVENTUALLY(20000, seen_count(topic) == sent);
    expect_exactly_once_in_order(topic, sent);
}

TEST(a_poison_record_goes_to_the_dead_letters_and_the_rest_is_applied, "I1")
{
    AUTO(pg_pool) db = pool_of(2);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("poison", 1, false);
    struct app app = {.db = db, .fail_partition = -1, .refuse = "137"};
    const struct kafka_subscription table[] = {{.topic = topic, .apply = apply, .poison = POISON_DEAD_LETTER}, {0}};
    test_send_numbers(producer, topic, 0, 300);
    AUTO(kafka_worker) worker = worker_of(&app, table, topic, 1, producer);
    EVENTUALLY(20000, seen_count(topic) == 299);
    EVENTUALLY(5000, kafka_worker_ready(worker));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM seen WHERE topic = '%s' AND payload = '137'", topic));
    char letters[200];
    (void)snprintf(letters, sizeof letters, "%s.dlq", topic);
    struct test_reader *reader = test_reader_open(letters, 1);
    EVENTUALLY(10000, test_reader_count(reader) >= 1);
    EXPECT_I64(1, reader->count);
    EXPECT_TEXT("k7", test_reader_at(reader, 0)->key);
    EXPECT_TEXT("137", test_reader_at(reader, 0)->payload);
    char origin[300];
    (void)snprintf(origin, sizeof origin,
                   "x-origin-topic=%s\nx-origin-partition=0\nx-origin-offset=137\nx-error=bad_input:", topic);
    EXPECT(strstr(test_reader_at(reader, 0)->headers, origin) != NULL);
    EXPECT(strstr(test_reader_at(reader, 0)->headers, "/kind unknown") != NULL);
    test_reader_release(&reader);
}

TEST(a_poison_record_of_a_compacted_topic_stops_its_partition_alone, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(2);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("stop", 2, true);
    struct app app = {.db = db, .fail_partition = -1, .refuse = "bad"};
    const struct kafka_subscription table[] = {{.topic = topic, .apply = apply, .poison = POISON_STOP}, {0}};
    for (int i = 0; i < 5; i++)
        test_send_numbers(producer, topic, i * 20, 20);
    send_one(producer, topic, "k0", "bad");
    test_send_numbers(producer, topic, 100, 20);
    AUTO(kafka_worker) worker = worker_of(&app, table, topic, 1, producer);
    const struct metric_child *stopped =
        METRIC_CHILD(metric_gauge("madang_kafka_stopped_partitions", "", "topic"), topic);
    EVENTUALLY(20000, metric_value(stopped) == 1);
    EVENTUALLY(20000, kafka_worker_ready(worker)); /* the service goes on, and alarms */
    /* all before it, and nothing behind it in its partition */
    EXPECT_TEXT("10", test_sql("SELECT count(*) FROM seen WHERE topic = '%s' AND key = 'k0'", topic));
    int applied = seen_count(topic), more = 0;
    test_send_numbers(producer, topic, 120, 20);
    EVENTUALLY(10000, (more = seen_count(topic)) > applied); /* the other partition lives */
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM seen WHERE topic = '%s' AND payload::int >= 100 AND partition = "
                              "(SELECT partition FROM seen WHERE topic = '%s' AND key = 'k0' LIMIT 1)",
                              topic, topic));
    kafka_worker_release(&worker);
    EXPECT_I64(0, metric_value(stopped));
}

/* ---- processes that are killed
 * ---------------------------------------------------------------------------------------- */

/* This program again, as a member of the group, until it is killed. */
static pid_t start_member(const char *topic)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("TEST_ROLE", topic, 1);
        setenv("TEST_SCHEMA", test_schema_name, 1);
        execl("/proc/self/exe", "member", (char *)NULL);
        _exit(1);
    }
    return pid;
}

__attribute__((constructor)) static void run_as_member(void)
{
    const char *topic = getenv("TEST_ROLE");
    if (!topic)
        return;
    struct err err = {0};
    struct pg_pool *db = pg_pool_open(test_env("PG_URL"), getenv("TEST_SCHEMA"), 2, &err);
    test_stop_at(db != NULL, "pool", &err);
    struct app app = {.db = db, .process = (int)getpid(), .fail_partition = -1};
    const struct kafka_subscription table[] = {{.topic = topic, .apply = apply, .batch_max = 10, .poison = POISON_STOP},
                                               {0}};
    (void)worker_of(&app, table, topic, 1, NULL);
    for (;;)
        (void)pause();
}

TEST(members_killed_at_any_time_apply_each_record_once, "I1 I2")
{
    AUTO(pg_pool) db = pool_of(2);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("killed", 3, false);
    enum { KILLS = 5, EACH = 1500 };
    int sent = 0;
    for (int round = 0; round < KILLS; round++) {
        pid_t member = start_member(topic);
        test_send_numbers(producer, topic, sent, EACH);
        sent += EACH;
        int goal = seen_count(topic) + (int)(test_random() % (EACH / 2)) + 1;
        EVENTUALLY(20000, seen_count(topic) >= goal); /* at work */
        kill(member, SIGKILL);
        waitpid(member, NULL, 0);
    }
    pid_t member = start_member(topic);
    EVENTUALLY(30000, seen_count(topic) >= sent);
    kill(member, SIGKILL);
    waitpid(member, NULL, 0);
    expect_exactly_once_in_order(topic, sent);
}

TEST(a_batch_that_comes_again_changes_nothing, "I1")
{
    AUTO(pg_pool) db = pool_of(1);
    struct app app = {.db = db};
    struct kafka_record records[5];
    for (int i = 0; i < 5; i++)
        records[i] = (struct kafka_record){
            .offset = 10 + 2 * i, .key = VIEW("k"), .payload = VIEW("p")}; /* compaction leaves holes */
    struct kafka_batch batch = {.topic = "again", .partition = 3, .records = records, .count = 3};
    struct seen seen = {.app = &app, .batch = &batch};
    struct err err = {0};
    REQUIRE_OK(pg_transaction(db, store_seen, &seen, &err), &err);
    EXPECT_I64(3, seen_count("again"));
    REQUIRE_OK(pg_transaction(db, store_seen, &seen, &err), &err);
    EXPECT_I64(3, seen_count("again"));
    batch.count = 5; /* overlaps: two are new */
    REQUIRE_OK(pg_transaction(db, store_seen, &seen, &err), &err);
    EXPECT_I64(5, seen_count("again"));
    batch.count = 2; /* an older batch never moves the mark back */
    REQUIRE_OK(pg_transaction(db, store_seen, &seen, &err), &err);
    EXPECT_TEXT("19", test_sql("SELECT next_offset FROM applied WHERE topic = 'again' AND partition = 3"));
}

/* The last one: the reason of service_fail stays for the life of the process. */
TEST(a_member_whose_place_is_taken_ends_the_process, "")
{
    AUTO(pg_pool) db = pool_of(2);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("fence", 1, false);
    struct app app = {.db = db, .fail_partition = -1};
    const struct kafka_subscription table[] = {{.topic = topic, .apply = apply, .poison = POISON_STOP}, {0}};
    AUTO(kafka_worker) first = worker_of(&app, table, topic, 1, producer);
    EVENTUALLY(20000, kafka_worker_ready(first));
    EXPECT(!service_stopping());
    AUTO(kafka_worker) second = worker_of(&app, table, topic, 1, producer);
    EVENTUALLY(20000, service_stopping());
    test_send_numbers(producer, topic, 0, 10);
    EVENTUALLY(20000, seen_count(topic) == 10); /* the newcomer works */
}
