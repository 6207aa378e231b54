#include "store.h"

#include "applied.h"

/* ---- accounts ---- */

static const struct pg_statement COPY_ACCOUNTS = {
    "copy_accounts",
    "INSERT INTO accounts AS a (user_id, email, email_verified, nickname, phone, locale, withdrawn, version)"
    " SELECT user_id, email, email_verified, nickname, phone, locale, withdrawn, version"
    " FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::boolean[], "
    "$8::bigint[])"
    "      AS n (user_id, email, email_verified, nickname, phone, locale, withdrawn, version)"
    " ORDER BY user_id"
    " ON CONFLICT (user_id) DO UPDATE SET email = excluded.email, email_verified = excluded.email_verified,"
    "    nickname = excluded.nickname, phone = excluded.phone, locale = excluded.locale, withdrawn = "
    "excluded.withdrawn,"
    "    version = excluded.version WHERE a.version < excluded.version RETURNING user_id, withdrawn"};

/* Who withdrew: nothing they were told or wanted stays, and nothing waits to leave to them. Their deliveries keep a row
 * without text. */
static const struct pg_statement DROP_NOTICES = {"drop_notices",
                                                 "DELETE FROM notices WHERE user_id = ANY ($1::uuid[])"};
static const struct pg_statement DROP_CHOICES = {"drop_choices",
                                                 "DELETE FROM choices WHERE user_id = ANY ($1::uuid[])"};
static const struct pg_statement DROP_PREFERENCES = {"drop_preferences",
                                                     "DELETE FROM preferences WHERE user_id = ANY ($1::uuid[])"};
static const struct pg_statement DROP_DELIVERIES = {"drop_deliveries",
                                                    "UPDATE deliveries SET state = 'dropped', reason = 'withdrawn', "
                                                    "title = '', body = '', address = NULL, done_at = now()"
                                                    " WHERE user_id = ANY ($1::uuid[]) AND state = 'waiting'"};

struct account_work {
    struct arena *arena;
    const struct kafka_batch *batch;
    const struct account_copy *copies;
};

enum account_column { USER_ID, EMAIL, VERIFIED, NICKNAME, PHONE, LOCALE, WITHDRAWN, COLUMNS };

struct account_rows {
    const char **columns[COLUMNS];
    int64_t *versions;
    size_t count;
};

static const char *text_of(const struct account_copy *copy, const char *text)
{
    return copy->withdrawn || !text ? "" : text;
}

static void add_account(struct account_rows *rows, const struct account_copy *copy)
{
    const char *const values[COLUMNS] = {
        [USER_ID] = copy->user_id,
        [EMAIL] = text_of(copy, copy->email),
        [VERIFIED] = copy->email_verified && !copy->withdrawn ? "true" : "false",
        [NICKNAME] = text_of(copy, copy->nickname),
        [PHONE] = text_of(copy, copy->phone),
        [LOCALE] = text_of(copy, copy->locale),
        [WITHDRAWN] = copy->withdrawn ? "true" : "false",
    };
    for (int column = 0; column < COLUMNS; column++)
        rows->columns[column][rows->count] = values[column];
    rows->versions[rows->count++] = copy->version;
}

static struct account_rows account_rows_of(const struct account_work *work, size_t first)
{
    const size_t most = work->batch->count + 1;
    struct account_rows rows = {.versions = arena_alloc(work->arena, most * sizeof(int64_t))};
    for (int column = 0; column < COLUMNS; column++)
        rows.columns[column] = arena_alloc(work->arena, most * sizeof(char *));
    for (size_t i = first; i < work->batch->count; i++)
        if (work->copies[i].user_id && !account_is_superseded(work->copies, work->batch->count, i))
            add_account(&rows, &work->copies[i]);
    return rows;
}

static bool end_withdrawn(struct pg_tx *tx, struct arena *arena, const struct pg_result *copied, struct err *err)
{
    const struct pg_statement *const statements[] = {&DROP_NOTICES, &DROP_CHOICES, &DROP_PREFERENCES, &DROP_DELIVERIES};
    struct texts gone = {.items = arena_alloc(arena, ((size_t)pg_rows(copied) + 1) * sizeof(char *))};
    for (int row = 0; row < pg_rows(copied); row++)
        if (pg_bool(copied, row, 1))
            gone.items[gone.count++] = pg_text(copied, row, 0);
    for (size_t i = 0; gone.count > 0 && i < ARRAY_LENGTH(statements); i++)
        if (!pg_tx_exec(tx, statements[i], PARAMS(PG_TEXTS(gone.items, gone.count)), NULL, err))
            return false;
    return true;
}

static bool apply_accounts(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct account_work *work = payload;
    size_t first = 0;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    const struct account_rows rows = account_rows_of(work, first);
    if (rows.count > 0) {
#define COLUMN(name) PG_TEXTS(rows.columns[name], rows.count)
        AUTO(pg_result)
        copied = pg_tx_query(tx, &COPY_ACCOUNTS,
                             PARAMS(COLUMN(USER_ID), COLUMN(EMAIL), COLUMN(VERIFIED), COLUMN(NICKNAME), COLUMN(PHONE),
                                    COLUMN(LOCALE), COLUMN(WITHDRAWN), PG_I64S(rows.versions, rows.count)),
                             err);
#undef COLUMN
        if (!copied || !end_withdrawn(tx, work->arena, copied, err))
            return false;
    }
    return applied_end(tx, work->batch, err);
}

bool store_apply_accounts(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct account_copy *copies, struct err *err)
{
    struct account_work work = {arena, batch, copies};
    return pg_transaction(db, apply_accounts, &work, err);
}

/* ---- ended sessions ---- */

static const struct pg_statement END_SESSIONS = {
    "end_sessions",
    "INSERT INTO stream_sessions (session_id, user_id, ended_at)"
    " SELECT DISTINCT ON (sid) sid, user_id, now() FROM unnest($1::uuid[], $2::uuid[]) AS e (sid, user_id) ORDER BY sid"
    " ON CONFLICT (session_id) DO UPDATE SET ended_at = coalesce(stream_sessions.ended_at, excluded.ended_at)"};

struct session_work {
    struct arena *arena;
    const struct kafka_batch *batch;
    const struct session_end *ends;
};

static bool apply_sessions(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct session_work *work = payload;
    size_t first = 0, count = 0;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    const char **sids = arena_alloc(work->arena, (work->batch->count + 1) * sizeof(char *));
    const char **users = arena_alloc(work->arena, (work->batch->count + 1) * sizeof(char *));
    for (size_t i = first; i < work->batch->count; i++) {
        if (!work->ends[i].sid)
            continue;
        sids[count] = work->ends[i].sid;
        users[count++] = work->ends[i].user_id;
    }
    return (count == 0 ||
            pg_tx_exec(tx, &END_SESSIONS, PARAMS(PG_TEXTS(sids, count), PG_TEXTS(users, count)), NULL, err)) &&
           applied_end(tx, work->batch, err);
}

bool store_apply_sessions(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct session_end *ends, struct err *err)
{
    struct session_work work = {arena, batch, ends};
    return pg_transaction(db, apply_sessions, &work, err);
}
