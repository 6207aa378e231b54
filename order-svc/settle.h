/* settle.h - the worker on market.events: what the engines decided becomes orders, trades, balances and ledger.
 *
 * A batch is one transaction: applied (so that a record is settled once, whoever reads it again), then the batch in
 * portions that fit memory: decode, name, load, fold (fold.h), write. A record that was settled before is passed over
 * by its market's seq. Events that are missing stop the partition and alarm:
 * madang_order_settle_failures_total{reason="gap"}, the log's batch_failed; it is tried again, and when the log holds
 * what is missing (the schema was restored from a backup), it is read from there. Contradictions stop it in the same
 * way: what was settled wrongly would be money. A schema that is new begins where the group stands: markets opened
 * before are passed over. At CLOSED the engine's final accounts are compared with ours; a
 * difference alarms (settlement_differs) and loses nothing. Threads: those of one kafka worker, one at a time. */
#ifndef MADANG_ORDER_SETTLE_H
#define MADANG_ORDER_SETTLE_H

#include "kafka.h"
#include "pg.h"

struct settle;
struct settle *settle_open(struct pg_pool *db, const char *brokers, struct kafka_producer *producer);
void settle_release(struct settle **settle);

/* One batch of market.events. */
bool settle_batch(struct settle *settle, const struct kafka_batch *batch, struct err *err);
/* A partition became ours: what the log has and the schema lacks is settled, whatever the group has committed. */
bool settle_took_over(struct settle *settle, const char *topic, int32_t partition, struct err *err);

/* Accounts that differed from the engine's so far: for tests. */
int64_t settle_differences(const struct settle *settle);

#endif
