#include "store.h"

#include "applied.h"

#include <stdlib.h>

struct presence row_presence(const struct pg_result *rows, int row)
{
    struct presence presence = {
        .online = pg_bool(rows, row, 1),
        .visible = pg_bool(rows, row, 2),
        .show_last_seen = pg_bool(rows, row, 3),
        .withdrawn = pg_bool(rows, row, 4),
        .look_ms = pg_i64(rows, row, 5),
        .last_seen_ms = pg_i64(rows, row, 6),
        .n = pg_i64(rows, row, 7),
    };
    memcpy(presence.user_id, pg_text(rows, row, 0), UUID_TEXT_BYTES);
    return presence;
}

/* ---- lists ---- */

/* Friends without a row were never here. */
#define SQL_FRIENDS                                                                                                    \
    "SELECT f.id, coalesce(p.online, false), coalesce(p.visible, true), coalesce(p.show_last_seen, true), false, "     \
    "0, " SQL_MS("p.last_seen") ", coalesce(p.n, 0)"                                                                   \
                                " FROM (SELECT b AS id FROM relations WHERE a = $1::uuid AND friend"                   \
                                " UNION ALL SELECT a FROM relations WHERE b = $1::uuid AND friend) AS f"               \
                                " LEFT JOIN people p ON p.user_id = f.id WHERE NOT coalesce(p.withdrawn, false)"
static const struct pg_statement LIST_FRIENDS = {
    "list_friends",
    SQL_FRIENDS " AND ($2::uuid IS NULL OR f.id > $2::uuid) AND (NOT $3::boolean OR (p.online AND p.visible))"
                " ORDER BY f.id LIMIT $4"};
static const struct pg_statement FRIENDS_AMONG = {"friends_among",
                                                  SQL_FRIENDS " AND f.id = ANY ($2::uuid[]) ORDER BY f.id"};

static bool fill_list(struct arena *arena, const struct pg_result *rows, struct presence_list *list)
{
    if (!rows)
        return false;
    list->count = (size_t)pg_rows(rows);
    list->items = arena_alloc(arena, (list->count + 1) * sizeof *list->items);
    for (size_t i = 0; i < list->count; i++)
        list->items[i] = row_presence(rows, (int)i);
    return true;
}

bool store_friends(struct pg_pool *db, struct arena *arena, const char *user_id, const char *after, bool online_only,
                   int64_t limit, struct presence_list *list, struct err *err)
{
    AUTO(pg_result)
    rows =
        pg_query(db, &LIST_FRIENDS, PARAMS(PG_TEXT(user_id), PG_TEXT(after), PG_BOOL(online_only), PG_I64(limit)), err);
    return fill_list(arena, rows, list);
}

bool store_friends_among(struct pg_pool *db, struct arena *arena, const char *user_id, const struct texts *ids,
                         struct presence_list *list, struct err *err)
{
    AUTO(pg_result)
    rows = pg_query(db, &FRIENDS_AMONG, PARAMS(PG_TEXT(user_id), PG_TEXTS(ids->items, ids->count)), err);
    return fill_list(arena, rows, list);
}

/* ---- settings ---- */

static const struct pg_statement FIND_PERSON = {"find_person",
                                                "SELECT " SQL_PRESENCE("p") " FROM people p WHERE user_id = $1"};
static const struct pg_statement MAKE_PERSON = {"make_person",
                                                "INSERT INTO people (user_id) VALUES ($1) ON CONFLICT DO NOTHING"};
static const struct pg_statement LOCK_PERSON = {
    "lock_person", "SELECT " SQL_PRESENCE("p") " FROM people p WHERE user_id = $1 FOR NO KEY UPDATE"};
static const struct pg_statement WRITE_SETTINGS = {
    "write_settings", "UPDATE people SET visible = $2, show_last_seen = $3, n = $4 WHERE user_id = $1"};

bool store_settings(struct pg_pool *db, const char *user_id, struct presence *presence, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &FIND_PERSON, PARAMS(PG_TEXT(user_id)), err);
    if (!rows)
        return false;
    *presence = pg_rows(rows) ? row_presence(rows, 0) : (struct presence){.visible = true, .show_last_seen = true};
    return true;
}

struct settings_work {
    struct arena *arena;
    const char *user_id;
    const struct settings_wish *wish;
    struct presence *presence;
};

static bool change_settings(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct settings_work *work = payload;
    struct presence *presence = work->presence;
    if (!pg_tx_exec(tx, &MAKE_PERSON, PARAMS(PG_TEXT(work->user_id)), NULL, err))
        return false;
    AUTO(pg_result) rows = pg_tx_query(tx, &LOCK_PERSON, PARAMS(PG_TEXT(work->user_id)), err);
    if (!rows)
        return false;
    *presence = row_presence(rows, 0);
    if (presence->withdrawn)
        return err_set(err, &ERR_SESSION_ENDED, "the account was withdrawn");
    if (presence_set(presence, work->wish->visible, work->wish->show_last_seen) == PRESENCE_SAME)
        return true;
    return pg_tx_exec(tx, &WRITE_SETTINGS,
                      PARAMS(PG_TEXT(work->user_id), PG_BOOL(presence->visible), PG_BOOL(presence->show_last_seen),
                             PG_I64(presence->n)),
                      NULL, err) &&
           store_tx_tell(tx, work->arena, presence, 1, err);
}

bool store_change_settings(struct pg_pool *db, struct arena *arena, const char *user_id,
                           const struct settings_wish *wish, struct presence *presence, struct err *err)
{
    struct settings_work work = {arena, user_id, wish, presence};
    return pg_transaction(db, change_settings, &work, err);
}

