/* fresh.h - how far the schema is behind market.events, so that a read shows what its caller wrote, on any instance.
 *
 *     if (!fresh_wait(app->fresh, req, partition, err)) return false;   // first thing of a read: the schema holds what
 *     ... read ...                                                      // stood in the log when the request came
 *
 * The log's end is asked from the partition's leader, once for all requests that came before the asking began (0.3 ms),
 * and at most once in FRESH_EVERY_MS per partition; the applied offset is read from the schema in the same way. Both
 * only grow. No worker of HTTP waits longer than one such asking, and two at a time at most for the broker: fresh_wait
 * goes on by http_try_again. Threads: all functions are thread-safe. */
#ifndef MADANG_ORDER_FRESH_H
#define MADANG_ORDER_FRESH_H

#include "http.h"
#include "kafka.h"
#include "market.h"
#include "pg.h"

enum {
    FRESH_EVERY_MS = 5,
    FRESH_WAIT_MS = 3000, /* then 503 not_yet: longer than a question that is answered late */
    FRESH_PARTITIONS_MAX = 1024,
};

struct fresh;
struct fresh *fresh_open(struct pg_pool *db, struct kafka_producer *producer);
void fresh_release(struct fresh **fresh);

/* In a handler, before it reads: true when the schema holds all that stood in the partition when the request came.
 * False: the handler ends here and runs again in a few milliseconds, or ERR_NOT_YET after FRESH_WAIT_MS, or Kafka or
 * PostgreSQL does not answer (unavailable). */
bool fresh_wait(struct fresh *fresh, struct request *req, int32_t partition, struct err *err);

/* Before an order is sent: ERR_OVERLOADED with Retry-After while more than max_lag records wait for settlement. The end
 * is what this instance heard; how far the schema is, is asked once in FRESH_LAG_MS, by one caller on a worker
 * (http_must_hand_over); req->kept is used on the way there. */
enum { FRESH_LAG_MS = 100 };
/* What the listener heard at a time. `last`: the head of the newest record, which says what command it answers. */
struct fresh_news {
    int64_t first_offset, next_offset;
    size_t records;
    struct market_events last;
};
void fresh_heard(struct fresh *fresh, int32_t partition, const struct fresh_news *news);
bool fresh_keeps_up(struct fresh *fresh, struct request *req, int32_t partition, int64_t max_lag, struct err *err);

/* For an order that the schema has not got: *answered when it can't come any more, because the owner of the market has
 * answered all commands that stood in the log after the request came, and the schema holds these answers; or because he
 * is FRESH_LONG_MS beyond `made_ms`. Whoever knows the id was told that its command stands in the log. The end of
 * market.commands is asked only when the one that was asked before is answered: so it is reached, however busy the
 * market. False: Kafka or PostgreSQL does not answer. */
enum { FRESH_LONG_MS = 60000 }; /* more than clocks differ */
bool fresh_answered(struct fresh *fresh, const struct request *req, int32_t partition, int64_t made_ms, bool *answered,
                    struct err *err);

/* How far the schema is, at most FRESH_EVERY_MS old. */
bool fresh_applied(struct fresh *fresh, int32_t partition, int64_t *next_offset, struct err *err);

#endif
