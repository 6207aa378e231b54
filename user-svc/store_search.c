/* Search for people that never reads the whole table, however common the words and whatever the planner believes:
 * the index on the pieces (bigrams) of names gives candidates; when they are few, all are looked at; when they are
 * many, the primary key gives the next SEARCH_WINDOW people, among whom matches are then common too. */
#include "store.h"

#include "store_rows.h"

#include <stdio.h>

/* No search may hold the database. Without sequential scans the one way to rows by `grams` is its index, so the plan
 * does not hang on statistics. Both hold for this transaction. */
static const struct pg_statement SEARCH_BOUNDS = {
    "search_bounds", "SELECT set_config('statement_timeout', $1, true), set_config('enable_seqscan', 'off', true)"};

/* $3 = the viewer. The block is looked up by the pair's key for each match; a scalar sub-select keeps the planner from
 * making a join over all pairs of it. */
#define SQL_VISIBLE(p)                                                                                                 \
    "NOT " p ".withdrawn AND " p ".role <> 'guest' AND " p ".user_id <> $3::uuid AND NOT coalesce("                    \
    "(SELECT r.a_blocked_at IS NOT NULL OR r.b_blocked_at IS NOT NULL FROM pairs r"                                    \
    " WHERE r.a = least(" p ".user_id, $3::uuid) AND r.b = greatest(" p ".user_id, $3::uuid)), false)"
#define SQL_FOUND(p) SQL_PERSON(p) ", " p ".email"

/* All of these: $1 the folded query, $2 after this id, $3 the viewer, $4 how many. Names are nearly unique, so the
 * first two read a handful of rows. */
const struct pg_statement SEARCH_EXACT = {
    "search_exact",
    "SELECT " SQL_FOUND("p") " FROM people p WHERE (p.nickname_folded = $1 OR p.handle_folded = $1)"
                             " AND p.user_id > $2 AND " SQL_VISIBLE("p") " ORDER BY p.user_id LIMIT $4::bigint"};
static const struct pg_statement SEARCH_EMAIL = {
    "search_email",
    "SELECT " SQL_FOUND("p") " FROM people p WHERE p.email_folded = $1 AND p.email_folded <> ''"
                             " AND p.user_id > $2 AND " SQL_VISIBLE("p") " ORDER BY p.user_id LIMIT $4::bigint"};

/* The pieces stand in a row in a name, which is not the whole name (that one was found before). */
#define SQL_PART(c)                                                                                                    \
    "(position($1 in " c ".nickname_folded) > 0 OR position($1 in " c ".handle_folded) > 0)"                           \
    " AND " c ".nickname_folded <> $1 AND " c ".handle_folded <> $1"

/* How many have all the pieces $1, up to $2. */
const struct pg_statement SEARCH_COUNT = {
    "search_count", "SELECT count(*) FROM (SELECT FROM people p WHERE p.grams @> $1::text[] LIMIT $2::bigint) c"};
/* Few: $5 the pieces. OFFSET 0 keeps the outer conditions out of the choice of the index. */
const struct pg_statement SEARCH_CANDIDATES = {
    "search_candidates",
    "SELECT " SQL_FOUND("c") " FROM (SELECT * FROM people p WHERE p.grams @> $5::text[] OFFSET 0) c"
                             " WHERE c.user_id > $2 AND " SQL_PART("c") " AND " SQL_VISIBLE(
                                 "c") " ORDER BY c.user_id LIMIT $4::bigint"};
/* Many: $5 how many people are looked at. */
const struct pg_statement SEARCH_IN_ORDER = {
    "search_in_order",
    "SELECT " SQL_FOUND("c") " FROM"
                             " (SELECT * FROM people p WHERE p.user_id > $2 ORDER BY p.user_id LIMIT $5::bigint) c"
                             " WHERE " SQL_PART("c") " AND " SQL_VISIBLE("c") " ORDER BY c.user_id LIMIT $4::bigint"};
static const struct pg_statement SEARCH_WINDOW_END = {
    "search_window_end",
    "SELECT p.user_id FROM people p WHERE p.user_id > $1 ORDER BY p.user_id OFFSET $2::bigint - 1 LIMIT 1"};

#define FIRST_ID "00000000-0000-0000-0000-000000000000"
enum { RANK_EXACT, RANK_PART };

struct search {
    const struct search_wish *wish;
    const char *viewer;
    const struct cursor *after;
    int64_t limit;
    struct arena *arena;
    struct found_page *page;
};

