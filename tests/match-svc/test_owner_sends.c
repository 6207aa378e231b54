/* Events that the brokers do not take: on brokers that can be switched off (librdkafka's own, in this process). */
#include "owner_kit.h"

#include <librdkafka/rdkafka_mock.h>

enum { COMMANDS = 60, BUNDLE = 5, SEND_MS = 300 };

struct cluster {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *mock;
    const char *brokers;
};

static struct cluster cluster_open(void)
{
    struct err err = {0};
    rd_kafka_conf_t *conf = kafka_conf_new("127.0.0.1:1", "mock", NULL, &err);
    struct cluster cluster = {.rk = kafka_client_new(RD_KAFKA_PRODUCER, conf, &err)};
    cluster.mock = rd_kafka_mock_cluster_new(cluster.rk, 1);
    cluster.brokers = rd_kafka_mock_cluster_bootstraps(cluster.mock);
    (void)rd_kafka_mock_topic_create(cluster.mock, "c", 1, 1);
    (void)rd_kafka_mock_topic_create(cluster.mock, "e", 1, 1);
    return cluster;
}

static void cluster_close(struct cluster *cluster)
{
    rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->rk);
}

/* The log of commands, in memory. */
struct log {
    struct kafka_record records[COMMANDS];
    struct str payloads[COMMANDS];
    char key[UUID_TEXT_BYTES];
};

static void log_fill(struct log *log)
{
    struct scene scene = {.market = world_id(), .bot = world_id()};
    uuid_format(&scene.market, log->key);
    for (int i = 0; i < KIT_PEOPLE; i++)
        scene.people[i] = world_id();
    for (int i = 0; i < COMMANDS; i++) {
        struct market_command command = scene_any(&scene);
        if (i == 0)
            command = (struct market_command){.kind = MARKET_OPEN,
                                              .market = scene.market,
                                              .open = {.seed_cash = 10000000,
                                                       .tick = 5,
                                                       .price_min = 5,
                                                       .price_max = 5000,
                                                       .company_count = 1,
                                                       .companies = {{world_id(), 500}}}};
        if (i == 1)
            command = (struct market_command){.kind = MARKET_START, .market = scene.market};
        command.source = 1;
        command.n = (uint64_t)i + 1;
        str_init(&log->payloads[i]);
        market_command_encode(&log->payloads[i], &command);
        log->records[i] = (struct kafka_record){.offset = i / BUNDLE, /* each message has so many */
                                                .place = (uint32_t)i % BUNDLE,
                                                .more = BUNDLE - 1 - (uint32_t)i % BUNDLE,
                                                .timestamp_ms = 1000 + i,
                                                .key = view_of(log->key),
                                                .payload = {log->payloads[i].bytes, log->payloads[i].length}};
    }
}

static bool log_apply(struct log *log, struct match_app *app, int from, int to, struct err *err)
{
    const struct kafka_batch batch = {
        .topic = "c", .partition = 0, .records = log->records + from, .count = (size_t)(to - from)};
    return owner_apply(app, &batch, err);
}

TEST(what_could_not_be_sent_is_sent_whole_before_anything_newer, "I1 I2")
{
    struct cluster cluster = cluster_open();
    struct err err = {0};
    AUTO(pg_pool) db = test_pool("sends", 4);
    REQUIRE_OK(migrate_up(db, MATCH_MIGRATIONS, &err), &err);
    AUTO(kafka_producer) producer = test_producer(cluster.brokers);
    struct match_app app = {0};
    AUTO(owner)
    owner = app.owner = owner_open(&(struct owner_options){.brokers = cluster.brokers,
                                                           .producer = producer,
                                                           .db = db,
                                                           .commands_topic = "c",
                                                           .events_topic = "e",
                                                           .snapshot_commands = 1000000,
                                                           .snapshot_seconds = 86400,
                                                           .linger_seconds = 86400,
                                                           .orders_max = 100000,
                                                           .accounts_max = 100,
                                                           .send_ms = SEND_MS,
                                                           .bundles = true},
                                   &err);
    REQUIRE_OK(owner != NULL, &err);
    struct log log;
    log_fill(&log);
    REQUIRE_OK(owner_assigned(&app, "c", 0, &err), &err);
    REQUIRE_OK(log_apply(&log, &app, 0, 10, &err), &err);
    for (int outage = 0; outage < 2; outage++) {
        const int from = 10 + outage * 20;
        (void)rd_kafka_mock_broker_set_down(cluster.mock, 1);
        EXPECT(!log_apply(&log, &app, from, from + 15, &err));
        EXPECT_PROBLEM("unavailable", &err);
        EXPECT(!log_apply(&log, &app, from, from + 20, &err)); /* the worker's next try may hold more */
        EXPECT_PROBLEM("unavailable", &err);
        (void)rd_kafka_mock_broker_set_up(cluster.mock, 1);
        EXPECT(EVENTUALLY(KIT_WAIT_MS, log_apply(&log, &app, from, from + 20, &err)));
    }
    EXPECT(EVENTUALLY(KIT_WAIT_MS, log_apply(&log, &app, 50, COMMANDS, &err)));
    LINES told = {0};
    REQUIRE_OK(kafka_read(cluster.brokers, "e", 0, 0, INT64_MAX, 10000, lines_hear, &told, &err), &err);
    struct straight straight = {0};
    str_init(&straight.bytes);
    const struct kafka_batch all = {.topic = "c", .records = log.records, .count = COMMANDS};
    REQUIRE_OK(straight_run(&straight, &all, &err), &err);
    EXPECT(!told.gap);
    EXPECT(!told.differ);
    EXPECT_I64((int64_t)straight.lines.count, (int64_t)told.count);
    for (size_t i = 0; i < told.count && i < straight.lines.count; i++)
        EXPECT(told.items[i].length == straight.lines.items[i].length &&
               memcmp(told.items[i].bytes, straight.lines.items[i].bytes, told.items[i].length) == 0);
    lines_free(&straight.lines);
    str_free(&straight.bytes);
    book_release(&straight.books[0].book);
    for (int i = 0; i < COMMANDS; i++)
        str_free(&log.payloads[i]);
    owner_release(&owner);
    kafka_producer_release(&producer);
    cluster_close(&cluster);
}
