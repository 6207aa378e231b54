#include "test_kafka.h"
#include "clock.h"
#include "kafka.h"

#include <pthread.h>
#include <stdatomic.h>

static struct kafka_message message_of(const char *topic, const char *key, const char *payload)
{
    return (struct kafka_message){
        .topic = topic, .key = view_of(key), .payload = payload ? view_of(payload) : (struct view){0}};
}

TEST(missing_topics_are_made_and_another_partition_count_is_refused, "")
{
    struct err err = {0};
    char name[64];
    (void)snprintf(name, sizeof name, "t.made.%d", (int)getpid());
    struct topic table[] = {{.name = name, .partitions = 3, .compacted = true}, {0}};
    (void)snprintf(test_topic_names[test_topic_count], sizeof test_topic_names[0], "%s", name);
    if (!test_topic_count++)
        (void)atexit(test_topics_delete);
    REQUIRE_OK(kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err), &err);
    REQUIRE_OK(kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err), &err);
    table[0].partitions = 4;
    EXPECT(!kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err));
    EXPECT(strstr(err.message, name) != NULL);
    char variable[128];
    (void)snprintf(variable, sizeof variable, "KAFKA_PARTITIONS_T_MADE_%d", (int)getpid());
    setenv(variable, "3", 1);
    err_clear(&err);
    REQUIRE_OK(kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err), &err);
    setenv(variable, "three", 1);
    EXPECT(!kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err));
    unsetenv(variable);
    EXPECT(!kafka_ensure_topics(test_env("KAFKA_BROKERS"), (const char *const[]){"no.such.topic", NULL}, &err));
}

TEST(a_topic_that_is_spread_is_made_as_the_setting_says_and_stays_so, "")
{
    char name[64], variable[128];
    struct err err = {0};
    (void)snprintf(name, sizeof name, "t.spread.%d", (int)getpid());
    (void)snprintf(variable, sizeof variable, "KAFKA_PARTITIONS_T_SPREAD_%d", (int)getpid());
    (void)snprintf(test_topic_names[test_topic_count++], sizeof test_topic_names[0], "%s", name);
    const struct topic table[] = {{.name = name, .partitions = TOPIC_SPREAD, .retention_ms = HOURS_MS(1)}, {0}};
    AUTO_FREE char *before = getenv("KAFKA_PARTITIONS") ? strdup(getenv("KAFKA_PARTITIONS")) : NULL;
    for (const char *const *made = (const char *const[]){"many", "2", "5", NULL}; *made; made++) {
        setenv("KAFKA_PARTITIONS", *made, 1);
        EXPECT(kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err) == (**made != 'm'));
        err_clear(&err);
    }
    setenv(variable, "2", 1); /* made with the first number that was one; the second found it there */
    REQUIRE_OK(kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err), &err);
    setenv(variable, "5", 1);
    EXPECT(!kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err));
    unsetenv(variable);
    if (before)
        setenv("KAFKA_PARTITIONS", before, 1);
    else
        unsetenv("KAFKA_PARTITIONS");
}

static void *make_topics(void *table)
{
    struct err err = {0};
    return kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err) ? table : NULL;
}

TEST(topics_made_by_many_at_once_exist_once, "")
{
    char name[64];
    (void)snprintf(name, sizeof name, "t.rivals.%d", (int)getpid());
    (void)snprintf(test_topic_names[test_topic_count++], sizeof test_topic_names[0], "%s", name);
    enum { RIVALS = 4 };
    struct topic table[] = {{.name = name, .partitions = 2, .retention_ms = HOURS_MS(1)}, {0}};
    pthread_t threads[RIVALS];
    for (int i = 0; i < RIVALS; i++)
        pthread_create(&threads[i], NULL, make_topics, table);
    for (int i = 0; i < RIVALS; i++) {
        void *ok;
        pthread_join(threads[i], &ok);
        EXPECT(ok != NULL);
    }
}

TEST(a_batch_arrives_in_order_with_keys_headers_and_tombstones, "I2")
{
    const char *topic = test_topic("send", 6, false);
    AUTO(kafka_producer) producer = test_producer(NULL);
    struct err err = {0};
    const struct kafka_header headers[] = {{"x-request-id", "req-1"}, {"traceparent", "00-ab-cd-01"}, {NULL, NULL}};
    struct kafka_message batch[] = {
        message_of(topic, "kafka", "첫째"),
        message_of(topic, "kafka", ""),
        message_of(topic, "kafka", NULL),
        message_of(topic, "kafka", "넷째"),
    };
    batch[0].headers = headers;
    REQUIRE_OK(kafka_send_all(producer, batch, 4, 10000, &err), &err);
    struct test_reader *reader = test_reader_open(topic, 6);
    EVENTUALLY(10000, test_reader_count(reader) >= 4);
    EXPECT_I64(4, reader->count);
    EXPECT_TEXT("첫째", test_reader_at(reader, 0)->payload);
    EXPECT_TEXT("x-request-id=req-1\ntraceparent=00-ab-cd-01\n", test_reader_at(reader, 0)->headers);
    EXPECT_TEXT("", test_reader_at(reader, 1)->payload);
    EXPECT(test_reader_at(reader, 2)->payload == NULL);
    EXPECT_TEXT("넷째", test_reader_at(reader, 3)->payload);
    EXPECT_TEXT("kafka", test_reader_at(reader, 3)->key);
    /* Java's partitioner: murmur2("kafka") = 0xd067cf64 */
    EXPECT_I64((0xd067cf64 & 0x7fffffff) % 6, test_reader_at(reader, 0)->partition);
    EXPECT(kafka_producer_ready(producer));
    test_reader_release(&reader);
}

