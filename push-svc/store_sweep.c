#include "store.h"

/* Bounded rounds, so that no transaction is long. Requests take their sends along; none goes while a send waits. */
static const struct pg_statement SWEEP_REQUESTS = {
    "push_sweep_requests",
    "DELETE FROM requests WHERE id IN (SELECT r.id FROM requests r WHERE r.at < now() - $1::bigint * interval '1 hour'"
    " AND NOT EXISTS (SELECT FROM sends s WHERE s.request_id = r.id AND s.done_at IS NULL) ORDER BY r.at LIMIT $2)"};
static const struct pg_statement SWEEP_SINK = {
    "push_sweep_sink", "DELETE FROM sink WHERE send_id IN (SELECT send_id FROM sink"
                       " WHERE at < now() - $1::bigint * interval '1 hour' ORDER BY at LIMIT $2)"};
/* Longer than any access token lives. */
static const struct pg_statement SWEEP_SESSIONS = {
    "push_sweep_sessions", "DELETE FROM ended_sessions WHERE session_id IN (SELECT session_id FROM ended_sessions"
                           " WHERE ended_at < now() - interval '1 day' ORDER BY ended_at LIMIT $1)"};
static const struct pg_statement COUNT = {"push_count", "SELECT count(*) FROM sends WHERE done_at IS NULL"};

enum { ROUND_ROWS = 2000 };

bool store_count_waiting(struct pg_pool *db, int64_t *count, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &COUNT, NO_PARAMS, err);
    if (rows)
        *count = pg_i64(rows, 0, 0);
    return rows != NULL;
}

bool store_sweep(struct pg_pool *db, int64_t keep_hours, bool *more, struct err *err)
{
    int64_t requests = 0, sink = 0, sessions = 0;
    if (!pg_exec(db, &SWEEP_REQUESTS, PARAMS(PG_I64(keep_hours), PG_I64(ROUND_ROWS)), &requests, err) ||
        !pg_exec(db, &SWEEP_SINK, PARAMS(PG_I64(keep_hours), PG_I64(ROUND_ROWS)), &sink, err) ||
        !pg_exec(db, &SWEEP_SESSIONS, PARAMS(PG_I64(ROUND_ROWS)), &sessions, err))
        return false;
    *more = requests == ROUND_ROWS || sink == ROUND_ROWS || sessions == ROUND_ROWS;
    return true;
}
