#include "store_reads.h"

#include <string.h>

/* ---- rounds ---- */

#define SQL_ROUND                                                                                                                                                                                                     \
    "SELECT r.id, r.phase, r.number, r.seed_cash, r.tick, " SQL_MS("r.setup_at") ", " SQL_MS(                                                                                                                         \
        "r.opens_at") ", " SQL_MS("r.closes_at") ", " SQL_MS("r.next_at") ", " SQL_MS("r.closed_at") ", " SQL_MS("now"                                                                                                \
                                                                                                                 "()") ", k.round_id IS NOT NULL, coalesce(k.participants, 0) FROM rounds r LEFT JOIN rankings k ON " \
                                                                                                                       "k.round_id = r.id "

static const struct pg_statement CURRENT = {"read_current", SQL_ROUND "ORDER BY r.number DESC LIMIT 1"};
static const struct pg_statement ROUND = {"read_round", SQL_ROUND "WHERE r.id = $1"};
static const struct pg_statement ROUNDS = {
    "read_rounds", SQL_ROUND "WHERE k.round_id IS NOT NULL AND r.number < $1 ORDER BY r.number DESC LIMIT $2"};

static const char *copy(struct arena *arena, const struct pg_result *rows, int row, int column)
{
    const char *text = pg_text(rows, row, column);
    return arena_text(arena, text ? text : "");
}

static struct seen_round row_round(struct arena *arena, const struct pg_result *rows, int row)
{
    return (struct seen_round){
        .id = copy(arena, rows, row, 0),
        .phase = copy(arena, rows, row, 1),
        .number = pg_i64(rows, row, 2),
        .seed_cash = pg_i64(rows, row, 3),
        .tick = pg_i64(rows, row, 4),
        .setup_at_ms = pg_i64(rows, row, 5),
        .opens_at_ms = pg_i64(rows, row, 6),
        .closes_at_ms = pg_i64(rows, row, 7),
        .next_at_ms = pg_i64(rows, row, 8),
        .closed_at_ms = pg_i64(rows, row, 9),
        .now_ms = pg_i64(rows, row, 10),
        .ranked = pg_bool(rows, row, 11),
        .participants = pg_i64(rows, row, 12),
    };
}

static bool one_round(struct pg_pool *db, struct arena *arena, const struct pg_statement *statement,
                      struct pg_params params, struct seen_round *round, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, statement, params, err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_NOT_FOUND, "There is no such round");
    *round = row_round(arena, rows, 0);
    return true;
}

bool store_read_current(struct pg_pool *db, struct arena *arena, struct seen_round *round, struct err *err)
{
    return one_round(db, arena, &CURRENT, NO_PARAMS, round, err);
}

bool store_read_round(struct pg_pool *db, struct arena *arena, const char *id, struct seen_round *round,
                      struct err *err)
{
    return one_round(db, arena, &ROUND, PARAMS(PG_TEXT(id)), round, err);
}

bool store_read_rounds(struct pg_pool *db, struct arena *arena, int64_t below, int64_t limit,
                       struct seen_round **rounds, size_t *count, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &ROUNDS, PARAMS(PG_I64(below ? below : INT64_MAX), PG_I64(limit)), err);
    if (!rows)
        return false;
    *count = (size_t)pg_rows(rows);
    *rounds = arena_alloc(arena, (*count + 1) * sizeof **rounds);
    for (size_t i = 0; i < *count; i++)
        (*rounds)[i] = row_round(arena, rows, (int)i);
    return true;
}

bool store_read_last_ranked(struct pg_pool *db, struct arena *arena, struct seen_round *round, bool *found,
                            struct err *err)
{
    struct seen_round *rounds;
    size_t count;
    if (!store_read_rounds(db, arena, 0, 1, &rounds, &count, err))
        return false;
    *found = count > 0;
    if (*found)
        *round = rounds[0];
    return true;
}

/* ---- companies and news ---- */

static const struct pg_statement COMPANIES = {
    "read_companies", "SELECT id, name, name_en, business, index, initial_price, coalesce(last_price, 0) FROM companies"
                      " WHERE round_id = $1 ORDER BY index"};
static const struct pg_statement NEWS = {
    "read_news", "SELECT n.company_id, c.name, c.name_en, n.line, n.number, n.weight, " SQL_MS(
                     "n.at") " FROM news n JOIN companies c ON c.id = n.company_id WHERE n.round_id = $1"
                             " ORDER BY n.number DESC LIMIT $2"};

bool store_read_companies(struct pg_pool *db, struct arena *arena, const char *round_id, struct seen_company **list,
                          size_t *count, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &COMPANIES, PARAMS(PG_TEXT(round_id)), err);
    if (!rows)
        return false;
    *count = (size_t)pg_rows(rows);
    *list = arena_alloc(arena, (*count + 1) * sizeof **list);
    for (size_t i = 0; i < *count; i++) {
        const int row = (int)i;
        (*list)[i] = (struct seen_company){
            .id = copy(arena, rows, row, 0),
            .name = copy(arena, rows, row, 1),
            .name_en = copy(arena, rows, row, 2),
            .business = copy(arena, rows, row, 3),
            .index = pg_i64(rows, row, 4),
            .initial_price = pg_i64(rows, row, 5),
            .last_price = pg_i64(rows, row, 6),
        };
    }
    return true;
}

