/* copies.h - what order-svc keeps of other services' facts: people, their rating, the names of companies. And what
 * follows from one of them: who withdrew has no open orders (CANCEL_ALL, by the outbox, in the same transaction). */
#ifndef MADANG_ORDER_COPIES_H
#define MADANG_ORDER_COPIES_H

#include "kafka.h"
#include "pg.h"

/* topic accounts -> people */
bool copies_accounts(struct pg_pool *db, const struct kafka_batch *batch, struct err *err);
/* topic game.events -> names of companies, ratings; other kinds are passed over */
bool copies_game(struct pg_pool *db, const struct kafka_batch *batch, struct err *err);

/* Open orders of those who withdrew, sent while the withdrawal was on its way: cancelled again, some at a time. */
bool copies_cancel_stragglers(struct pg_pool *db, int64_t *sent, struct err *err);

#endif