/* ---- read copies ---- */

struct copy_work {
    struct arena *arena;
    const struct kafka_batch *batch;
    const struct account_copy *accounts;
    const struct relation_copy *relations;
};

static const struct pg_statement MAKE_GONE = {
    "make_gone",
    "INSERT INTO people (user_id) SELECT u FROM unnest($1::uuid[]) AS u ORDER BY u ON CONFLICT DO NOTHING"};
static const struct pg_statement LOCK_GONE = {
    "lock_gone", "SELECT " SQL_PRESENCE("p") " FROM people p WHERE user_id = ANY ($1::uuid[]) AND NOT withdrawn"
                                             " ORDER BY user_id FOR NO KEY UPDATE"};
static const struct pg_statement BLANK_GONE = {
    "blank_gone",
    "UPDATE people p SET online = false, look_at = NULL, last_seen = NULL, visible = false, show_last_seen = false,"
    " withdrawn = true, n = u.n FROM unnest($1::uuid[], $2::bigint[]) AS u (user_id, n)"
    " WHERE p.user_id = u.user_id"};
static const struct pg_statement DROP_CONNECTIONS = {"drop_connections",
                                                     "DELETE FROM connections WHERE user_id = ANY ($1::uuid[])"};

/* Only who goes for good counts: names live elsewhere. */
static bool end_people(struct pg_tx *tx, const struct copy_work *work, const char **ids, size_t count, struct err *err)
{
    if (!pg_tx_exec(tx, &MAKE_GONE, PARAMS(PG_TEXTS(ids, count)), NULL, err))
        return false;
    AUTO(pg_result) rows = pg_tx_query(tx, &LOCK_GONE, PARAMS(PG_TEXTS(ids, count)), err);
    if (!rows)
        return false;
    size_t total = (size_t)pg_rows(rows), told = 0;
    struct presence *people = arena_alloc(work->arena, (total + 1) * sizeof *people);
    struct presence *changed = arena_alloc(work->arena, (total + 1) * sizeof *changed);
    const char **gone = arena_alloc(work->arena, (total + 1) * sizeof *gone);
    int64_t *n = arena_alloc(work->arena, (total + 1) * sizeof *n);
    for (size_t i = 0; i < total; i++) {
        people[i] = row_presence(rows, (int)i);
        if (presence_withdraw(&people[i]) == PRESENCE_CHANGED)
            changed[told++] = people[i];
        gone[i] = people[i].user_id;
        n[i] = people[i].n;
    }
    return !total || (pg_tx_exec(tx, &BLANK_GONE, PARAMS(PG_TEXTS(gone, total), PG_I64S(n, total)), NULL, err) &&
                      pg_tx_exec(tx, &DROP_CONNECTIONS, PARAMS(PG_TEXTS(gone, total)), NULL, err) &&
                      store_tx_tell(tx, work->arena, changed, told, err));
}

static bool apply_accounts(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct copy_work *work = payload;
    size_t first, count = 0;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    const char **ids = arena_alloc(work->arena, (work->batch->count + 1) * sizeof *ids);
    for (size_t i = first; i < work->batch->count; i++)
        if (work->accounts[i].user_id && work->accounts[i].withdrawn)
            ids[count++] = work->accounts[i].user_id;
    return (!count || end_people(tx, work, ids, count, err)) && applied_end(tx, work->batch, err);
}

bool store_apply_accounts(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct account_copy *accounts, struct err *err)
{
    struct copy_work work = {.arena = arena, .batch = batch, .accounts = accounts};
    return pg_transaction(db, apply_accounts, &work, err);
}

/* A pair may stand in a batch more than once: the highest version counts. */
static const struct pg_statement COPY_RELATIONS = {
    "copy_relations", "INSERT INTO relations AS r (a, b, friend, version)"
                      " SELECT DISTINCT ON (n.a, n.b) n.a, n.b, n.friend, n.version"
                      " FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::bigint[]) AS n (a, b, friend, version)"
                      " ORDER BY n.a, n.b, n.version DESC"
                      " ON CONFLICT (a, b) DO UPDATE SET friend = excluded.friend, version = excluded.version WHERE "
                      "r.version < excluded.version"};

static bool apply_relations(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct copy_work *work = payload;
    const size_t most = work->batch->count + 1;
    const char **a = arena_alloc(work->arena, most * sizeof *a), **b = arena_alloc(work->arena, most * sizeof *b),
               **friends = arena_alloc(work->arena, most * sizeof *friends);
    int64_t *versions = arena_alloc(work->arena, most * sizeof *versions);
    size_t first, count = 0;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    for (size_t i = first; i < work->batch->count; i++) {
        const struct relation_copy *relation = &work->relations[i];
        if (!relation->a)
            continue;
        a[count] = relation->a;
        b[count] = relation->b;
        friends[count] = relation_is_friendly(relation) ? "true" : "false";
        versions[count++] = relation->version;
    }
    return (!count || pg_tx_exec(tx, &COPY_RELATIONS,
                                 PARAMS(PG_TEXTS(a, count), PG_TEXTS(b, count), PG_TEXTS(friends, count),
                                        PG_I64S(versions, count)),
                                 NULL, err)) &&
           applied_end(tx, work->batch, err);
}

bool store_apply_relations(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                           const struct relation_copy *relations, struct err *err)
{
    struct copy_work work = {.arena = arena, .batch = batch, .relations = relations};
    return pg_transaction(db, apply_relations, &work, err);
}
