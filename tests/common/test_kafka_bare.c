/* Consumers that look at no headers are given none, unless somebody else needs them: traces and dead letters. */
#include "log.h"
#include "test_kafka.h"
#include "trace.h"

#include <stdatomic.h>
#include <string.h>

enum { COUNT = 20 };

/* What a consumer was given. */
struct given {
    atomic_int records, with_headers, wrong;
};

static void take(struct given *given, const struct kafka_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct kafka_record *record = &batch->records[i];
        const bool corr = record->corr && strcmp(record->corr, "me:7") == 0,
                   id = record->request_id && strcmp(record->request_id, "req-7") == 0;
        atomic_fetch_add(&given->with_headers, corr && id);
        atomic_fetch_add(&given->wrong, corr != id || record->key.length != 1 || record->payload.length != 4);
        atomic_fetch_add(&given->records, 1);
    }
}

static void hear(void *app, const struct kafka_batch *batch)
{
    take(app, batch);
}

static bool apply(void *app, const struct kafka_batch *batch, struct err *err)
{
    (void)err;
    take(app, batch);
    return true;
}

static void send_some(struct kafka_producer *producer, const char *topic)
{
    const struct kafka_header headers[] = {{"corr", "me:7"}, {"x-request-id", "req-7"}, {NULL, NULL}};
    struct kafka_message messages[COUNT];
    for (int i = 0; i < COUNT; i++)
        messages[i] =
            (struct kafka_message){.topic = topic, .key = VIEW("k"), .payload = VIEW("said"), .headers = headers};
    struct err err = {0};
    test_stop_at(kafka_send_all(producer, messages, COUNT, 30000, &err), "send", &err);
}

TEST(a_bare_listener_is_given_no_headers_and_others_are, "I1")
{
    const char *topic = test_topic("bare", 1, false), *whole = test_topic("whole", 1, false);
    AUTO(kafka_producer) producer = test_producer(NULL);
    const struct kafka_listening bare[] = {{.topic = topic, .hear = hear, .from = LISTEN_FROM_START, .bare = true},
                                           {0}},
                                 plain[] = {{.topic = whole, .hear = hear, .from = LISTEN_FROM_START}, {0}};
    struct given less = {0}, all = {0};
    struct err err = {0};
    send_some(producer, topic);
    send_some(producer, whole);
    AUTO(kafka_listener) first = kafka_listener_start(test_env("KAFKA_BROKERS"), "bare", bare, &less, &err);
    AUTO(kafka_listener) second = kafka_listener_start(test_env("KAFKA_BROKERS"), "whole", plain, &all, &err);
    test_stop_at(first && second, "listeners", &err);
    EVENTUALLY(20000, less.records == COUNT && all.records == COUNT);
    EXPECT_I64(0, less.with_headers);
    EXPECT_I64(COUNT, all.with_headers);
    EXPECT_I64(0, less.wrong + all.wrong);
}

static void work(const struct kafka_subscription *subscription, struct given *given)
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const struct kafka_subscription table[] = {*subscription, {0}};
    send_some(producer, subscription->topic);
    AUTO(kafka_worker) worker = test_worker(table, given, producer);
    EVENTUALLY(20000, given->records == COUNT);
    EXPECT_I64(0, given->wrong);
}

TEST(a_bare_worker_is_given_no_headers_while_no_traces_are_exported, "I1")
{
    const struct kafka_subscription bare = {
        .topic = test_topic("worker", 1, false), .apply = apply, .poison = POISON_STOP, .bare = true};
    struct given given = {0}, traced = {0};
    struct err err = {0};
    work(&bare, &given);
    EXPECT_I64(0, given.with_headers);
    REQUIRE_OK(trace_open("test", "test-1", "http://127.0.0.1:1/v1/traces", &err), &err);
    const struct kafka_subscription with_traces = {
        .topic = test_topic("traced", 1, false), .apply = apply, .poison = POISON_STOP, .bare = true};
    work(&with_traces, &traced);
    trace_close();
    EXPECT_I64(COUNT, traced.with_headers);
}

TEST(dead_letters_keep_their_headers, "I1")
{
    const struct kafka_subscription letters = {
        .topic = test_topic("letters", 1, false), .apply = apply, .poison = POISON_DEAD_LETTER, .bare = true};
    struct given given = {0};
    work(&letters, &given);
    EXPECT_I64(COUNT, given.with_headers);
}

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}
