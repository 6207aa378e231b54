#include "store.h"

#include "applied.h"
#include "events.h"
#include "store_rows.h"

/* One row per account of the batch, each column an array. The pieces of a name come as one text with \x1f between them,
 * because unnest would flatten an array of arrays. An older version than the row's changes nothing. */
static const struct pg_statement COPY_ACCOUNTS = {
    "copy_accounts",
    "INSERT INTO people AS p (user_id, handle, nickname, email, role, locale, withdrawn, created_at, account_version,"
    "                         handle_folded, nickname_folded, email_folded, grams)"
    " SELECT n.user_id, n.handle, n.nickname, n.email, n.role, n.locale, n.withdrawn,"
    "        coalesce(nullif(n.created_at, '')::timestamptz, now()), n.version, n.handle_folded, n.nickname_folded,"
    "        n.email_folded, CASE n.grams WHEN '' THEN '{}'::text[] ELSE string_to_array(n.grams, E'\\x1f') END"
    " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::boolean[],"
    "             $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])"
    "      AS n (user_id, handle, nickname, email, role, locale, version, withdrawn, created_at, handle_folded,"
    "            nickname_folded, email_folded, grams)"
    " ORDER BY n.user_id"
    " ON CONFLICT (user_id) DO UPDATE SET handle = excluded.handle, nickname = excluded.nickname,"
    "    email = excluded.email, role = excluded.role, locale = excluded.locale, withdrawn = excluded.withdrawn,"
    "    created_at = excluded.created_at, account_version = excluded.account_version,"
    "    handle_folded = excluded.handle_folded, nickname_folded = excluded.nickname_folded,"
    "    email_folded = excluded.email_folded, grams = excluded.grams"
    " WHERE p.account_version < excluded.account_version"
    " RETURNING user_id, withdrawn, xmax = 0"};

/* Who withdrew: their pictures go, their profiles are blanked, and nothing holds between them and anybody. */
static const struct pg_statement DROP_PICTURES = {
    "drop_pictures", "INSERT INTO trash (key, due) SELECT avatar_key, now() FROM people"
                     " WHERE user_id = ANY ($1::uuid[]) AND avatar_key IS NOT NULL ON CONFLICT DO NOTHING"};
static const struct pg_statement BLANK_PROFILES = {
    "blank_profiles",
    "UPDATE people p SET bio = '', location = '', interests = '{}', avatar_key = NULL,"
    " profile_version = profile_version + 1 WHERE user_id = ANY ($1::uuid[]) RETURNING " SQL_PROFILE("p")};
static const struct pg_statement LOCK_PAIRS = {
    "lock_pairs", "SELECT a, b FROM pairs WHERE (a = ANY ($1::uuid[]) OR b = ANY ($1::uuid[]))"
                  " AND num_nonnulls(friends_since, requested_by, a_blocked_at, b_blocked_at) > 0"
                  " ORDER BY a, b FOR UPDATE"};
static const struct pg_statement END_PAIRS = {
    "end_pairs",
    "UPDATE pairs SET friends_since = NULL, requested_by = NULL, requested_to = NULL, requested_at = NULL,"
    " a_rejected_at = NULL, b_rejected_at = NULL, a_blocked_at = NULL, b_blocked_at = NULL, a_told_at = NULL,"
    " b_told_at = NULL, version = version + 1 WHERE (a = ANY ($1::uuid[]) OR b = ANY ($1::uuid[]))"
    " AND num_nonnulls(friends_since, requested_by, a_blocked_at, b_blocked_at) > 0 RETURNING a, b, version"};
static const struct pg_statement END_FRIENDSHIPS = {
    "end_friendships", "DELETE FROM friends f USING"
                       " (SELECT a, b FROM pairs WHERE a = ANY ($1::uuid[]) OR b = ANY ($1::uuid[])"
                       "  UNION ALL SELECT b, a FROM pairs WHERE a = ANY ($1::uuid[]) OR b = ANY ($1::uuid[])) p"
                       " WHERE f.user_id = p.a AND f.friend_id = p.b"};

