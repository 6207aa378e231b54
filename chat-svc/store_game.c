#include "store_game.h"

#include "mem.h"
#include "uuid.h"

#include <stdio.h>

static const struct pg_statement ADD_COMPANIES = {
    "game_add_companies", "INSERT INTO market_companies (market, index, company_id)"
                          " SELECT $1::uuid, index, company_id FROM unnest($2::bigint[], $3::uuid[]) AS n (index, "
                          "company_id) ON CONFLICT DO NOTHING"};
static const struct pg_statement COMPANIES = {"game_companies",
                                              "SELECT index, company_id FROM market_companies WHERE market = $1"};
/* Nothing is written into a closed room but "deleted" of an old message: a row that is gone stays gone. */
static const struct pg_statement DROP_ROOMS = {
    "game_drop_rooms",
    "WITH old AS (SELECT id FROM rooms WHERE kind = 'company' AND closed_at < now() - make_interval(hours => $1::int)"
    "  ORDER BY closed_at LIMIT 100 FOR UPDATE SKIP LOCKED),"
    " words AS (DELETE FROM messages WHERE room_id IN (SELECT id FROM old))"
    " DELETE FROM rooms WHERE id IN (SELECT id FROM old)"};
static const struct pg_statement DROP_SAID = {"game_drop_said",
                                              "DELETE FROM said WHERE at < now() - make_interval(days => $1::int)"};
static const struct pg_statement DROP_COMPANIES = {
    "game_drop_companies", "DELETE FROM market_companies WHERE at < now() - make_interval(days => $1::int)"};

bool store_game_add_companies(struct pg_tx *tx, const char *market, const struct game_company *companies, size_t count,
                              struct err *err)
{
    int64_t indexes[GAME_COMPANIES_MAX];
    const char *ids[GAME_COMPANIES_MAX];
    for (size_t i = 0; i < count; i++) {
        indexes[i] = companies[i].index;
        ids[i] = companies[i].id;
    }
    return count == 0 || pg_tx_exec(tx, &ADD_COMPANIES,
                                    PARAMS(PG_TEXT(market), PG_I64S(indexes, count), PG_TEXTS(ids, count)), NULL, err);
}

bool store_game_companies(struct pg_pool *db, const char *market, char ids[GAME_COMPANIES_MAX][UUID_TEXT_BYTES],
                          int *count, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &COMPANIES, PARAMS(PG_TEXT(market)), err);
    *count = 0;
    for (int row = 0; rows && row < pg_rows(rows); row++) {
        const int64_t index = pg_i64(rows, row, 0);
        if (index < 0 || index >= GAME_COMPANIES_MAX)
            continue;
        (void)snprintf(ids[index], UUID_TEXT_BYTES, "%s", pg_text(rows, row, 1));
        if (index >= *count)
            *count = (int)index + 1;
    }
    return rows != NULL;
}

bool store_game_sweep(struct pg_pool *db, struct err *err)
{
    return pg_exec(db, &DROP_ROOMS, PARAMS(PG_I64(COMPANY_ROOM_HOURS)), NULL, err) &&
           pg_exec(db, &DROP_SAID, PARAMS(PG_I64(SAID_DAYS)), NULL, err) &&
           pg_exec(db, &DROP_COMPANIES, PARAMS(PG_I64(SAID_DAYS)), NULL, err);
}
