#include "store.h"

/* In portions, so that no lock is held long and nothing waits for a sweep. */
static const struct pg_statement SWEEP_NOTICES = {
    "sweep_notices", "DELETE FROM notices WHERE id IN (SELECT id FROM notices"
                     " WHERE stored_at < now() - $1::bigint * interval '1 day' ORDER BY stored_at LIMIT 1000)"};
static const struct pg_statement SWEEP_DELIVERIES = {
    "sweep_deliveries", "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries"
                        " WHERE done_at < now() - $1::bigint * interval '1 day' ORDER BY done_at LIMIT 1000)"};
/* Sessions of streams: an ended one matters until its tickets are worthless, a living one as long as anybody comes
 * back. */
static const struct pg_statement SWEEP_SESSIONS = {
    "sweep_sessions",
    "DELETE FROM stream_sessions WHERE session_id IN (SELECT session_id FROM stream_sessions"
    " WHERE (ended_at IS NOT NULL AND used_at < now() - interval '1 day' AND ended_at < now() - interval '1 day')"
    " OR used_at < now() - interval '90 days' LIMIT 1000)"};

bool store_sweep(struct pg_pool *db, int64_t keep_days, int64_t delivery_keep_days, int64_t *gone, struct err *err)
{
    int64_t notices = 0, deliveries = 0, sessions = 0;
    const bool good = pg_exec(db, &SWEEP_NOTICES, PARAMS(PG_I64(keep_days)), &notices, err) &&
                      pg_exec(db, &SWEEP_DELIVERIES, PARAMS(PG_I64(delivery_keep_days)), &deliveries, err) &&
                      pg_exec(db, &SWEEP_SESSIONS, NO_PARAMS, &sessions, err);
    *gone = notices + deliveries + sessions;
    return good;
}
