#include "store_reads.h"

#include "mem.h"

#include <stdlib.h>
#include <string.h>

/* Times as microseconds: exact, so keyset cursors meet their row again. */
#define SQL_US(column) "(extract(epoch from " column ") * 1000000)::bigint"
#define SQL_FROM_US(parameter) "('epoch'::timestamptz + " parameter "::bigint * interval '1 microsecond')"
#define AFTER_ALL_US (INT64_C(1) << 57)
#define BEFORE_ALL_ID "00000000-0000-0000-0000-000000000000"
#define AFTER_ALL_ID "ffffffff-ffff-ffff-ffff-ffffffffffff"

static const char *text_of(const struct pg_result *rows, int row, int column, struct arena *arena)
{
    const char *text = pg_text(rows, row, column);
    return text ? arena_text(arena, text) : NULL;
}

/* ---- markets ---- */

#define SQL_MARKET                                                                                                     \
    "SELECT m.id, m.partition, m.phase, m.seed_cash, m.tick, m.price_min, m.price_max, m.size_rule, " SQL_MS(          \
        "m.opened_at") ", " SQL_MS("m.started_at") ", " SQL_MS("m.closed_at") ", array_agg(c.id::text || ' ' || "      \
                                                                              "c.initial_price ORDER BY c.index)"      \
                                                                              " FROM markets m JOIN companies c ON "   \
                                                                              "c.market_id = m.id WHERE "
#define SQL_MARKET_END " GROUP BY m.id ORDER BY m.opened_at DESC"

static const struct pg_statement MARKET_OF_COMPANY = {
    "market_of_company", SQL_MARKET "m.id = (SELECT market_id FROM companies WHERE id = $1)" SQL_MARKET_END};
static const struct pg_statement MARKET_OF_ID = {"market_of_id", SQL_MARKET "m.id = $1" SQL_MARKET_END};
static const struct pg_statement MARKETS_NEWEST = {
    "markets_newest",
    SQL_MARKET "m.id IN (SELECT id FROM markets ORDER BY opened_at DESC LIMIT $1::bigint)" SQL_MARKET_END};

static const char *const PHASES[] = {[PHASE_SET_UP] = "set_up", [PHASE_OPEN] = "open", [PHASE_CLOSED] = "closed", NULL};

static void row_companies(const struct pg_result *rows, int row, int column, struct market_rules *rules)
{
    AUTO(arena) arena = arena_open(16 * 1024);
    const struct texts companies = pg_texts(rows, row, column, arena);
    for (size_t i = 0; i < companies.count && i < MARKET_COMPANIES_MAX; i++) {
        char id[UUID_TEXT_BYTES] = "";
        memcpy(id, companies.items[i], UUID_TEXT_BYTES - 1);
        (void)uuid_parse(id, &rules->companies[i].id);
        rules->companies[i].initial_price = strtoll(companies.items[i] + UUID_TEXT_BYTES, NULL, 10);
        rules->company_count++;
    }
}

static void row_market(const struct pg_result *rows, int row, struct catalog_market *market)
{
    *market = (struct catalog_market){
        .partition = (int32_t)pg_i64(rows, row, 1),
        .rules = {.seed_cash = pg_i64(rows, row, 3),
                  .tick = pg_i64(rows, row, 4),
                  .price_min = pg_i64(rows, row, 5),
                  .price_max = pg_i64(rows, row, 6),
                  .size_rule = pg_bool(rows, row, 7)},
        .opened_ms = pg_i64(rows, row, 8),
        .started_ms = pg_i64(rows, row, 9),
        .closed_ms = pg_i64(rows, row, 10),
    };
    const int phase = name_index(PHASES, pg_text(rows, row, 2));
    market->phase = phase < 0 ? PHASE_SET_UP : (enum market_phase)phase;
    (void)uuid_parse(pg_text(rows, row, 0), &market->id);
    uuid_format(&market->id, market->id_text);
    row_companies(rows, row, 11, &market->rules);
}

static bool find_market(struct pg_pool *db, const struct pg_statement *statement, const char *id,
                        struct catalog_market *market, bool *found, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, statement, PARAMS(PG_TEXT(id)), err);
    if (!rows)
        return false;
    *found = pg_rows(rows) > 0;
    if (*found)
        row_market(rows, 0, market);
    return true;
}

bool store_market_of_company(struct pg_pool *db, const char *company_id, struct catalog_market *market, bool *found,
                             struct err *err)
{
    return find_market(db, &MARKET_OF_COMPANY, company_id, market, found, err);
}

