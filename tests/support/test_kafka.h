/* test_kafka.h - topics of one test program on the brokers of KAFKA_BROKERS, and a reader of all that is in one.
 *     const char *topic = test_topic("orders", 3, true);  // a new name each time; deleted when the program ends
 *     struct test_reader *reader = test_reader_open(topic, 3);
 *     EVENTUALLY(10000, test_reader_count(reader) == 5);   // reads on, from the very start
 *     test_reader_at(reader, 0)->key ...                   // in the order of each partition
 * For tests only: any failure ends the program with the reason. */
#ifndef MADANG_TEST_KAFKA_H
#define MADANG_TEST_KAFKA_H

#include "kafka.h"
#include "kafka_bundle.h"
#include "kafka_conf.h"
#include "mem.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct test_record {
    int32_t partition;
    int64_t offset;
    char *key, *payload; /* payload NULL: a tombstone */
    char *headers;       /* "name=value\n"... */
};

struct test_reader {
    rd_kafka_t *rk;
    struct test_record *records;
    size_t count;
};

static char test_topic_names[64][160];
static int test_topic_count;

__attribute__((unused)) static void test_stop_at(bool ok, const char *what, const struct err *err)
{
    if (ok)
        return;
    printf("%s: %s %s\n", what, err->message, err->detail);
    exit(1);
}

/* On these brokers, or the test's own (NULL). */
__attribute__((unused)) static struct kafka_producer *test_producer(const char *brokers)
{
    struct err err = {0};
    struct kafka_producer *producer = kafka_producer_open(brokers ? brokers : test_env("KAFKA_BROKERS"), "test", &err);
    test_stop_at(producer != NULL, "producer", &err);
    return producer;
}

/* A worker for this table on the brokers of KAFKA_BROKERS; group and service are called like its first topic. */
__attribute__((unused)) static struct kafka_worker *test_worker(const struct kafka_subscription *table, void *app,
                                                                struct kafka_producer *producer)
{
    const struct kafka_worker_options options = {.brokers = test_env("KAFKA_BROKERS"),
                                                 .group = table->topic,
                                                 .service = table->topic,
                                                 .slot = 1,
                                                 .subscriptions = table,
                                                 .app = app,
                                                 .producer = producer};
    struct err err = {0};
    struct kafka_worker *worker = kafka_worker_start(&options, &err);
    test_stop_at(worker != NULL, "worker", &err);
    return worker;
}

/* Sends payloads "<from>".."<from + count - 1>", keys "k0".."k9" in turn. */
__attribute__((unused)) static void test_send_numbers(struct kafka_producer *producer, const char *topic, int from,
                                                      int count)
{
    struct kafka_message *batch = mem_new((size_t)count, sizeof *batch);
    char(*texts)[2][16] = mem_new((size_t)count, sizeof *texts);
    for (int i = 0; i < count; i++) {
        (void)snprintf(texts[i][0], sizeof texts[i][0], "k%d", (from + i) % 10);
        (void)snprintf(texts[i][1], sizeof texts[i][1], "%d", from + i);
        batch[i] = (struct kafka_message){.topic = topic, .key = view_of(texts[i][0]), .payload = view_of(texts[i][1])};
    }
    struct err err = {0};
    test_stop_at(kafka_send_all(producer, batch, (size_t)count, 30000, &err), "send", &err);
    free(batch);
    free(texts);
}

static void test_topics_delete(void)
{
    struct err err = {0};
    rd_kafka_conf_t *conf = kafka_conf_new(test_env("KAFKA_BROKERS"), "test", NULL, &err);
    rd_kafka_t *client = kafka_client_new(RD_KAFKA_PRODUCER, conf, &err);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(client);
    rd_kafka_DeleteTopic_t *names[128];
    size_t count = 0;
    for (int i = 0; i < test_topic_count; i++) {
        char letters[200];
        (void)snprintf(letters, sizeof letters, "%s.dlq", test_topic_names[i]);
        names[count++] = rd_kafka_DeleteTopic_new(test_topic_names[i]);
        names[count++] = rd_kafka_DeleteTopic_new(letters);
    }
    rd_kafka_DeleteTopics(client, names, count, NULL, answers);
    rd_kafka_event_destroy(rd_kafka_queue_poll(answers, 10000));
    rd_kafka_DeleteTopic_destroy_array(names, count);
    rd_kafka_queue_destroy(answers);
    rd_kafka_destroy(client);
}

__attribute__((unused)) static const char *test_topic(const char *name, int partitions, bool compacted)
{
    struct err err = {0};
    char *topic = test_topic_names[test_topic_count];
    if (!test_topic_count++)
        (void)atexit(test_topics_delete);
    (void)snprintf(topic, sizeof test_topic_names[0], "t.%s.%d.%llx", name, (int)getpid(),
                   (unsigned long long)(test_random() & 0xffffff));
    const struct topic table[] = {
        {.name = topic, .partitions = partitions, .compacted = compacted, .retention_ms = HOURS_MS(1)}, {0}};
    test_stop_at(kafka_create_topics(test_env("KAFKA_BROKERS"), table, &err), topic, &err);
    return topic;
}

