#include "store_ranking.h"

#include <stdio.h>
#include <string.h>

static const struct pg_statement STATE = {
    "ranking_state", "SELECT r.phase = 'closed' AND g.accounts_at IS NOT NULL, k.round_id IS NOT NULL,"
                     " k.noticed_at IS NOT NULL FROM rounds r JOIN progress g ON g.round_id = r.id LEFT JOIN rankings "
                     "k ON k.round_id = r.id WHERE r.id = $1"};
static const struct pg_statement LOAD = {
    "ranking_load", "SELECT user_id, cash FROM participants WHERE round_id = $1 AND NOT bot AND orders > 0 AND cash IS "
                    "NOT NULL ORDER BY user_id"};
static const struct pg_statement ADD_POINTS = {
    "ratings_add", "INSERT INTO people AS p (user_id, rating) SELECT user_id, points FROM unnest($1::uuid[], "
                   "$2::bigint[]) AS n (user_id, points) ORDER BY user_id"
                   " ON CONFLICT (user_id) DO UPDATE SET rating = p.rating + excluded.rating"};
static const struct pg_statement RATINGS = {
    "ratings_of", "SELECT coalesce(p.rating, 0), CASE WHEN p.withdrawn THEN '' ELSE coalesce(p.nickname, '') END"
                  " FROM unnest($1::uuid[]) WITH ORDINALITY AS n (user_id, at) LEFT JOIN people p USING (user_id)"
                  " ORDER BY n.at"};
static const struct pg_statement ADD_RESULTS = {
    "results_add", "INSERT INTO results (round_id, user_id, place, return_bp, points, rating)"
                   " SELECT $1::uuid, * FROM unnest($2::uuid[], $3::int[], $4::bigint[], $5::int[], $6::bigint[])"};
static const struct pg_statement ADD_RANKING = {"ranking_add",
                                                "INSERT INTO rankings (round_id, participants, noticed_at)"
                                                " VALUES ($1, $2, CASE WHEN $2 = 0 THEN now() END)"};
static const struct pg_statement SET_RANKED = {"round_ranked", "UPDATE rounds SET ranked_at = now() WHERE id = $1"};
static const struct pg_statement NEXT_NOTICES = {
    "ranking_notices", "SELECT s.user_id, s.place, s.return_bp, s.points, k.participants,"
                       " coalesce(p.withdrawn, false) FROM rankings k JOIN results s ON s.round_id = k.round_id"
                       " AND s.user_id > k.noticed_to LEFT JOIN people p ON p.user_id = s.user_id"
                       " WHERE k.round_id = $1 AND k.noticed_at IS NULL ORDER BY s.user_id LIMIT $2"};
static const struct pg_statement MARK_NOTICES = {"ranking_mark",
                                                 "UPDATE rankings SET noticed_to = coalesce($2::uuid, noticed_to),"
                                                 " noticed_at = CASE WHEN $3 THEN now() END WHERE round_id = $1"};

bool store_ranking_state(struct pg_tx *tx, const char *round_id, enum ranking_state *state, struct err *err)
{
    AUTO(pg_result) rows = pg_tx_query(tx, &STATE, PARAMS(PG_TEXT(round_id)), err);
    if (!rows)
        return false;
    *state = pg_rows(rows) == 0 || !pg_bool(rows, 0, 0) ? RANKING_EARLY
             : !pg_bool(rows, 0, 1)                     ? RANKING_DUE
             : !pg_bool(rows, 0, 2)                     ? RANKING_NOTICES
                                                        : RANKING_DONE;
    return true;
}

bool store_ranking_load(struct pg_tx *tx, struct arena *arena, const char *round_id, struct ranked **list,
                        size_t *count, struct err *err)
{
    AUTO(pg_result) rows = pg_tx_query(tx, &LOAD, PARAMS(PG_TEXT(round_id)), err);
    if (!rows)
        return false;
    *count = (size_t)pg_rows(rows);
    *list = arena_alloc(arena, (*count + 1) * sizeof **list);
    for (size_t i = 0; i < *count; i++) {
        (void)snprintf((*list)[i].user_id, sizeof(*list)[i].user_id, "%s", pg_text(rows, (int)i, 0));
        (*list)[i].cash = pg_i64(rows, (int)i, 1);
    }
    return true;
}

/* ---- columns ---- */