bool store_read_news(struct pg_pool *db, struct arena *arena, const char *round_id, int64_t limit,
                     struct seen_news **list, size_t *count, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &NEWS, PARAMS(PG_TEXT(round_id), PG_I64(limit)), err);
    if (!rows)
        return false;
    *count = (size_t)pg_rows(rows);
    *list = arena_alloc(arena, (*count + 1) * sizeof **list);
    for (size_t i = 0; i < *count; i++) {
        const int row = (int)i;
        (*list)[i] = (struct seen_news){
            .company_id = copy(arena, rows, row, 0),
            .company_name = copy(arena, rows, row, 1),
            .company_name_en = copy(arena, rows, row, 2),
            .line = copy(arena, rows, row, 3),
            .number = pg_i64(rows, row, 4),
            .weight = pg_i64(rows, row, 5),
            .at_ms = pg_i64(rows, row, 6),
        };
    }
    return true;
}

/* ---- places ---- */

#define SQL_PLACE                                                                                                      \
    "SELECT s.round_id, s.user_id, CASE WHEN p.withdrawn THEN '' ELSE coalesce(p.nickname, '') END, s.place, "         \
    "s.return_bp, t.cash, s.points, s.rating, t.orders, t.fills, t.bought, t.sold"
#define SQL_PLACE_JOINS                                                                                                \
    " JOIN participants t ON t.round_id = s.round_id AND t.user_id = s.user_id LEFT JOIN people p ON p.user_id = "     \
    "s.user_id "

static const struct pg_statement PLACES = {
    "read_places", SQL_PLACE " FROM results s" SQL_PLACE_JOINS "WHERE s.round_id = $1 AND (s.place, s.user_id) > "
                             "($2::int, $3::uuid) ORDER BY s.place, s.user_id LIMIT $4"};
static const struct pg_statement RATINGS = {
    "read_ratings", "SELECT NULL, user_id, nickname, rank() OVER (ORDER BY rating DESC), 0, 0, 0, rating, 0, 0, 0, 0"
                    " FROM (SELECT * FROM people WHERE rating > 0 AND NOT withdrawn ORDER BY rating DESC, user_id DESC"
                    "  LIMIT $1) top ORDER BY rating DESC, user_id DESC"};
static const struct pg_statement RESULTS_OF = {"read_results_of",
                                               SQL_PLACE " FROM results s" SQL_PLACE_JOINS
                                                         "WHERE s.user_id = $1 AND s.round_id = ANY ($2::uuid[])"};
static const struct pg_statement WINNERS = {
    "read_winners", SQL_PLACE " FROM unnest($1::uuid[]) AS r (id) CROSS JOIN LATERAL (SELECT * FROM results x WHERE "
                              "x.round_id = r.id ORDER BY x.place, x.user_id LIMIT $2) s" SQL_PLACE_JOINS
                              "ORDER BY s.round_id, s.place, s.user_id"};

static bool take_places(struct pg_pool *db, struct arena *arena, const struct pg_statement *statement,
                        struct pg_params params, struct seen_place **list, size_t *count, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, statement, params, err);
    if (!rows)
        return false;
    *count = (size_t)pg_rows(rows);
    *list = arena_alloc(arena, (*count + 1) * sizeof **list);
    for (size_t i = 0; i < *count; i++) {
        const int row = (int)i;
        (*list)[i] = (struct seen_place){
            .round_id = copy(arena, rows, row, 0),
            .user_id = copy(arena, rows, row, 1),
            .nickname = copy(arena, rows, row, 2),
            .place = pg_i64(rows, row, 3),
            .return_bp = pg_i64(rows, row, 4),
            .cash = pg_i64(rows, row, 5),
            .points = pg_i64(rows, row, 6),
            .rating = pg_i64(rows, row, 7),
            .orders = pg_i64(rows, row, 8),
            .fills = pg_i64(rows, row, 9),
            .bought = pg_i64(rows, row, 10),
            .sold = pg_i64(rows, row, 11),
        };
    }
    return true;
}

static const char NO_ID[] = "00000000-0000-0000-0000-000000000000";

bool store_read_places(struct pg_pool *db, struct arena *arena, const char *round_id, const struct cursor *after,
                       int64_t limit, struct seen_place **list, size_t *count, struct err *err)
{
    return take_places(
        db, arena, &PLACES,
        PARAMS(PG_TEXT(round_id), PG_I64(after ? after->number : 0), PG_TEXT(after ? after->id : NO_ID), PG_I64(limit)),
        list, count, err);
}

bool store_read_ratings(struct pg_pool *db, struct arena *arena, int64_t limit, struct seen_place **list, size_t *count,
                        struct err *err)
{
    return take_places(db, arena, &RATINGS, PARAMS(PG_I64(limit)), list, count, err);
}

static const struct pg_statement RATING_OF = {"read_rating_of", "SELECT rating FROM people WHERE user_id = $1"};

bool store_read_rating_of(struct pg_pool *db, const char *user_id, int64_t *rating, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &RATING_OF, PARAMS(PG_TEXT(user_id)), err);
    *rating = rows && pg_rows(rows) > 0 ? pg_i64(rows, 0, 0) : 0;
    return rows != NULL;
}

bool store_read_results_of(struct pg_pool *db, struct arena *arena, const char *user_id, const struct texts *round_ids,
                           struct seen_place **list, size_t *count, struct err *err)
{
    return take_places(db, arena, &RESULTS_OF, PARAMS(PG_TEXT(user_id), PG_TEXTS(round_ids->items, round_ids->count)),
                       list, count, err);
}

bool store_read_winners(struct pg_pool *db, struct arena *arena, const struct texts *round_ids, int64_t most,
                        struct seen_place **list, size_t *count, struct err *err)
{
    return take_places(db, arena, &WINNERS, PARAMS(PG_TEXTS(round_ids->items, round_ids->count), PG_I64(most)), list,
                       count, err);
}