__attribute__((unused)) static struct test_reader *test_reader_open(const char *topic, int partitions)
{
    static const struct kafka_setting SETTINGS[] = {
        {"group.id", "test"}, {"enable.auto.commit", "false"}, {"fetch.wait.max.ms", "50"}, {NULL, NULL}};
    struct err err = {0};
    struct test_reader *reader = MEM_NEW(test_reader);
    rd_kafka_conf_t *conf = kafka_conf_new(test_env("KAFKA_BROKERS"), "test", SETTINGS, &err);
    test_stop_at(conf && (reader->rk = kafka_client_new(RD_KAFKA_CONSUMER, conf, &err)), "reader", &err);
    (void)rd_kafka_poll_set_consumer(reader->rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    (void)rd_kafka_assign(reader->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return reader;
}

__attribute__((unused)) static char *test_bytes(const void *bytes, size_t length)
{
    char *text = mem_new(length + 1, 1);
    return bytes ? memcpy(text, bytes, length) : text;
}

__attribute__((unused)) static struct test_record *test_reader_more(struct test_reader *reader,
                                                                    const rd_kafka_message_t *message)
{
    reader->records = mem_grow(reader->records, reader->count + 1, sizeof *reader->records);
    struct test_record *record = &reader->records[reader->count++];
    *record = (struct test_record){.partition = message->partition, .offset = message->offset};
    record->key = test_bytes(message->key, message->key_len);
    return record;
}

/* The records of a bundle one by one, with those of its headers that struct kafka_record has. */
__attribute__((unused)) static void test_reader_open_bundle(struct test_reader *reader,
                                                            const rd_kafka_message_t *message)
{
    struct kafka_records opened = {0};
    kafka_records_add(&opened, message, false);
    for (size_t i = 0; i < opened.count; i++) {
        const struct kafka_record *from = &opened.items[i];
        const char *const values[] = {from->request_id, from->traceparent, from->corr,
                                      from->users,      from->given,       from->unfinished};
        static const char *const NAMES[] = {"x-request-id", "traceparent", "corr", "users", "given", "unfinished"};
        struct test_record *record = test_reader_more(reader, message);
        struct str headers = {0};
        str_init(&headers);
        for (size_t h = 0; h < sizeof values / sizeof *values; h++)
            if (values[h])
                str_printf(&headers, "%s=%s\n", NAMES[h], values[h]);
        record->payload = test_bytes(from->payload.bytes, from->payload.length);
        record->headers = headers.bytes;
    }
    kafka_records_free(&opened);
}

__attribute__((unused)) static void test_reader_take(struct test_reader *reader, const rd_kafka_message_t *message)
{
    struct test_record *record = test_reader_more(reader, message);
    struct str headers = {0};
    rd_kafka_headers_t *list;
    const char *name;
    const void *value;
    size_t size;
    record->payload = message->payload ? test_bytes(message->payload, message->len) : NULL;
    str_init(&headers);
    if (!rd_kafka_message_headers(message, &list))
        for (size_t i = 0; !rd_kafka_header_get_all(list, i, &name, &value, &size); i++)
            str_printf(&headers, "%s=%.*s\n", name, (int)size, (const char *)value);
    record->headers = headers.bytes;
}

/* Reads what is there and gives the number of records so far, those of bundles one by one. */
__attribute__((unused)) static size_t test_reader_count(struct test_reader *reader)
{
    rd_kafka_message_t *message;
    while ((message = rd_kafka_consumer_poll(reader->rk, 20))) {
        if (!message->err && kafka_bundle_count((struct view){message->payload, message->len}) > 1)
            test_reader_open_bundle(reader, message);
        else if (!message->err)
            test_reader_take(reader, message);
        rd_kafka_message_destroy(message);
    }
    return reader->count;
}

__attribute__((unused)) static const struct test_record *test_reader_at(const struct test_reader *reader, size_t place)
{
    static const struct test_record NONE = {
        .key = (char *)"(none)", .payload = (char *)"(none)", .headers = (char *)""};
    return place < reader->count ? &reader->records[place] : &NONE;
}

__attribute__((unused)) static void test_reader_release(struct test_reader **reader)
{
    (void)rd_kafka_consumer_close((*reader)->rk);
    rd_kafka_destroy((*reader)->rk);
    for (size_t i = 0; i < (*reader)->count; i++) {
        free((*reader)->records[i].key);
        free((*reader)->records[i].payload);
        free((*reader)->records[i].headers);
    }
    free((*reader)->records);
    free(*reader);
    *reader = NULL;
}

#endif