bool store_market_of_id(struct pg_pool *db, const char *market_id, struct catalog_market *market, bool *found,
                        struct err *err)
{
    return find_market(db, &MARKET_OF_ID, market_id, market, found, err);
}

bool store_markets_newest(struct pg_pool *db, struct catalog_market *markets, size_t room, size_t *count,
                          struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &MARKETS_NEWEST, PARAMS(PG_I64((int64_t)room)), err);
    if (!rows)
        return false;
    *count = 0;
    for (int row = 0; row < pg_rows(rows) && *count < room; row++)
        row_market(rows, row, &markets[(*count)++]);
    return true;
}

/* ---- orders ---- */

/* Of o: orders. An open order with fills is partial. */
#define SQL_STATUS "(CASE WHEN o.status = 'open' AND o.filled > 0 THEN 'partial' ELSE o.status END)"
#define SQL_ORDER                                                                                                      \
    "SELECT o.id, o.company_id, o.client_order_id, o.side, o.type, o.tif, o.post_only, coalesce(o.price, 0),"          \
    " o.quantity, o.remaining, o.filled, o.paid, " SQL_STATUS ", o.reason, " SQL_MS("o.updated_at") ", o.market_id "   \
                                                                                                    "FROM orders o "
/* $2 company, $3 a part of its name, $4 side; NULL: any. */
#define SQL_COMPANY(column)                                                                                            \
    "($2::uuid IS NULL OR " column                                                                                     \
    " = $2) AND ($3::text IS NULL OR EXISTS (SELECT FROM companies c WHERE c.id = " column                             \
    " AND position(lower($3) in lower(c.name)) > 0))"

static const struct pg_statement ORDER_ONE = {"order_one", SQL_ORDER "WHERE o.id = $1 AND o.user_id = $2"};
/* $5 statuses, $6 where it goes on, $7 how many */
#define SQL_ORDER_LIST                                                                                                 \
    SQL_ORDER "WHERE o.user_id = $1 AND NOT o.bot AND " SQL_COMPANY(                                                   \
        "o.company_id") " AND ($4::text IS NULL OR o.side = $4) AND " SQL_STATUS " = ANY ($5::text[])"
static const struct pg_statement ORDERS_NEWEST = {"orders_newest",
                                                  SQL_ORDER_LIST " AND o.id < $6 ORDER BY o.id DESC LIMIT $7::bigint"};
static const struct pg_statement ORDERS_OLDEST = {"orders_oldest",
                                                  SQL_ORDER_LIST " AND o.id > $6 ORDER BY o.id LIMIT $7::bigint"};

static int row_name(const struct pg_result *rows, int row, int column, const char *const *names)
{
    const int index = name_index(names, pg_text(rows, row, column));
    return index < 0 ? 0 : index;
}

static void row_order(const struct pg_result *rows, int row, struct arena *arena, struct order_row *out)
{
    out->order = (struct order){
        .id = text_of(rows, row, 0, arena),
        .company_id = text_of(rows, row, 1, arena),
        .client_order_id = text_of(rows, row, 2, arena),
        .side = row_name(rows, row, 3, SIDE_NAMES),
        .type = row_name(rows, row, 4, TYPE_NAMES),
        .tif = row_name(rows, row, 5, TIF_NAMES),
        .post_only = pg_bool(rows, row, 6),
        .price = pg_i64(rows, row, 7),
        .quantity = pg_i64(rows, row, 8),
        .remaining = pg_i64(rows, row, 9),
        .filled = pg_i64(rows, row, 10),
        .paid = pg_i64(rows, row, 11),
        .status = (enum order_status)row_name(rows, row, 12, ORDER_STATUS_NAMES),
        .reason = text_of(rows, row, 13, arena),
        .updated_ms = pg_i64(rows, row, 14),
    };
    out->order.created_ms = uuid_time_ms(out->order.id);
    out->market_id = text_of(rows, row, 15, arena);
}

bool store_order(struct pg_pool *db, struct arena *arena, const char *order_id, const char *user_id,
                 const struct order_row **row, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &ORDER_ONE, PARAMS(PG_TEXT(order_id), PG_TEXT(user_id)), err);
    if (!rows)
        return false;
    *row = NULL;
    if (pg_rows(rows) == 0)
        return true;
    struct order_row *found = ARENA_NEW(arena, order_row);
    row_order(rows, 0, arena, found);
    *row = found;
    return true;
}

static const struct pg_statement ORDER_IS_THERE = {"order_is_there", "SELECT FROM orders WHERE id = $1"};

bool store_order_is_there(struct pg_pool *db, const char *order_id, bool *there, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &ORDER_IS_THERE, PARAMS(PG_TEXT(order_id)), err);
    *there = rows && pg_rows(rows) > 0;
    return rows != NULL;
}

