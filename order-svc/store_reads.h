/* store_reads.h - what the API reads from the schema: one statement per function, each of them a snapshot of its own.
 * Texts are copied to the arena. Lists give up to `limit` + 1 rows: the last one says that there are more. */
#ifndef MADANG_ORDER_STORE_READS_H
#define MADANG_ORDER_STORE_READS_H

#include "catalog.h"
#include "codec.h"
#include "page.h"
#include "pg.h"

/* ---- markets ---- */

/* *found false: the schema has none (yet). */
bool store_market_of_company(struct pg_pool *db, const char *company_id, struct catalog_market *market, bool *found,
                             struct err *err);
bool store_market_of_id(struct pg_pool *db, const char *market_id, struct catalog_market *market, bool *found,
                        struct err *err);
/* The newest markets: at most `room`. */
bool store_markets_newest(struct pg_pool *db, struct catalog_market *markets, size_t room, size_t *count,
                          struct err *err);

/* ---- orders and fills of a person ---- */

struct order_row {
    struct order order;
    const char *market_id;
};
/* *row NULL: no such order, or somebody else's. */
bool store_order(struct pg_pool *db, struct arena *arena, const char *order_id, const char *user_id,
                 const struct order_row **row, struct err *err);
bool store_order_is_there(struct pg_pool *db, const char *order_id, bool *there, struct err *err); /* anybody's */

/* What both lists can be asked for; NULL members: anything. */
struct list_wish {
    const char *user_id, *company_id;
    const char *company_name; /* a part of it */
    const char *side;
    struct texts statuses; /* of orders only */
    bool oldest_first;
    const struct cursor *after; /* NULL: from the beginning */
    int64_t limit;
};
struct order_list {
    const struct order_row *items;
    size_t count;
};
bool store_orders(struct pg_pool *db, struct arena *arena, const struct list_wish *wish, struct order_list *list,
                  struct err *err);

struct fill {
    const char *company_id, *order_id;
    int side;
    int64_t number, price, quantity;
    int64_t at_us, seq; /* where a page goes on */
};
struct fill_list {
    const struct fill *items;
    size_t count;
};
bool store_fills(struct pg_pool *db, struct arena *arena, const struct list_wish *wish, struct fill_list *list,
                 struct err *err);

/* ---- a portfolio ---- */

struct holding {
    struct company company;
    int64_t index; /* of the company in its market */
    int64_t quantity, cost;
    int64_t reserved; /* in open sells */
};
struct portfolio {
    int64_t seed_cash, cash;
    int64_t reserved; /* in open buys */
    int64_t seq;      /* of the market: what is settled */
    int64_t rating;
    const char *tier;
    struct holding *holdings; /* quantity > 0 */
    size_t count;
};
bool store_portfolio(struct pg_pool *db, struct arena *arena, const char *market_id, const char *user_id,
                     struct portfolio *portfolio, struct err *err);

/* ---- for everybody ---- */

struct trade {
    int64_t number, price, quantity, at_ms;
    const char *taker_side;
};
struct trade_list {
    const struct trade *items;
    size_t count;
};
bool store_trades(struct pg_pool *db, struct arena *arena, const char *company_id, int64_t before_number, int64_t limit,
                  struct trade_list *list, struct err *err);

struct candle {
    int64_t at_ms, open, high, low, close, volume;
};
struct candles {
    int64_t before; /* the last price before them; 0: there was no trade before */
    const struct candle *items;
    size_t count;
};
/* Those with trades, from..to (to excluded), by steps of step_ms that begin at multiples of it. */
bool store_candles(struct pg_pool *db, struct arena *arena, const char *company_id, int64_t from_ms, int64_t to_ms,
                   int64_t step_ms, struct candles *candles, struct err *err);

#endif
