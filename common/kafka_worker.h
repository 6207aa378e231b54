/* kafka_worker.h - the inside of a worker, shared by kafka_worker.c (its life: group, partitions, commits) and
 * kafka_work.c (its work: batches, retries, poison). Private to common/. Everything here belongs to the worker's thread
 * but for `ready` and `stop`. */
#ifndef MADANG_KAFKA_WORKER_H
#define MADANG_KAFKA_WORKER_H

#include "kafka_conf.h"
#include "metrics.h"

#include <pthread.h>
#include <stdatomic.h>

struct topic_metrics {
    struct metric_child *applied, *dead_letters, *retries, *lag, *stopped, *batches, *oldest;
};

/* One partition that is ours now. */
struct part {
    const struct kafka_subscription *subscription;
    const struct topic_metrics *metrics;
    int32_t partition;
    rd_kafka_message_t **messages; /* read, not applied yet; in order */
    size_t count, room, bytes;
    int64_t read_offset; /* behind the last record read */
    size_t singles;      /* so many records go one by one, since a batch with them was refused */
    bool ran;            /* in this turn, together with others */
    bool apart;          /* a call together with other partitions failed: the next one is its own */
    int64_t next_offset; /* behind the last record that is done; -1: none yet */
    int64_t committed;
    int64_t end_offset; /* what stood in it when it became ours ends here; -1: not known yet */
    bool caught_up;
    bool at_end;  /* the broker said: no more */
    bool untold;  /* subscription->assigned has to run first */
    bool paused;  /* no new records are fetched */
    bool stopped; /* by a poison record, until the partition is assigned again */
    int backoff_ms;
    int64_t retry_ms; /* monotonic; 0: at once */
};

struct kafka_worker {
    rd_kafka_t *rk;
    char *name;
    const struct kafka_subscription *subscriptions;
    struct topic_metrics *metrics; /* one per subscription */
    void *app;
    struct kafka_producer *producer;
    struct part *parts;
    size_t part_count;
    size_t waiting, waiting_bytes; /* records in the parts that are not paused */
    struct kafka_records records;  /* of one call */
    bool joined, assigned, dead;
    int64_t commit_ms; /* monotonic: when the next commit is due */
    _Atomic bool ready, stop;
    pthread_t thread;
};

enum { KAFKA_BATCH_DEFAULT = 500 };
static inline size_t kafka_batch_max(const struct kafka_subscription *subscription)
{
    return subscription->batch_max ? subscription->batch_max : KAFKA_BATCH_DEFAULT;
}

/* Asks where each part begins and ends, so that one with nothing in it needs no fetch to say so: the broker answers
 * that only after fetch.wait.max.ms. Before the parts are fetched, or the questions wait behind that. When it does not
 * work, the fetches tell. Blocks. */
void kafka_worker_find_ends(struct kafka_worker *worker);
/* The part takes the message. */
void kafka_work_add(struct kafka_worker *worker, struct part *part, rd_kafka_message_t *message);
/* Runs every part that has records and need not wait; one batch each. */
void kafka_work_run(struct kafka_worker *worker);
/* Milliseconds until a part has something to do; at most `most`. */
int kafka_work_due(const struct kafka_worker *worker, int most);
/* Forgets what the part has not applied. */
void kafka_work_drop(struct kafka_worker *worker, struct part *part);

#endif
