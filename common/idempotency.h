/* idempotency.h - Idempotency-Key on writes that create: the answer is kept 24 h with the write's own transaction.
 * Inside the transaction:
 *     bool done;
 *     if (!idempotency_begin(tx, req, reply, &done, err)) return false;
 *     if (done) return true;
 * idempotency_begin: no header -> nothing happens. The same key and body again -> *done and `reply` holds the stored
 * answer. Another body -> 422 idempotency_key_reused. Still running in another transaction -> 409 still_running. Key:
 * 1-200 visible ASCII characters, quoted or bare. idempotency_end stores status and body of `reply` (2xx and 4xx alike,
 * if the transaction commits). */
#ifndef MADANG_IDEMPOTENCY_H
#define MADANG_IDEMPOTENCY_H

#include "http.h"
#include "pg.h"

/* The key alone, for writes that keep it in a row of their own: from the arena, NULL without the header or without a
 * caller. */
bool idempotency_key(struct request *req, const char **key, struct err *err);
bool idempotency_begin(struct pg_tx *tx, struct request *req, struct reply *reply, bool *done, struct err *err);
bool idempotency_end(struct pg_tx *tx, struct request *req, const struct reply *reply, struct err *err);
/* Deletes what is older than 24 h, a thousand rows at a time; call it now and then. */
bool idempotency_sweep(struct pg_pool *pool, struct err *err);

#endif
