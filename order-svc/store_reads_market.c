#include "store_reads.h"

#include "mem.h"

static const char *text_of(const struct pg_result *rows, int row, int column, struct arena *arena)
{
    const char *text = pg_text(rows, row, column);
    return text ? arena_text(arena, text) : NULL;
}

/* ---- a portfolio ---- */

/* One row per holding, or one without. What open orders reserve is summed from them. */
static const struct pg_statement PORTFOLIO = {
    "portfolio",
    "WITH mine AS (SELECT o.company_id, o.side, sum(CASE o.side WHEN 'buy' THEN o.price * o.remaining"
    " ELSE o.remaining END)::bigint AS reserved FROM orders o"
    " WHERE o.market_id = $1 AND o.user_id = $2 AND o.status = 'open' GROUP BY o.company_id, o.side) "
    "SELECT m.seed_cash, coalesce(a.cash, m.seed_cash),"
    " coalesce((SELECT sum(reserved)::bigint FROM mine WHERE side = 'buy'), 0), m.seq, coalesce(p.rating, 0),"
    " coalesce(p.tier, 'bronze'), c.id, c.name, c.last_price, c.initial_price, c.halted, c.index, h.quantity, h.cost,"
    " coalesce((SELECT reserved FROM mine WHERE side = 'sell' AND company_id = c.id), 0)"
    " FROM markets m LEFT JOIN accounts a ON a.market_id = m.id AND a.user_id = $2"
    " LEFT JOIN people p ON p.user_id = $2"
    " LEFT JOIN holdings h ON h.market_id = m.id AND h.user_id = $2 AND h.quantity > 0"
    " LEFT JOIN companies c ON c.id = h.company_id WHERE m.id = $1"};

static void row_holding(const struct pg_result *rows, int row, struct arena *arena, struct holding *holding)
{
    *holding = (struct holding){
        .company = {.id = text_of(rows, row, 6, arena),
                    .name = text_of(rows, row, 7, arena),
                    .price = pg_i64(rows, row, 8),
                    .initial_price = pg_i64(rows, row, 9),
                    .halted = pg_bool(rows, row, 10)},
        .index = pg_i64(rows, row, 11),
        .quantity = pg_i64(rows, row, 12),
        .cost = pg_i64(rows, row, 13),
        .reserved = pg_i64(rows, row, 14),
    };
}

bool store_portfolio(struct pg_pool *db, struct arena *arena, const char *market_id, const char *user_id,
                     struct portfolio *portfolio, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &PORTFOLIO, PARAMS(PG_TEXT(market_id), PG_TEXT(user_id)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0) /* heard of, not settled yet */
        return err_set_retry(err, &ERR_NOT_YET, 1, "the market is not settled yet");
    *portfolio = (struct portfolio){
        .seed_cash = pg_i64(rows, 0, 0),
        .cash = pg_i64(rows, 0, 1),
        .reserved = pg_i64(rows, 0, 2),
        .seq = pg_i64(rows, 0, 3),
        .rating = pg_i64(rows, 0, 4),
        .tier = text_of(rows, 0, 5, arena),
        .holdings = arena_alloc(arena, (size_t)pg_rows(rows) * sizeof(struct holding)),
    };
    for (int row = 0; row < pg_rows(rows); row++)
        if (!pg_is_null(rows, row, 6))
            row_holding(rows, row, arena, &portfolio->holdings[portfolio->count++]);
    return true;
}

/* ---- trades ---- */

static const struct pg_statement TRADES = {
    "trades_of_company", "SELECT number, price, quantity, " SQL_MS(
                             "at") ", taker_side FROM trades WHERE company_id = $1 AND number < $2::bigint"
                                   " ORDER BY number DESC LIMIT $3::bigint"};

bool store_trades(struct pg_pool *db, struct arena *arena, const char *company_id, int64_t before_number, int64_t limit,
                  struct trade_list *list, struct err *err)
{
    AUTO(pg_result)
    rows = pg_query(db, &TRADES, PARAMS(PG_TEXT(company_id), PG_I64(before_number), PG_I64(limit + 1)), err);
    if (!rows)
        return false;
    list->count = (size_t)pg_rows(rows);
    struct trade *items = arena_alloc(arena, (list->count + 1) * sizeof *items);
    for (int i = 0; i < pg_rows(rows); i++)
        items[i] = (struct trade){
            .number = pg_i64(rows, i, 0),
            .price = pg_i64(rows, i, 1),
            .quantity = pg_i64(rows, i, 2),
            .at_ms = pg_i64(rows, i, 3),
            .taker_side = text_of(rows, i, 4, arena),
        };
    list->items = items;
    return true;
}

/* ---- candles ---- */

#define SQL_FROM_MS(parameter) "to_timestamp(" parameter "::bigint / 1000.0)"
/* The first row is the last close before the span; then one row per step with trades. $4: the step in ms. */
static const struct pg_statement CANDLES = {
    "candles_of_company",
    "SELECT -1, 0, 0, 0, coalesce((SELECT close FROM candles WHERE company_id = $1 AND at < " SQL_FROM_MS(
        "$2") " ORDER BY at DESC LIMIT 1), 0), 0 UNION ALL (SELECT step, (array_agg(open ORDER BY at))[1], max(high),"
              " min(low), (array_agg(close ORDER BY at DESC))[1], sum(volume)::bigint FROM"
              " (SELECT " SQL_MS("at") " / $4::bigint * $4::bigint AS step, * FROM candles WHERE company_id = $1"
                                       " AND at >= " SQL_FROM_MS("$2") " AND at < " SQL_FROM_MS(
                                           "$3") ") s GROUP BY step) ORDER BY 1"};

bool store_candles(struct pg_pool *db, struct arena *arena, const char *company_id, int64_t from_ms, int64_t to_ms,
                   int64_t step_ms, struct candles *candles, struct err *err)
{
    AUTO(pg_result)
    rows = pg_query(db, &CANDLES, PARAMS(PG_TEXT(company_id), PG_I64(from_ms), PG_I64(to_ms), PG_I64(step_ms)), err);
    if (!rows)
        return false;
    struct candle *items = arena_alloc(arena, (size_t)pg_rows(rows) * sizeof *items);
    *candles = (struct candles){.items = items};
    for (int row = 0; row < pg_rows(rows); row++) {
        const struct candle candle = {pg_i64(rows, row, 0), pg_i64(rows, row, 1), pg_i64(rows, row, 2),
                                      pg_i64(rows, row, 3), pg_i64(rows, row, 4), pg_i64(rows, row, 5)};
        if (candle.at_ms < 0)
            candles->before = candle.close;
        else
            items[candles->count++] = candle;
    }
    return true;
}
