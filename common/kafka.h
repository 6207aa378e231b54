/* kafka.h - Apache Kafka by librdkafka 2.0.2: a producer that loses nothing, workers that own partitions.
 *
 * Producer: idempotent, acks=all, murmur2_random, bounded queue. After a fatal error a new producer is made and what is
 * unacknowledged is sent again, in order (receivers drop doubles).
 * Worker: a consumer group member (static: group.instance.id = service-slot, range assignor). It hands the handler a
 * batch of records of ONE partition, in order; the handler stores its work and the offset in one transaction
 * (applied.h); then the worker commits to Kafka. A handler that fails is called again with the same batch after a
 * back-off (the partition waits, others go on); ERR_BAD_INPUT from a handler means a poison record: see `poison`. A
 * fenced or fatal consumer calls service_fail(). Listener: every instance reads all partitions of a topic, without a
 * group and without commits, for what it holds in memory (waiting requests, sockets, tables). It starts at the end
 * offsets that it asked for (OFFSET_END loses what is sent right after), or at the start for compacted topics.
 * A message may be a bundle of records (kafka_bundle.h): all that read take it apart; its records share an offset and
 * come in one call.
 * Threads: a producer is thread-safe; each worker is one thread; of a listener, one at a time calls. */
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
    struct view payload;                /* bytes NULL: a tombstone */
    const struct kafka_header *headers; /* may be NULL */
    bool joins; /* of kafka_send: may leave in one bundle with its neighbours of the same topic and key, when they wait
                   together (kafka_bundle.h); with headers that struct kafka_record has, and no tombstone */
};

struct kafka_producer;
struct kafka_producer *kafka_producer_open(const char *brokers, const char *client_id, struct err *err);
void kafka_producer_release(struct kafka_producer **producer); /* flushes up to 5 s */
/* Sends all, in order, and waits until each is acknowledged or `timeout_ms` is over. True only when all are. A message
 * of a failed batch may still arrive: send the batch again. */
bool kafka_send_all(struct kafka_producer *producer, const struct kafka_message *messages, size_t count, int timeout_ms,
                    struct err *err);
/* One message without waiting. `done` (may be NULL) runs once on a thread of the producer when it is acknowledged (ok)
 * or given up (after 10 to 20 s); it must not block. False, without `done`, when the bounded
 * queue is full (unavailable). Messages of one key sent by one thread stay in order; after a fatal error what is
 * unacknowledged is sent again, in order. The message is copied. */
typedef void (*kafka_sent_fn)(void *payload, bool ok);
bool kafka_send(struct kafka_producer *producer, const struct kafka_message *message, kafka_sent_fn done, void *payload,
                struct err *err);
/* Makes the client of kafka_send; else the first call does, which takes a lock and some milliseconds: for whoever sends
 * from a loop. */
bool kafka_send_prepare(struct kafka_producer *producer, struct err *err);
/* The offset behind the last record of a partition, asked from its leader now. */
bool kafka_end_offset(struct kafka_producer *producer, const char *topic, int32_t partition, int timeout_ms,
                      int64_t *end, struct err *err);
/* Of the first record that is kept. */
bool kafka_begin_offset(struct kafka_producer *producer, const char *topic, int32_t partition, int timeout_ms,
                        int64_t *begin, struct err *err);
/* How many partitions a topic has, asked now; and where kafka_send puts a key then (not empty). */
bool kafka_partition_count(struct kafka_producer *producer, const char *topic, int timeout_ms, int32_t *count,
                           struct err *err);
int32_t kafka_partition_of(struct view key, int32_t count);
bool kafka_producer_ready(void *producer); /* metadata answered within the last seconds; a ready_check */

/* Creates the topics of the table (topics.h) that are missing, with KAFKA_PARTITIONS_<TOPIC WITH _> partitions, or what
 * the table says, or KAFKA_PARTITIONS. One that is there with another number than the first two say fails with its
 * name; the third only counts where a topic is made. `names` NULL-ended. */
bool kafka_ensure_topics(const char *brokers, const char *const *names, struct err *err);

struct kafka_record {
    int64_t offset;
    uint32_t place, more; /* in its message: of a bundle's records so many stand before and behind it; else 0 */
    int64_t timestamp_ms;
    struct view key, payload; /* payload.bytes NULL: a tombstone */
    const char *request_id;   /* header x-request-id, or NULL */
    const char *traceparent;  /* header traceparent, or NULL */
    const char *corr;         /* header corr, or NULL: who waits for this (pending.h) */
    const char *users;        /* header users, or NULL: whom it concerns, ids joined by ',' (market.events) */
    const char *given;        /* header given, or NULL: the process that has told its own of it already (chat.events) */
    const char *unfinished;   /* header unfinished, or NULL: others answer the same offset, behind it (market.events) */
};