static struct pg_param user_ids(struct arena *arena, const struct ranked *list, size_t count)
{
    const char **cells = arena_alloc(arena, (count + 1) * sizeof *cells);
    for (size_t i = 0; i < count; i++)
        cells[i] = list[i].user_id;
    return PG_TEXTS(cells, count);
}

static struct pg_param numbers(struct arena *arena, const struct ranked *list, size_t count, size_t offset)
{
    int64_t *cells = arena_alloc(arena, (count + 1) * sizeof *cells);
    for (size_t i = 0; i < count; i++)
        memcpy(&cells[i], (const char *)&list[i] + offset, sizeof cells[i]);
    return PG_I64S(cells, count);
}
#define NUMBERS(arena, list, count, member) numbers((arena), (list), (count), offsetof(struct ranked, member))

/* ---- ratings and results ---- */

bool store_ratings_add(struct pg_tx *tx, struct arena *arena, const struct ranked *list, size_t count,
                       int64_t **ratings, struct err *err)
{
    size_t paid = 0;
    struct ranked *some = arena_alloc(arena, (count + 1) * sizeof *some);
    for (size_t i = 0; i < count; i++)
        if (list[i].points > 0)
            some[paid++] = list[i];
    if (paid > 0 && !pg_tx_exec(tx, &ADD_POINTS,
                                PARAMS(user_ids(arena, some, paid), NUMBERS(arena, some, paid, points)), NULL, err))
        return false;
    AUTO(pg_result) rows = pg_tx_query(tx, &RATINGS, PARAMS(user_ids(arena, list, count)), err);
    *ratings = arena_alloc(arena, (count + 1) * sizeof **ratings);
    for (size_t i = 0; rows && i < count; i++)
        (*ratings)[i] = pg_i64(rows, (int)i, 0);
    return rows != NULL;
}

bool store_results_add(struct pg_tx *tx, struct arena *arena, const char *round_id, const struct ranked *list,
                       const int64_t *ratings, size_t count, struct err *err)
{
    const struct pg_param round = PG_TEXT(round_id);
    return (count == 0 || pg_tx_exec(tx, &ADD_RESULTS,
                                     PARAMS(round, user_ids(arena, list, count), NUMBERS(arena, list, count, place),
                                            NUMBERS(arena, list, count, return_bp), NUMBERS(arena, list, count, points),
                                            PG_I64S(ratings, count)),
                                     NULL, err)) &&
           pg_tx_exec(tx, &ADD_RANKING, PARAMS(round, PG_I64((int64_t)count)), NULL, err) &&
           pg_tx_exec(tx, &SET_RANKED, PARAMS(round), NULL, err);
}

bool store_nicknames(struct pg_tx *tx, struct arena *arena, const struct ranked *list, size_t count,
                     const char ***nicknames, struct err *err)
{
    AUTO(pg_result) rows = pg_tx_query(tx, &RATINGS, PARAMS(user_ids(arena, list, count)), err);
    *nicknames = arena_alloc(arena, (count + 1) * sizeof **nicknames);
    for (size_t i = 0; rows && i < count; i++)
        (*nicknames)[i] = arena_text(arena, pg_text(rows, (int)i, 1));
    return rows != NULL;
}

/* ---- notices ---- */

bool store_ranking_notices(struct pg_tx *tx, struct arena *arena, const char *round_id, int64_t most,
                           struct noticed **list, size_t *count, int64_t *participants, bool *last, struct err *err)
{
    AUTO(pg_result) rows = pg_tx_query(tx, &NEXT_NOTICES, PARAMS(PG_TEXT(round_id), PG_I64(most)), err);
    if (!rows)
        return false;
    const int found = pg_rows(rows);
    *count = 0;
    *last = found < most;
    *participants = found > 0 ? pg_i64(rows, 0, 4) : 0;
    *list = arena_alloc(arena, ((size_t)found + 1) * sizeof **list);
    for (int row = 0; row < found; row++)
        if (!pg_bool(rows, row, 5))
            (*list)[(*count)++] = (struct noticed){arena_text(arena, pg_text(rows, row, 0)), pg_i64(rows, row, 1),
                                                   pg_i64(rows, row, 2), pg_i64(rows, row, 3)};
    return pg_tx_exec(tx, &MARK_NOTICES,
                      PARAMS(PG_TEXT(round_id), PG_TEXT(found ? pg_text(rows, found - 1, 0) : NULL), PG_BOOL(*last)),
                      NULL, err);
}