struct copy_work {
    struct arena *arena;
    const struct kafka_batch *batch;
    const struct account_copy *copies;
};

/* ---- the upsert ---- */

enum copy_column {
    USER_ID,
    HANDLE,
    NICKNAME,
    EMAIL,
    ROLE,
    LOCALE,
    CREATED_AT,
    HANDLE_F,
    NICKNAME_F,
    EMAIL_F,
    GRAMS,
    COLUMNS
};

struct copy_rows {
    const char **columns[COLUMNS];
    const char **withdrawn; /* "true" or "false" */
    int64_t *versions;
    size_t count;
};

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static const char *joined(struct arena *arena, const char **grams, size_t count)
{
    AUTO_STR out;
    str_init(&out);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            str_add_char(&out, '\x1f');
        str_add(&out, grams[i]);
    }
    return arena_bytes(arena, out.bytes, out.length);
}

static void copy_rows_add(struct arena *arena, struct copy_rows *rows, const struct account_copy *copy)
{
    /* Whatever the sender put beside `withdrawn`, nothing of the person stays. */
    const bool gone = copy->withdrawn;
    const char *handle = gone ? "" : or_empty(copy->handle);
    const char *nickname = gone ? "" : or_empty(copy->nickname);
    const char *email = gone ? "" : or_empty(copy->email);
    const struct search_names names = search_names_of(arena, handle, nickname, email);
    const char *const values[COLUMNS] = {
        [USER_ID] = copy->user_id,
        [HANDLE] = handle,
        [NICKNAME] = nickname,
        [EMAIL] = email,
        [ROLE] = copy->role ? copy->role : "user",
        [LOCALE] = or_empty(copy->locale),
        [CREATED_AT] = or_empty(copy->created_at),
        [HANDLE_F] = names.handle,
        [NICKNAME_F] = names.nickname,
        [EMAIL_F] = names.email,
        [GRAMS] = joined(arena, names.grams, names.gram_count),
    };
    for (int column = 0; column < COLUMNS; column++)
        rows->columns[column][rows->count] = values[column];
    rows->withdrawn[rows->count] = gone ? "true" : "false";
    rows->versions[rows->count] = copy->version;
    rows->count++;
}

static struct copy_rows copy_rows_of(const struct copy_work *work, size_t first)
{
    const size_t most = work->batch->count + 1;
    struct copy_rows rows = {
        .withdrawn = arena_alloc(work->arena, most * sizeof(char *)),
        .versions = arena_alloc(work->arena, most * sizeof(int64_t)),
    };
    for (int column = 0; column < COLUMNS; column++)
        rows.columns[column] = arena_alloc(work->arena, most * sizeof(char *));
    for (size_t i = first; i < work->batch->count; i++)
        if (work->copies[i].user_id && !account_is_superseded(work->copies, work->batch->count, i))
            copy_rows_add(work->arena, &rows, &work->copies[i]);
    return rows;
}

static struct pg_result *copy_accounts(struct pg_tx *tx, const struct copy_rows *rows, struct err *err)
{
#define COLUMN(name) PG_TEXTS(rows->columns[name], rows->count)
    return pg_tx_query(tx, &COPY_ACCOUNTS,
                       PARAMS(COLUMN(USER_ID), COLUMN(HANDLE), COLUMN(NICKNAME), COLUMN(EMAIL), COLUMN(ROLE),
                              COLUMN(LOCALE), PG_I64S(rows->versions, rows->count),
                              PG_TEXTS(rows->withdrawn, rows->count), COLUMN(CREATED_AT), COLUMN(HANDLE_F),
                              COLUMN(NICKNAME_F), COLUMN(EMAIL_F), COLUMN(GRAMS)),
                       err);
#undef COLUMN
}

/* ---- withdrawal ---- */