bool store_orders(struct pg_pool *db, struct arena *arena, const struct list_wish *wish, struct order_list *list,
                  struct err *err)
{
    const char *edge = wish->after ? wish->after->id : wish->oldest_first ? BEFORE_ALL_ID : AFTER_ALL_ID;
    AUTO(pg_result)
    rows = pg_query(db, wish->oldest_first ? &ORDERS_OLDEST : &ORDERS_NEWEST,
                    PARAMS(PG_TEXT(wish->user_id), PG_TEXT(wish->company_id), PG_TEXT(wish->company_name),
                           PG_TEXT(wish->side), PG_TEXTS(wish->statuses.items, wish->statuses.count), PG_TEXT(edge),
                           PG_I64(wish->limit + 1)),
                    err);
    if (!rows)
        return false;
    list->count = (size_t)pg_rows(rows);
    struct order_row *items = arena_alloc(arena, (list->count + 1) * sizeof *items);
    for (size_t i = 0; i < list->count; i++)
        row_order(rows, (int)i, arena, &items[i]);
    list->items = items;
    return true;
}

/* ---- fills: a trade is a fill of each side, seen from the taker and from the maker ---- */

#define SQL_MAKER_SIDE "(CASE t.taker_side WHEN 'buy' THEN 'sell' ELSE 'buy' END)"
#define SQL_FILLS_OF(who, order, side, rest)                                                                           \
    "(SELECT t.company_id, t." order ", " side                                                                         \
    ", t.number, t.price, t.quantity, t.at, t.seq FROM trades t WHERE t." who " = $1 AND NOT t." who                   \
    "_bot AND " SQL_COMPANY("t.company_id") " AND ($4::text IS NULL OR " side " = $4)" rest ")"
#define SQL_FILLS(rest)                                                                                                \
    "SELECT f.company_id, f.order_id, f.side, f.number, f.price, f.quantity, " SQL_US(                                 \
        "f.at") ", f.seq FROM (" SQL_FILLS_OF("taker", "taker_order", "t.taker_side",                                  \
                                              rest) " UNION ALL " SQL_FILLS_OF("maker", "maker_order", SQL_MAKER_SIDE, \
                                                                               rest) ") f (company_id, order_id, "     \
                                                                                     "side, number, price, quantity, " \
                                                                                     "at, seq) ORDER BY f.at"
/* $5, $6 where it goes on, $7 how many */
static const struct pg_statement FILLS_NEWEST = {
    "fills_newest", SQL_FILLS(" AND (t.at, t.seq) < (" SQL_FROM_US(
                        "$5") ", $6::bigint)"
                              " ORDER BY t.at DESC, t.seq DESC LIMIT $7::bigint") " DESC, f.seq DESC LIMIT $7::bigint"};
static const struct pg_statement FILLS_OLDEST = {
    "fills_oldest", SQL_FILLS(" AND (t.at, t.seq) > (" SQL_FROM_US(
                        "$5") ", $6::bigint)"
                              " ORDER BY t.at, t.seq LIMIT $7::bigint") ", f.seq LIMIT $7::bigint"};

bool store_fills(struct pg_pool *db, struct arena *arena, const struct list_wish *wish, struct fill_list *list,
                 struct err *err)
{
    const int64_t at_us = wish->after ? wish->after->number : wish->oldest_first ? 0 : AFTER_ALL_US;
    const int64_t seq = wish->after ? wish->after->seq : 0;
    AUTO(pg_result)
    rows = pg_query(db, wish->oldest_first ? &FILLS_OLDEST : &FILLS_NEWEST,
                    PARAMS(PG_TEXT(wish->user_id), PG_TEXT(wish->company_id), PG_TEXT(wish->company_name),
                           PG_TEXT(wish->side), PG_I64(at_us), PG_I64(seq), PG_I64(wish->limit + 1)),
                    err);
    if (!rows)
        return false;
    list->count = (size_t)pg_rows(rows);
    struct fill *items = arena_alloc(arena, (list->count + 1) * sizeof *items);
    for (int i = 0; i < pg_rows(rows); i++)
        items[i] = (struct fill){
            .company_id = text_of(rows, i, 0, arena),
            .order_id = text_of(rows, i, 1, arena),
            .side = row_name(rows, i, 2, SIDE_NAMES),
            .number = pg_i64(rows, i, 3),
            .price = pg_i64(rows, i, 4),
            .quantity = pg_i64(rows, i, 5),
            .at_us = pg_i64(rows, i, 6),
            .seq = pg_i64(rows, i, 7),
        };
    list->items = items;
    return true;
}