struct kafka_batch {
    const char *topic;
    int32_t partition;
    const struct kafka_record *records;
    size_t count;
};

/* A span for each record whose trace is wanted (trace.h): they share the batch's time. The worker does it for what it
 * hands over; `system` is what brought the records, "kafka" there. */
void kafka_trace_batch(const struct kafka_batch *batch, const char *system, int64_t start_us, bool ok);

struct kafka_subscription {
    const char *topic; /* NULL ends the table */
    bool (*apply)(void *app, const struct kafka_batch *batch, struct err *err);
    /* May be NULL. Else what waits in several partitions of the topic at one time is handed over at once, one batch
     * each, so that they can share a transaction: all of them or none. When it fails, each of these partitions goes
     * through `apply` until that has worked. */
    bool (*apply_together)(void *app, const struct kafka_batch *batches, size_t count, struct err *err);
    size_t batch_max; /* records of one call; 0: 500. A bundle is not divided, so the last one may bring more */
    /* Fetches of a busy topic are at least so far apart, at most 100 ms: what needs no hurry costs the broker a request
     * for many records instead of one for a few. A lone record is not held. One worker has one pace, the smallest of
     * its subscriptions: 0 in one of them is 0 for all. Where both are set and busy_gather_ms is the longer one it is
     * the pace of what brings 4 kB or more, some ten records, up to 512 kB, which are a backlog: fewer, larger batches
     * when there is much to do and nobody waits (kafka_hurry). */
    int gather_ms, busy_gather_ms;
    /* `apply` looks at keys and payloads alone: headers are taken apart only for traces, where those are exported. Not
     * with POISON_DEAD_LETTER: letters keep headers. */
    bool bare;
    enum {
        POISON_DEAD_LETTER, /* a batch that fails with ERR_BAD_INPUT is tried record by record; the bad one goes to
                               <topic>.dlq */
        POISON_STOP,        /* the partition stops and alarms: compacted topics */
    } poison;
    /* Runs on the worker's thread after a partition became ours and before its first batch; false: tried again after a
     * back-off, the partition waits. May be NULL. */
    bool (*assigned)(void *app, const char *topic, int32_t partition, struct err *err);
    /* Runs on the worker's thread when a partition for which `assigned` went well is ours no longer (or the worker
     * ends): what was kept for it can go. May be NULL. */
    void (*revoked)(void *app, const char *topic, int32_t partition);
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

/* Somebody waits for what a consumer of this process brings: the answer that is held by a busy_gather_ms, or comes
 * next, is taken 20 ms (gather_ms, where that is longer) after the one before at the latest. Thread-safe, cheap. */
void kafka_hurry(void);

struct kafka_listening {
    const char *topic;                                        /* NULL ends the table */
    void (*hear)(void *app, const struct kafka_batch *batch); /* memory only: cannot fail, must not block */
    enum { LISTEN_FROM_NOW, LISTEN_FROM_START } from;         /* FROM_START: compacted topics */
    void (*ready)(void *app); /* once, when kafka_listener_ready becomes true; may be NULL */
    int gather_ms; /* as in a subscription, with five times as much (100 ms at most) when there is much to hear; but
                      topics of different paces do not hold up each other (they have different consumers), up to four
                      paces. `hear` and `ready` still run one at a time */
    bool bare;     /* `hear` looks at keys and payloads alone: headers are not taken apart */
};
struct kafka_listener;
struct kafka_listener *kafka_listener_start(const char *brokers, const char *client_id,
                                            const struct kafka_listening *topics, void *app, struct err *err);
void kafka_listener_release(struct kafka_listener **listener);
/* Its start offsets are known and, for FROM_START, what stood there then was heard: a ready_check. */
bool kafka_listener_ready(void *listener);

/* Reads a stretch of one partition: the records from offset `from` (or from the first that is kept) to below `to` (or
 * to the end of now, when that comes first), in order, in batches of at most 500 messages and about 1 MB. For those who
 * rebuild what they hold: no group, no commits. `take` may fail, which ends it. False (unavailable) when the brokers do
 * not answer within `timeout_ms` between two batches. Blocks. */
bool kafka_read(const char *brokers, const char *topic, int32_t partition, int64_t from, int64_t to, int timeout_ms,
                bool (*take)(void *payload, const struct kafka_batch *batch, struct err *err), void *payload,
                struct err *err);

#endif
