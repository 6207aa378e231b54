/* kafka.h - Apache Kafka by librdkafka 2.0.2: a producer that loses nothing, workers that own partitions.
 *
 * Producer: idempotent, acks=all, murmur2_random, bounded queue. After a fatal error a new producer is made and what is
 * unacknowledged is sent again, in order (receivers drop doubles).
 * Worker: a consumer group member (static: group.instance.id = service-slot, range assignor). It hands the handler a batch of records
 * of ONE partition, in order; the handler stores its work and the offset in one transaction (applied.h); then the
 * worker commits to Kafka. A handler that fails is called again with the same batch after a back-off (the partition
 * waits, others go on); ERR_BAD_INPUT from a handler means a poison record: see `poison`. A fenced or fatal consumer calls
 * service_fail().
 * Threads: a producer is thread-safe; each worker is one thread. */
#ifndef MADANG_KAFKA_H
#define MADANG_KAFKA_H

#include "errors.h"
#include "str.h"
#include "topics.h"

#include <stdint.h>

struct kafka_header {
    const char *name, *value; /* name NULL ends a list */
};

struct kafka_message {
    const char *topic;
    struct view key;
    struct view payload;                 /* bytes NULL: a tombstone */
    const struct kafka_header *headers;  /* may be NULL */
};

struct kafka_producer;
struct kafka_producer *kafka_producer_open(const char *brokers, const char *client_id, struct err *err);
void kafka_producer_release(struct kafka_producer **producer); /* flushes up to 5 s */
/* Sends all, in order, and waits until each is acknowledged or `timeout_ms` is over. True only when all are. A message
 * of a failed batch may still arrive: send the batch again. */
bool kafka_send_all(struct kafka_producer *producer, const struct kafka_message *messages, size_t count, int timeout_ms,
                    struct err *err);
bool kafka_producer_ready(void *producer); /* metadata answered within the last seconds; a ready_check */

/* Creates the topics of the table (topics.h) that are missing; another partition count than the table's fails with the
 * topic's name. `names` NULL-ended; partitions may be overridden by KAFKA_PARTITIONS_<TOPIC WITH _>. */
bool kafka_ensure_topics(const char *brokers, const char *const *names, struct err *err);

struct kafka_record {
    int64_t offset;
    int64_t timestamp_ms;
    struct view key, payload; /* payload.bytes NULL: a tombstone */
    const char *request_id;   /* header x-request-id, or NULL */
    const char *traceparent;  /* header traceparent, or NULL */
};

struct kafka_batch {
    const char *topic;
    int32_t partition;
    const struct kafka_record *records;
    size_t count;
};

struct kafka_subscription {
    const char *topic; /* NULL ends the table */
    bool (*apply)(void *app, const struct kafka_batch *batch, struct err *err);
    size_t batch_max; /* 0: 500 */
    enum {
        POISON_DEAD_LETTER, /* a batch that fails with ERR_BAD_INPUT is tried record by record; the bad one goes to <topic>.dlq */
        POISON_STOP,        /* the partition stops and alarms: compacted topics */
    } poison;
};

struct kafka_worker;
struct kafka_worker_options {
    const char *brokers, *group, *service;
    int slot;
    const struct kafka_subscription *subscriptions;
    void *app;
    struct kafka_producer *producer; /* for dead letters */
};
struct kafka_worker *kafka_worker_start(const struct kafka_worker_options *options, struct err *err);
/* Unsubscribes first (leaves the group at once), finishes the batch in hand, commits, closes. */
void kafka_worker_release(struct kafka_worker **worker);
/* Joined once, and what stood in its partitions at that time is applied: a ready_check. */
bool kafka_worker_ready(void *worker);

#endif
