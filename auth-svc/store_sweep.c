/* store_sweep.c - what has run out: sessions end with their events, the rest is deleted, a bounded number of rows a
 * call. */
#include "idempotency.h"
#include "store_rows.h"

static bool expire_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement EXPIRE = {
        "expire_sessions",
        "UPDATE sessions SET ended_at = now(), end_reason = 'expired' WHERE id IN (SELECT id FROM sessions WHERE "
        "ended_at IS NULL AND expires_at <= now() ORDER BY expires_at LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING id, "
        "user_id"};
    AUTO(pg_result) rows = pg_tx_query(tx, &EXPIRE, NO_PARAMS, err);
    return rows && tx_sessions_ended(payload, tx, rows, "expired", &(struct origin){.ip = ""}, err);
}

#define SWEEP(table, condition)                                                                                        \
    {                                                                                                                  \
        "sweep_" table,                                                                                                \
            "DELETE FROM " table " WHERE ctid IN (SELECT ctid FROM " table " WHERE " condition " LIMIT 1000)"          \
    }
static const struct pg_statement SWEEPS[] = {
    SWEEP("codes", "expires_at < now() - interval '1 hour'"), /* the resend interval is at most that */
    SWEEP("code_sends", "at < now() - interval '1 day'"),
    SWEEP("proofs", "expires_at < now()"),
    SWEEP("social_logins", "expires_at < now() - interval '10 minutes'"),
    SWEEP("revocations", "until < now()"),
    SWEEP("sessions", "ended_at < now() - interval '30 days'"),
    SWEEP("devices", "seen_at < now() - interval '1 year'"),
    SWEEP("signing_keys", "gone_at < now() - interval '1 day'"),
};

bool store_sweep(const struct auth_app *app, struct err *err)
{
    if (!pg_transaction(app->db, expire_in_tx, (void *)app, err))
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(SWEEPS); i++)
        if (!pg_exec(app->db, &SWEEPS[i], NO_PARAMS, NULL, err))
            return false;
    return idempotency_sweep(app->db, err);
}