static bool blank_profiles(struct pg_tx *tx, struct arena *arena, const struct texts *gone, struct err *err)
{
    const struct pg_param ids = PG_TEXTS(gone->items, gone->count);
    if (!pg_tx_exec(tx, &DROP_PICTURES, PARAMS(ids), NULL, err))
        return false;
    AUTO(pg_result) rows = pg_tx_query(tx, &BLANK_PROFILES, PARAMS(ids), err);
    if (!rows)
        return false;
    const struct origin origin = {0};
    const size_t count = (size_t)pg_rows(rows);
    struct outbox_event *events = arena_alloc(arena, (count + 1) * sizeof *events);
    for (size_t i = 0; i < count; i++) {
        const struct profile profile = row_profile(rows, (int)i, arena);
        events[i] = event_profile(arena, &profile, &origin);
    }
    return outbox_add_all(tx, events, count, err);
}

static bool end_relations(struct pg_tx *tx, struct arena *arena, const struct texts *gone, struct err *err)
{
    const struct pg_param ids = PG_TEXTS(gone->items, gone->count);
    if (!pg_tx_exec(tx, &LOCK_PAIRS, PARAMS(ids), NULL, err) ||
        !pg_tx_exec(tx, &END_FRIENDSHIPS, PARAMS(ids), NULL, err))
        return false;
    AUTO(pg_result) rows = pg_tx_query(tx, &END_PAIRS, PARAMS(ids), err);
    if (!rows)
        return false;
    const struct origin origin = {0};
    const size_t count = (size_t)pg_rows(rows);
    struct outbox_event *events = arena_alloc(arena, (count + 1) * sizeof *events);
    for (size_t i = 0; i < count; i++) {
        const struct relation ended = {.version = pg_i64(rows, (int)i, 2)};
        events[i] = event_relation(arena, pg_text(rows, (int)i, 0), pg_text(rows, (int)i, 1), &ended, &origin);
    }
    return count == 0 || outbox_add_all(tx, events, count, err);
}

static bool end_withdrawn(struct pg_tx *tx, struct arena *arena, const struct pg_result *copied, struct err *err)
{
    struct texts gone = {.items = arena_alloc(arena, ((size_t)pg_rows(copied) + 1) * sizeof(char *))};
    for (int row = 0; row < pg_rows(copied); row++)
        if (pg_bool(copied, row, 1))
            gone.items[gone.count++] = pg_text(copied, row, 0);
    return gone.count == 0 || (blank_profiles(tx, arena, &gone, err) && end_relations(tx, arena, &gone, err));
}

/* Somebody new: the profile as it begins goes out, so that who reads `profiles` knows a picture of everybody. */
static bool tell_new(struct pg_tx *tx, struct arena *arena, const struct pg_result *copied, struct err *err)
{
    const struct origin origin = {0};
    struct outbox_event *events = arena_alloc(arena, ((size_t)pg_rows(copied) + 1) * sizeof *events);
    size_t count = 0;
    for (int row = 0; row < pg_rows(copied); row++) {
        const struct profile fresh = profile_fresh(pg_text(copied, row, 0));
        if (pg_bool(copied, row, 2) && !pg_bool(copied, row, 1))
            events[count++] = event_profile(arena, &fresh, &origin);
    }
    return count == 0 || outbox_add_all(tx, events, count, err);
}

static bool apply_accounts(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct copy_work *work = payload;
    size_t first = 0;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    const struct copy_rows rows = copy_rows_of(work, first);
    if (rows.count > 0) {
        AUTO(pg_result) copied = copy_accounts(tx, &rows, err);
        if (!copied || !tell_new(tx, work->arena, copied, err) || !end_withdrawn(tx, work->arena, copied, err))
            return false;
    }
    return applied_end(tx, work->batch, err);
}

bool store_apply_accounts(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct account_copy *copies, struct err *err)
{
    struct copy_work work = {arena, batch, copies};
    return pg_transaction(db, apply_accounts, &work, err);
}
