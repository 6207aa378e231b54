#include "store.h"

#include "applied.h"

/* (user, dedupe_id) once: a double makes no row and so no sends. Somebody who withdrew gets nothing. Who seems to be
 * online is looked at again in a moment: the word that they left may still be on its way here, while who asks for the
 * push has heard it. */
static const struct pg_statement TAKE_REQUESTS = {
    "push_take_requests",
    "WITH fresh AS ("
    " INSERT INTO requests (user_id, dedupe_id, source, urgent, title, body, data, collapse_key, expires_at)"
    " SELECT n.user_id, n.dedupe_id, n.source, n.urgent, n.title, n.body, n.data, n.collapse_key,"
    "        to_timestamp(n.expires / 1000.0)"
    " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], "
    "$9::bigint[])"
    "      AS n (user_id, dedupe_id, source, urgent, title, body, data, collapse_key, expires)"
    " WHERE NOT EXISTS (SELECT FROM people p WHERE p.user_id = n.user_id AND p.withdrawn)"
    " ON CONFLICT (user_id, dedupe_id) DO NOTHING RETURNING id, user_id, source, urgent, collapse_key),"
    " made AS ("
    " INSERT INTO sends (request_id, user_id, device, channel, low_value, collapse_key, next_at)"
    " SELECT f.id, f.user_id, d.id, CASE WHEN d.p256dh IS NULL THEN 'fcm' ELSE 'web' END, f.source = 'chat' AND NOT "
    "f.urgent,"
    "        f.collapse_key, now() + CASE WHEN o.online AND NOT f.urgent THEN $10::bigint ELSE 0 END * interval '1 ms'"
    " FROM fresh f JOIN devices d ON d.user_id = f.user_id LEFT JOIN presence o ON o.user_id = f.user_id"
    " ORDER BY f.id, d.id RETURNING request_id)"
    " SELECT (SELECT count(*) FROM fresh), (SELECT count(DISTINCT request_id) FROM made), (SELECT count(*) FROM made)"};

/* Counts no further than it must. */
static const struct pg_statement COUNT_WAITING = {
    "push_count_waiting", "SELECT count(*) FROM (SELECT FROM sends WHERE done_at IS NULL LIMIT $1) s"};
static const struct pg_statement DROP_WAITING = {
    "push_drop_waiting", "UPDATE sends SET state = 'dropped', reason = 'queue_full', done_at = now() WHERE id IN"
                         " (SELECT id FROM sends WHERE done_at IS NULL AND claimed_by IS NULL ORDER BY low_value DESC, "
                         "id LIMIT $1 FOR UPDATE SKIP LOCKED)"};

enum { OVER_MOST = 20000 };

struct work {
    struct arena *arena;
    const struct kafka_batch *batch;
    const struct push_request *requests;
    const struct request_limits *limits;
    struct taken_requests *taken;
};

struct columns {
    const char **user, **dedupe, **source, **urgent, **title, **body, **data, **collapse;
    int64_t *expires;
    size_t count;
};

static struct columns columns_of(const struct work *work, size_t first)
{
    const size_t most = work->batch->count + 1;
    struct columns c = {.expires = arena_alloc(work->arena, most * sizeof(int64_t))};
    const char ***const all[] = {&c.user, &c.dedupe, &c.source, &c.urgent, &c.title, &c.body, &c.data, &c.collapse};
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        *all[i] = arena_alloc(work->arena, most * sizeof(const char *));
    for (size_t i = first; i < work->batch->count; i++) {
        const struct push_request *request = &work->requests[i];
        if (!request->user_id)
            continue;
        c.user[c.count] = request->user_id;
        c.dedupe[c.count] = request->dedupe_id;
        c.source[c.count] = request->source;
        c.urgent[c.count] = request->urgent ? "true" : "false";
        c.title[c.count] = request->title;
        c.body[c.count] = request->body;
        c.data[c.count] = request->data;
        c.collapse[c.count] = request->collapse_key;
        c.expires[c.count++] = request->expires_ms;
    }
    return c;
}

static bool insert(struct pg_tx *tx, const struct work *work, const struct columns *c, struct err *err)
{
#define COLUMN(name) PG_TEXTS(c->name, c->count)
    AUTO(pg_result)
    rows = pg_tx_query(tx, &TAKE_REQUESTS,
                       PARAMS(COLUMN(user), COLUMN(dedupe), COLUMN(source), COLUMN(urgent), COLUMN(title), COLUMN(body),
                              COLUMN(data), COLUMN(collapse), PG_I64S(c->expires, c->count),
                              PG_I64(work->limits->presence_wait_ms)),
                       err);
#undef COLUMN
    if (!rows)
        return false;
    work->taken->fresh = pg_i64(rows, 0, 0);
    work->taken->with_devices = pg_i64(rows, 0, 1);
    work->taken->sends = pg_i64(rows, 0, 2);
    return true;
}

/* The queue never holds more than its limit and what other workers' open transactions add. */
static bool trim(struct pg_tx *tx, const struct work *work, struct err *err)
{
    const int64_t most = work->limits->queue_max;
    AUTO(pg_result) rows = pg_tx_query(tx, &COUNT_WAITING, PARAMS(PG_I64(most + OVER_MOST)), err);
    if (!rows)
        return false;
    const int64_t over = pg_i64(rows, 0, 0) - most;
    return over <= 0 || pg_tx_exec(tx, &DROP_WAITING, PARAMS(PG_I64(over)), &work->taken->dropped, err);
}

static bool apply(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct work *work = payload;
    size_t first = 0;
    *work->taken = (struct taken_requests){0};
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    const struct columns columns = columns_of(work, first);
    if (columns.count > 0 && (!insert(tx, work, &columns, err) || !trim(tx, work, err)))
        return false;
    return applied_end(tx, work->batch, err);
}

bool store_apply_requests(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct push_request *requests, const struct request_limits *limits,
                          struct taken_requests *taken, struct err *err)
{
    struct work work = {arena, batch, requests, limits, taken};
    return pg_transaction(db, apply, &work, err);
}
