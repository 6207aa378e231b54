#include "store.h"

#include "applied.h"

/* One statement can't touch a row twice: of several records of one key in a batch DISTINCT ON keeps the newest. An
 * older version than the row's changes nothing. */
static const struct pg_statement COPY_ACCOUNTS = {
    "push_copy_accounts",
    "INSERT INTO people AS p (user_id, locale, withdrawn, account_version)"
    " SELECT DISTINCT ON (n.user_id) n.user_id, n.locale, n.withdrawn, n.version"
    " FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::bigint[]) AS n (user_id, locale, withdrawn, version)"
    " ORDER BY n.user_id, n.version DESC"
    " ON CONFLICT (user_id) DO UPDATE SET locale = excluded.locale, withdrawn = excluded.withdrawn,"
    "    account_version = excluded.account_version WHERE p.account_version < excluded.account_version"
    " RETURNING user_id, withdrawn"};
/* Nothing of the person stays but the row that says so. In this order: sends before devices, as everywhere. */
static const struct pg_statement FORGET_REQUESTS = {"push_forget_requests",
                                                    "DELETE FROM requests WHERE user_id = ANY ($1::uuid[])"};
static const struct pg_statement FORGET_DEVICES = {"push_forget_devices",
                                                   "DELETE FROM devices WHERE user_id = ANY ($1::uuid[])"};
static const struct pg_statement FORGET_SINK = {"push_forget_sink",
                                                "DELETE FROM sink WHERE user_id = ANY ($1::uuid[])"};
static const struct pg_statement FORGET_PREFERENCES = {"push_forget_preferences",
                                                       "DELETE FROM preferences WHERE user_id = ANY ($1::uuid[])"};

/* In one order, so that two workers don't wait for each other. */
static const struct pg_statement LOCK_SESSIONS = {
    "push_lock_sessions", "SELECT pg_advisory_xact_lock(hashtextextended(sid, 0)) FROM"
                          " (SELECT DISTINCT sid FROM unnest($1::text[]) AS s (sid) ORDER BY sid) s"};
static const struct pg_statement END_SESSIONS = {
    "push_end_sessions",
    "INSERT INTO ended_sessions (session_id) SELECT DISTINCT unnest($1::uuid[]) ON CONFLICT DO NOTHING"};
static const struct pg_statement END_DEVICES = {"push_end_devices",
                                                "DELETE FROM devices WHERE session_id = ANY ($1::uuid[])"};

static const struct pg_statement COPY_PRESENCE = {
    "push_copy_presence",
    "INSERT INTO presence AS p (user_id, online, n)"
    " SELECT DISTINCT ON (c.user_id) c.user_id, c.online, c.n"
    " FROM unnest($1::uuid[], $2::boolean[], $3::bigint[]) AS c (user_id, online, n) ORDER BY c.user_id, c.n DESC"
    " ON CONFLICT (user_id) DO UPDATE SET online = excluded.online, n = excluded.n WHERE p.n < excluded.n"};

/* A zone that PostgreSQL does not know would fail every claim that meets it: such quiet hours are left out. */
static const struct pg_statement COPY_PREFERENCES = {
    "push_copy_preferences",
    "INSERT INTO preferences AS p (user_id, chat_off, quiet_start, quiet_end, zone, version)"
    " SELECT DISTINCT ON (c.user_id) c.user_id, c.chat_off, CASE WHEN z.name IS NOT NULL THEN c.quiet_start END,"
    "        CASE WHEN z.name IS NOT NULL THEN c.quiet_end END, z.name, c.version"
    " FROM unnest($1::uuid[], $2::boolean[], $3::int[], $4::int[], $5::text[], $6::bigint[])"
    "      AS c (user_id, chat_off, quiet_start, quiet_end, zone, version)"
    " LEFT JOIN pg_timezone_names z ON z.name = c.zone ORDER BY c.user_id, c.version DESC"
    " ON CONFLICT (user_id) DO UPDATE SET chat_off = excluded.chat_off, quiet_start = excluded.quiet_start,"
    "    quiet_end = excluded.quiet_end, zone = excluded.zone, version = excluded.version"
    " WHERE p.version < excluded.version"};

struct work {
    struct arena *arena;
    const struct kafka_batch *batch;
    const void *copies;
    bool (*apply)(struct pg_tx *tx, const struct work *work, size_t first, struct err *err);
};

static bool apply_once(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct work *work = payload;
    size_t first = 0;
    return applied_begin(tx, work->batch, &first, err) &&
           (first >= work->batch->count || work->apply(tx, work, first, err)) && applied_end(tx, work->batch, err);
}

static const char **texts(const struct work *work)
{
    return arena_alloc(work->arena, (work->batch->count + 1) * sizeof(const char *));
}