TEST(more_than_the_queue_holds_still_goes_through, "I9")
{
    const char *topic = test_topic("much", 1, false);
    AUTO(kafka_producer) producer = test_producer(NULL);
    struct err err = {0};
    enum { MANY = 30000 }; /* the queue takes 20,000 */
    struct kafka_message *batch = mem_new(MANY, sizeof *batch);
    for (int i = 0; i < MANY; i++)
        batch[i] = message_of(topic, "k", "payload");
    EXPECT(kafka_send_all(producer, batch, MANY, 60000, &err));
    free(batch);
    struct test_reader *reader = test_reader_open(topic, 1);
    EVENTUALLY(30000, test_reader_count(reader) >= MANY);
    EXPECT_I64(MANY, reader->count);
    test_reader_release(&reader);
}

/* ---- the fatal path
 * --------------------------------------------------------------------------------------------------- */

enum { SENDERS = 3, BATCHES = 60, BATCH = 20 };
struct sender {
    struct kafka_producer *producer;
    const char *topic;
    int id, failed;
    _Atomic int batches;
};

static void *send_batches(void *payload)
{
    struct sender *sender = payload;
    char key[16], payloads[BATCH][24];
    (void)snprintf(key, sizeof key, "sender-%d", sender->id);
    for (; sender->batches < BATCHES; sender->batches++) {
        struct kafka_message batch[BATCH];
        for (int i = 0; i < BATCH; i++) {
            (void)snprintf(payloads[i], sizeof payloads[i], "%d", sender->batches * BATCH + i);
            batch[i] = message_of(sender->topic, key, payloads[i]);
        }
        struct err err = {0};
        sender->failed += !kafka_send_all(sender->producer, batch, BATCH, 20000, &err);
    }
    return NULL;
}

/* All numbers of a key are there, first seen in order, and the last record is the newest: what a compacted topic keeps.
 */
static void expect_in_order(const struct test_reader *reader, const char *key, int count)
{
    int seen = -1, last = -1, gaps = 0;
    for (size_t i = 0; i < reader->count; i++) {
        if (strcmp(reader->records[i].key, key) != 0)
            continue;
        last = atoi(reader->records[i].payload);
        if (last > seen + 1)
            gaps++;
        if (last > seen)
            seen = last;
    }
    EXPECT_I64(0, gaps);
    EXPECT_I64(count - 1, seen);
    EXPECT_I64(count - 1, last);
}

static bool has_last_of_all(struct test_reader *reader)
{
    bool last[SENDERS] = {false};
    (void)test_reader_count(reader);
    for (size_t i = 0; i < reader->count; i++)
        last[atoi(reader->records[i].key + 7)] |= atoi(reader->records[i].payload) == BATCHES * BATCH - 1;
    return last[0] && last[1] && last[2];
}

TEST(after_a_fatal_error_a_new_producer_sends_what_is_left_in_order, "I1 I2")
{
    const char *topic = test_topic("fatal", 2, false);
    AUTO(kafka_producer) producer = test_producer(NULL);
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.producer = producer, .topic = topic, .id = i};
        pthread_create(&threads[i], NULL, send_batches, &senders[i]);
    }
    int fatal = 0;
    rd_kafka_t *broken = NULL;
    for (int step = 10; step < BATCHES; step += 10) {
        EVENTUALLY(60000, senders[0].batches >= step);
        rd_kafka_t *client = kafka_producer_client(producer);
        if (client && client != broken &&
            rd_kafka_test_fatal_error(client, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "test") == 0) {
            broken = client;
            fatal++;
        }
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT(fatal >= 1);
    struct test_reader *reader = test_reader_open(topic, 2);
    EVENTUALLY(20000, has_last_of_all(reader));
    for (int i = 0; i < SENDERS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "sender-%d", i);
        EXPECT_I64(0, senders[i].failed);
        expect_in_order(reader, key, BATCHES * BATCH);
    }
    test_reader_release(&reader);
}

TEST(brokers_that_are_away_cost_the_time_limit_and_say_unavailable, "I10")
{
    struct err err = {0};
    AUTO(kafka_producer) producer = kafka_producer_open("127.0.0.1:1", "test", &err);
    REQUIRE_OK(producer != NULL, &err);
    const struct kafka_message message = message_of("nowhere", "k", "v");
    for (int i = 0; i < 3; i++) {
        EXPECT(!kafka_send_all(producer, &message, 1, 300, &err));
        EXPECT_PROBLEM("unavailable", &err);
        EXPECT_I64(1, err.retry_after_s);
    }
    EXPECT(!kafka_producer_ready(producer));
    EXPECT(!kafka_ensure_topics("127.0.0.1:1", (const char *const[]){TOPIC_ACCOUNTS, NULL}, &err));
    EXPECT_PROBLEM("unavailable", &err);
}

TEST(a_message_that_is_too_large_fails_at_once_and_harms_no_other, "I10")
{
    const char *topic = test_topic("large", 1, false);
    AUTO(kafka_producer) producer = test_producer(NULL);
    struct err err = {0};
    char *large = mem_new(2000001, 1);
    memset(large, 'x', 2000000);
    const struct kafka_message bad = message_of(topic, "k", large), good = message_of(topic, "k", "small");
    EXPECT(!kafka_send_all(producer, &bad, 1, 10000, &err));
    err_clear(&err);
    REQUIRE_OK(kafka_send_all(producer, &good, 1, 10000, &err), &err);
    free(large);
}
