/* pg_pool.h - what pg.c lends to pg_tx.c: connections of the pool. Private to common/. */
#ifndef MADANG_PG_POOL_H
#define MADANG_PG_POOL_H

#include "pg_conn.h"

/* A connection for this thread alone: an idle one, a new one, or one that comes back within 2 s. NULL: err is set. */
struct pg_conn *pg_pool_take(struct pg_pool *pool, int limit_ms, struct err *err);
/* Gives it back; what is broken or still in a transaction is closed instead. Leaves NULL. */
void pg_pool_give(struct pg_pool *pool, struct pg_conn **conn);
/* pg_conn_run with figures: time, slow statements, "the database answers". */
struct pg_result *pg_pool_run(struct pg_pool *pool, struct pg_conn *conn, const struct pg_statement *statement,
                              struct pg_params params, bool begin, enum pg_outcome *outcome, struct err *err);
/* pg_conn_flush with the same figures. */
bool pg_pool_flush(struct pg_pool *pool, struct pg_conn *conn, enum pg_outcome *outcome, struct err *err);
void pg_pool_count_retry(struct pg_pool *pool);

#endif
