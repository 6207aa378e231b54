#include "store.h"

#include "store_rows.h"

#include <stdio.h>

/* $3 = the viewer. The block is looked up by the pair's key for each candidate; a scalar sub-select keeps the planner from
 * making a join over all pairs of it. */
#define SQL_VISIBLE(p)                                                                                                 \
    "NOT " p ".withdrawn AND " p ".role <> 'guest' AND " p ".user_id <> $3::uuid AND NOT coalesce("                    \
    "(SELECT r.a_blocked_at IS NOT NULL OR r.b_blocked_at IS NOT NULL FROM pairs r"                                    \
    " WHERE r.a = least(" p ".user_id, $3::uuid) AND r.b = greatest(" p ".user_id, $3::uuid)), false)"

/* $1 folded query, $2 its pieces, $4 exact names after this id, $5 parts after this id, $6 how many.
 * The index on `grams` gives the rows that have all pieces; position() asks whether they stand in a row. */
const struct pg_statement SEARCH_NAMES = {
    "search_names",
    "SELECT x.user_id, x.handle, x.nickname, x.avatar_key, x.email, x.rank FROM ("
    " (SELECT " SQL_PERSON("p") ", p.email, 0 AS rank FROM people p"
    "  WHERE (p.nickname_folded = $1::text OR p.handle_folded = $1::text) AND p.user_id > $4::uuid AND " SQL_VISIBLE("p")
    "  ORDER BY p.user_id LIMIT $6::bigint)"
    " UNION ALL"
    " (SELECT " SQL_PERSON("p") ", p.email, 1 AS rank FROM people p"
    "  WHERE p.grams @> $2::text[] AND (position($1::text in p.nickname_folded) > 0 OR position($1::text in p.handle_folded) > 0)"
    "  AND p.nickname_folded <> $1::text AND p.handle_folded <> $1::text AND p.user_id > $5::uuid AND " SQL_VISIBLE("p")
    "  ORDER BY p.user_id LIMIT $6::bigint)"
    ") x ORDER BY x.rank, x.user_id LIMIT $6::bigint"};
static const struct pg_statement SEARCH_EMAIL = {
    "search_email", "SELECT " SQL_PERSON("p") ", p.email, 0 AS rank FROM people p"
                    " WHERE p.email_folded = $1::text AND p.email_folded <> '' AND p.user_id > $2::uuid"
                    " AND " SQL_VISIBLE("p") " ORDER BY p.user_id LIMIT $4::bigint"};
/* The plan depends on how common the pieces are, so it is made for each query; and no search may hold the database. */
static const struct pg_statement SEARCH_BOUNDS = {
    "search_bounds",
    "SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true)"};

#define FIRST_ID "00000000-0000-0000-0000-000000000000"
#define LAST_ID "ffffffff-ffff-ffff-ffff-ffffffffffff"

struct search {
    const struct search_wish *wish;
    const char *viewer;
    const struct cursor *after;
    int64_t limit;
    struct pg_result *rows;
};

static struct pg_result *search_rows(struct pg_tx *tx, const struct search *search, struct err *err)
{
    const struct search_wish *wish = search->wish;
    const struct cursor *after = search->after;
    const bool in_parts = after && after->number > 0;
    const char *exact_after = !after ? FIRST_ID : in_parts ? LAST_ID : after->id;
    if (wish->is_email)
        return pg_tx_query(tx, &SEARCH_EMAIL,
                           PARAMS(PG_TEXT(wish->folded), PG_TEXT(exact_after), PG_TEXT(search->viewer),
                                  PG_I64(search->limit + 1)),
                           err);
    return pg_tx_query(tx, &SEARCH_NAMES,
                       PARAMS(PG_TEXT(wish->folded), PG_TEXTS(wish->grams, wish->gram_count), PG_TEXT(search->viewer),
                              PG_TEXT(exact_after), PG_TEXT(in_parts ? after->id : FIRST_ID), PG_I64(search->limit + 1)),
                       err);
}

static bool search_bounded(struct pg_tx *tx, void *payload, struct err *err)
{
    struct search *search = payload;
    char timeout[16];
    (void)snprintf(timeout, sizeof timeout, "%d", SEARCH_TIMEOUT_MS);
    if (!pg_tx_exec(tx, &SEARCH_BOUNDS, PARAMS(PG_TEXT(timeout)), NULL, err))
        return false;
    pg_result_release(&search->rows); /* of a run before this one */
    search->rows = search_rows(tx, search, err);
    return search->rows != NULL;
}

bool store_search(struct pg_pool *db, struct arena *arena, const struct search_wish *wish, const char *viewer,
                  const struct cursor *after, int64_t limit, struct found **found, size_t *count, struct err *err)
{
    struct search search = {wish, viewer, after, limit, NULL};
    const bool good = pg_transaction(db, search_bounded, &search, err);
    AUTO(pg_result) rows = search.rows;
    if (!good)
        return false;
    *count = (size_t)pg_rows(rows);
    *found = arena_alloc(arena, (*count + 1) * sizeof **found);
    for (size_t i = 0; i < *count; i++) {
        (*found)[i] = (struct found){
            .person = row_person_copy(rows, (int)i, arena),
            .email = arena_text(arena, pg_text(rows, (int)i, PERSON_COLUMNS)),
            .rank = pg_i64(rows, (int)i, PERSON_COLUMNS + 1),
        };
    }
    return true;
}