/* Takes rows into the page until it is full; the first one too many says that there are more. */
static void take_rows(struct search *search, const struct pg_result *rows, int64_t rank)
{
    struct found_page *page = search->page;
    for (int row = 0; row < pg_rows(rows) && !page->more; row++) {
        if (page->count == (size_t)search->limit) {
            const struct found *last = &page->items[page->count - 1];
            page->more = true;
            page->next.number = last->rank;
            (void)snprintf(page->next.id, sizeof page->next.id, "%s", last->person.id);
            return;
        }
        page->items[page->count++] = (struct found){
            .person = row_person_copy(rows, row, search->arena),
            .email = arena_text(search->arena, pg_text(rows, row, PERSON_COLUMNS)),
            .rank = rank,
        };
    }
}

static int64_t room(const struct search *search)
{
    return search->limit - (int64_t)search->page->count + 1;
}

static bool search_whole(struct pg_tx *tx, struct search *search, const char *after_id, struct err *err)
{
    const struct pg_statement *statement = search->wish->is_email ? &SEARCH_EMAIL : &SEARCH_EXACT;
    AUTO(pg_result)
    rows = pg_tx_query(
        tx, statement,
        PARAMS(PG_TEXT(search->wish->folded), PG_TEXT(after_id), PG_TEXT(search->viewer), PG_I64(room(search))), err);
    if (rows)
        take_rows(search, rows, RANK_EXACT);
    return rows != NULL;
}

static bool search_few(struct pg_tx *tx, struct search *search, const char *after_id, struct err *err)
{
    const struct search_wish *wish = search->wish;
    AUTO(pg_result)
    rows = pg_tx_query(tx, &SEARCH_CANDIDATES,
                       PARAMS(PG_TEXT(wish->folded), PG_TEXT(after_id), PG_TEXT(search->viewer), PG_I64(room(search)),
                              PG_TEXTS(wish->grams, wish->gram_count)),
                       err);
    if (rows)
        take_rows(search, rows, RANK_PART);
    return rows != NULL;
}

static bool search_many(struct pg_tx *tx, struct search *search, const char *after_id, struct err *err)
{
    struct found_page *page = search->page;
    AUTO(pg_result)
    rows = pg_tx_query(tx, &SEARCH_IN_ORDER,
                       PARAMS(PG_TEXT(search->wish->folded), PG_TEXT(after_id), PG_TEXT(search->viewer),
                              PG_I64(room(search)), PG_I64(SEARCH_WINDOW)),
                       err);
    if (!rows)
        return false;
    take_rows(search, rows, RANK_PART);
    if (page->more)
        return true;
    AUTO(pg_result) end = pg_tx_query(tx, &SEARCH_WINDOW_END, PARAMS(PG_TEXT(after_id), PG_I64(SEARCH_WINDOW)), err);
    if (!end)
        return false;
    page->more = pg_rows(end) > 0;
    page->next.number = RANK_PART;
    if (page->more)
        (void)snprintf(page->next.id, sizeof page->next.id, "%s", pg_text(end, 0, 0));
    return true;
}

static bool search_parts(struct pg_tx *tx, struct search *search, const char *after_id, struct err *err)
{
    AUTO(pg_result)
    rows = pg_tx_query(tx, &SEARCH_COUNT,
                       PARAMS(PG_TEXTS(search->wish->grams, search->wish->gram_count), PG_I64(SEARCH_FEW)), err);
    if (!rows)
        return false;
    return pg_i64(rows, 0, 0) < SEARCH_FEW ? search_few(tx, search, after_id, err)
                                           : search_many(tx, search, after_id, err);
}

static bool search_page(struct pg_tx *tx, void *payload, struct err *err)
{
    struct search *search = payload;
    const struct cursor *after = search->after;
    const bool in_parts = after && after->number != RANK_EXACT;
    char timeout[16];
    (void)snprintf(timeout, sizeof timeout, "%d", SEARCH_TIMEOUT_MS);
    *search->page = (struct found_page){
        .items = arena_alloc(search->arena, (size_t)(search->limit + 1) * sizeof(struct found)),
    };
    if (!pg_tx_exec(tx, &SEARCH_BOUNDS, PARAMS(PG_TEXT(timeout)), NULL, err))
        return false;
    if (!in_parts && !search_whole(tx, search, after ? after->id : FIRST_ID, err))
        return false;
    if (search->page->more || search->wish->is_email)
        return true;
    return search_parts(tx, search, in_parts ? after->id : FIRST_ID, err);
}

bool store_search(struct pg_pool *db, struct arena *arena, const struct search_wish *wish, const char *viewer,
                  const struct cursor *after, int64_t limit, struct found_page *page, struct err *err)
{
    struct search search = {wish, viewer, after, limit, arena, page};
    return pg_transaction(db, search_page, &search, err);
}
