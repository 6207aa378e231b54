/* store_settle.h - what settlement reads and writes: a constant number of statements per portion, whatever it holds.
 * All inside the transaction that moves `applied`. */
#ifndef MADANG_ORDER_STORE_SETTLE_H
#define MADANG_ORDER_STORE_SETTLE_H

#include "fold.h"
#include "pg.h"

/* Plans for a few rows of large tables, whatever the statistics say: for the rest of the transaction. *next_offset:
 * where the partition stands (applied). */
bool store_settle_begin(struct pg_tx *tx, const char *topic, int32_t partition, int64_t *next_offset, struct err *err);
/* Fills in the markets that are named; where one is not known, also since when the schema knows any. */
bool store_settle_markets(struct pg_tx *tx, struct arena *arena, struct fold *fold, int32_t partition, struct err *err);
/* Fills in the accounts and holdings that are named. */
bool store_settle_load(struct pg_tx *tx, struct arena *arena, struct fold *fold, struct err *err);
/* ERR_CONFLICT (orders_pkey): one of the new orders is there. */
bool store_settle_write(struct pg_tx *tx, struct arena *arena, const struct fold *fold, int32_t partition,
                        struct err *err);
/* Before writing, where there was such a conflict: those of the new orders that are there as refused ones are not any
 * more. A refused order's id may come again. */
bool store_settle_forget_refused(struct pg_tx *tx, struct arena *arena, const struct fold *fold, struct err *err);

/* What CLOSED (of this seq) does: open orders end, shares go back to the issuer at the last price. last_seq: of the
 * record's last event. */
bool store_settle_close(struct pg_tx *tx, const struct uuid *market, int64_t seq, int64_t last_seq, int64_t at_ms,
                        struct err *err);
/* The engine's final accounts against ours: those who never had an order taken are made, with the seed. *differences:
 * accounts whose cash is another. */
bool store_settle_compare(struct pg_tx *tx, struct arena *arena, const struct uuid *market,
                          const struct market_event *accounts, int64_t seq, int64_t *differences, struct err *err);
/* Notes the differences, and how many accounts there are. */
bool store_settle_compared(struct pg_tx *tx, const struct uuid *market, int64_t differences, int64_t *accounts,
                           struct err *err);

/* The next offset of the partition; -1 when nothing of it was ever applied. */
bool store_settle_next_offset(struct pg_pool *db, const char *topic, int32_t partition, int64_t *next_offset,
                              struct err *err);

#endif