static int64_t *numbers(const struct work *work)
{
    return arena_alloc(work->arena, (work->batch->count + 1) * sizeof(int64_t));
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

/* ---- accounts ---- */

static bool forget_withdrawn(struct pg_tx *tx, const struct work *work, const struct pg_result *copied, struct err *err)
{
    const char **gone = texts(work);
    size_t count = 0;
    for (int row = 0; row < pg_rows(copied); row++)
        if (pg_bool(copied, row, 1))
            gone[count++] = pg_text(copied, row, 0);
    const struct pg_param ids = PG_TEXTS(gone, count);
    return count == 0 || (pg_tx_exec(tx, &FORGET_REQUESTS, PARAMS(ids), NULL, err) &&
                          pg_tx_exec(tx, &FORGET_SINK, PARAMS(ids), NULL, err) &&
                          pg_tx_exec(tx, &FORGET_DEVICES, PARAMS(ids), NULL, err) &&
                          pg_tx_exec(tx, &FORGET_PREFERENCES, PARAMS(ids), NULL, err));
}

static bool apply_accounts(struct pg_tx *tx, const struct work *work, size_t first, struct err *err)
{
    const struct account_copy *copies = work->copies;
    const char **ids = texts(work), **locales = texts(work), **withdrawn = texts(work);
    int64_t *versions = numbers(work);
    size_t count = 0;
    for (size_t i = first; i < work->batch->count; i++) {
        if (!copies[i].user_id)
            continue;
        ids[count] = copies[i].user_id;
        locales[count] = copies[i].locale ? copies[i].locale : "";
        withdrawn[count] = truth(copies[i].withdrawn);
        versions[count++] = copies[i].version;
    }
    if (count == 0)
        return true;
    AUTO(pg_result)
    copied = pg_tx_query(
        tx, &COPY_ACCOUNTS,
        PARAMS(PG_TEXTS(ids, count), PG_TEXTS(locales, count), PG_TEXTS(withdrawn, count), PG_I64S(versions, count)),
        err);
    return copied && forget_withdrawn(tx, work, copied, err);
}

bool store_apply_accounts(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct account_copy *copies, struct err *err)
{
    struct work work = {arena, batch, copies, apply_accounts};
    return pg_transaction(db, apply_once, &work, err);
}

/* ---- sessions ---- */

static bool apply_ended(struct pg_tx *tx, const struct work *work, size_t first, struct err *err)
{
    const struct session_end *copies = work->copies;
    const char **ids = texts(work);
    size_t count = 0;
    for (size_t i = first; i < work->batch->count; i++)
        if (copies[i].sid)
            ids[count++] = copies[i].sid;
    const struct pg_param sessions = PG_TEXTS(ids, count);
    return count == 0 || (pg_tx_exec(tx, &LOCK_SESSIONS, PARAMS(sessions), NULL, err) &&
                          pg_tx_exec(tx, &END_SESSIONS, PARAMS(sessions), NULL, err) &&
                          pg_tx_exec(tx, &END_DEVICES, PARAMS(sessions), NULL, err));
}

bool store_apply_ended(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                       const struct session_end *copies, struct err *err)
{
    struct work work = {arena, batch, copies, apply_ended};
    return pg_transaction(db, apply_once, &work, err);
}

/* ---- presence ---- */

static bool apply_presence(struct pg_tx *tx, const struct work *work, size_t first, struct err *err)
{
    const struct presence_change *copies = work->copies;
    const char **ids = texts(work), **online = texts(work);
    int64_t *n = numbers(work);
    size_t count = 0;
    for (size_t i = first; i < work->batch->count; i++) {
        if (!copies[i].user_id)
            continue;
        ids[count] = copies[i].user_id;
        online[count] = truth(copies[i].online);
        n[count++] = copies[i].n;
    }
    return count == 0 ||
           pg_tx_exec(tx, &COPY_PRESENCE, PARAMS(PG_TEXTS(ids, count), PG_TEXTS(online, count), PG_I64S(n, count)),
                      NULL, err);
}

bool store_apply_presence(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct presence_change *copies, struct err *err)
{
    struct work work = {arena, batch, copies, apply_presence};
    return pg_transaction(db, apply_once, &work, err);
}

/* ---- settings ---- */

static const char *minute(struct arena *arena, int value)
{
    return value < 0 ? NULL : arena_printf(arena, "%d", value);
}

static bool apply_preferences(struct pg_tx *tx, const struct work *work, size_t first, struct err *err)
{
    const struct preference *copies = work->copies;
    const char **ids = texts(work), **off = texts(work), **start = texts(work), **end = texts(work),
               **zones = texts(work);
    int64_t *versions = numbers(work);
    size_t count = 0;
    for (size_t i = first; i < work->batch->count; i++) {
        if (!copies[i].user_id)
            continue;
        ids[count] = copies[i].user_id;
        off[count] = truth(copies[i].chat_off);
        start[count] = minute(work->arena, copies[i].quiet_start);
        end[count] = minute(work->arena, copies[i].quiet_end);
        zones[count] = copies[i].zone;
        versions[count++] = copies[i].version;
    }
    return count == 0 || pg_tx_exec(tx, &COPY_PREFERENCES,
                                    PARAMS(PG_TEXTS(ids, count), PG_TEXTS(off, count), PG_TEXTS(start, count),
                                           PG_TEXTS(end, count), PG_TEXTS(zones, count), PG_I64S(versions, count)),
                                    NULL, err);
}

bool store_apply_preferences(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                             const struct preference *copies, struct err *err)
{
    struct work work = {arena, batch, copies, apply_preferences};
    return pg_transaction(db, apply_once, &work, err);
}
