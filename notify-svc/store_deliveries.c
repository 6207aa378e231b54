#include "store.h"

#include <stdio.h>

/* The oldest due row goes to one sender; the others pass over it. Moving next_try_at ahead is the claim. Nothing goes
 * to an e-mail address that nobody has shown to be his, but the code (secret) by which he does. */
static const struct pg_statement CLAIM = {
    "claim_delivery",
    "WITH mine AS (SELECT d.id FROM deliveries d WHERE d.channel = $1 AND d.state = 'waiting' AND d.next_try_at <= "
    "now()"
    "               ORDER BY d.next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
    " UPDATE deliveries d SET attempts = d.attempts + 1, next_try_at = now() + $2::bigint * interval '1 millisecond'"
    " FROM mine WHERE d.id = mine.id"
    " RETURNING d.id, d.kind, d.dedupe_id, coalesce(d.user_id::text, ''),"
    "  coalesce(d.address, (SELECT CASE d.channel WHEN 'email' THEN CASE WHEN a.email_verified OR d.secret THEN "
    "a.email END"
    "                        WHEN 'sms' THEN a.phone END FROM accounts a WHERE a.user_id = d.user_id), ''),"
    "  d.locale, d.title, d.body, d.attempts, (extract(epoch FROM d.expires_at - now()) * 1000)::bigint,"
    "  EXISTS (SELECT FROM accounts a WHERE a.user_id = d.user_id)"};
static const struct pg_statement DONE = {
    "delivery_done", "UPDATE deliveries SET state = $3, reason = $4, done_at = now(),"
                     " title = CASE WHEN secret THEN '' ELSE title END, body = CASE WHEN secret THEN '' ELSE body END"
                     " WHERE id = $1 AND attempts = $2 AND state = 'waiting'"};
static const struct pg_statement AGAIN = {
    "delivery_again", "UPDATE deliveries SET next_try_at = now() + $3::bigint * interval '1 millisecond', reason = $4,"
                      " attempts = attempts - $5::integer WHERE id = $1 AND attempts = $2 AND state = 'waiting'"};
static const struct pg_statement COUNT = {
    "count_deliveries",
    "SELECT channel, count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'dead')"
    " FROM deliveries WHERE state IN ('waiting', 'dead') GROUP BY channel ORDER BY channel"};

bool store_claim(struct pg_pool *db, struct arena *arena, const char *channel, int64_t lease_ms, struct due *due,
                 bool *found, struct err *err)
{
    AUTO(pg_result) row = pg_query(db, &CLAIM, PARAMS(PG_TEXT(channel), PG_I64(lease_ms)), err);
    if (!row)
        return false;
    *found = pg_rows(row) == 1;
    if (!*found)
        return true;
    due->delivery = (struct delivery){
        .id = pg_i64(row, 0, 0),
        .kind = arena_text(arena, pg_text(row, 0, 1)),
        .dedupe_id = arena_text(arena, pg_text(row, 0, 2)),
        .user_id = arena_text(arena, pg_text(row, 0, 3)),
        .address = arena_text(arena, pg_text(row, 0, 4)),
        .locale = arena_text(arena, pg_text(row, 0, 5)),
        .title = arena_text(arena, pg_text(row, 0, 6)),
        .body = arena_text(arena, pg_text(row, 0, 7)),
        .attempt = (int)pg_i64(row, 0, 8),
    };
    due->left_ms = pg_i64(row, 0, 9);
    due->expired = due->left_ms <= 0;
    due->known = pg_bool(row, 0, 10);
    return true;
}

bool store_done(struct pg_pool *db, const struct due *due, const char *state, const char *reason, struct err *err)
{
    return pg_exec(db, &DONE,
                   PARAMS(PG_I64(due->delivery.id), PG_I64(due->delivery.attempt), PG_TEXT(state), PG_TEXT(reason)),
                   NULL, err);
}

bool store_again(struct pg_pool *db, const struct due *due, int64_t wait_ms, bool untried, const char *reason,
                 struct err *err)
{
    return pg_exec(db, &AGAIN,
                   PARAMS(PG_I64(due->delivery.id), PG_I64(due->delivery.attempt), PG_I64(wait_ms), PG_TEXT(reason),
                          PG_I64(untried ? 1 : 0)),
                   NULL, err);
}

bool store_count(struct pg_pool *db, struct delivery_count counts[DELIVERY_COUNTS], size_t *count, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &COUNT, NO_PARAMS, err);
    *count = 0;
    for (int row = 0; rows && row < pg_rows(rows) && *count < DELIVERY_COUNTS; row++) {
        struct delivery_count *out = &counts[(*count)++];
        (void)snprintf(out->channel, sizeof out->channel, "%s", pg_text(rows, row, 0));
        out->waiting = pg_i64(rows, row, 1);
        out->dead = pg_i64(rows, row, 2);
    }
    return rows != NULL;
}
