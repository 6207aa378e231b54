#include "store_settle.h"

#include "mem.h"
#include "pg_copy.h"
#include "sheet.h"

#include <string.h>

#define SQL_AT(ms) "to_timestamp(nullif(" ms ", 0)::float8 / 1000)" /* exact: a double holds ms of any year */

/* ---- reading ---- */

static const struct pg_statement BEGIN = {
    "settle_begin",
    "SELECT next_offset, set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off',"
    " true), set_config('enable_mergejoin', 'off', true), set_config('plan_cache_mode',"
    " 'force_generic_plan', true) FROM applied WHERE topic = $1 AND partition = $2"};
static const struct pg_statement MARKETS = {
    "settle_markets",
    "SELECT n.place, m.phase, m.seed_cash, m.seq, m.given_up, c.id, c.initial_price, c.last_price, c.volume, c.high,"
    " c.low, c.trades, c.halted FROM unnest($1::uuid[]) WITH ORDINALITY AS n (id, place)"
    " JOIN markets m ON m.id = n.id LEFT JOIN companies c ON c.market_id = m.id ORDER BY n.place, c.index"};
static const struct pg_statement SINCE = {
    "settle_since", "SELECT coalesce(min(" SQL_MS("opened_at") "), 0) FROM markets WHERE partition = $1"};
static const struct pg_statement ACCOUNTS = {
    "settle_accounts", "SELECT n.place, a.bot, a.cash FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY"
                       " AS n (market_id, user_id, place) JOIN accounts a USING (market_id, user_id)"};
static const struct pg_statement HOLDINGS = {
    "settle_holdings", "SELECT n.place, h.quantity, h.cost FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])"
                       " WITH ORDINALITY AS n (market_id, user_id, company_id, place)"
                       " JOIN holdings h USING (market_id, user_id, company_id)"};
static const struct pg_statement NEXT_OFFSET = {"settle_next_offset",
                                                "SELECT next_offset FROM applied WHERE topic = $1 AND partition = $2"};

bool store_settle_begin(struct pg_tx *tx, const char *topic, int32_t partition, int64_t *next_offset, struct err *err)
{
    AUTO(pg_result) row = pg_tx_query(tx, &BEGIN, PARAMS(PG_TEXT(topic), PG_I64(partition)), err);
    *next_offset = row && pg_rows(row) ? pg_i64(row, 0, 0) : 0;
    return row != NULL;
}

static enum fold_phase phase_of(const char *name)
{
    enum fold_phase phase = PHASE_SET_UP;
    while (phase < PHASE_CLOSED && strcmp(FOLD_PHASES[phase], name) != 0)
        phase++;
    return phase;
}

static void fill_market(struct fold_market *market, const struct pg_result *rows, int row)
{
    if (!market->known) {
        market->known = true;
        market->phase = phase_of(pg_text(rows, row, 1));
        market->rules.seed_cash = pg_i64(rows, row, 2);
        market->seq = pg_i64(rows, row, 3);
        market->given_up = pg_bool(rows, row, 4);
    }
    if (pg_is_null(rows, row, 5) || market->rules.company_count >= MARKET_COMPANIES_MAX)
        return;
    struct fold_company *company = &market->companies[market->rules.company_count++];
    (void)uuid_parse(pg_text(rows, row, 5), &company->id);
    company->initial_price = pg_i64(rows, row, 6);
    company->last_price = pg_i64(rows, row, 7);
    company->volume = pg_i64(rows, row, 8);
    company->high = pg_i64(rows, row, 9);
    company->low = pg_i64(rows, row, 10);
    company->trades = pg_i64(rows, row, 11);
    company->halted = pg_bool(rows, row, 12);
}

static bool load_since(struct pg_tx *tx, struct fold *fold, int32_t partition, struct err *err)
{
    AUTO(pg_result) row = pg_tx_query(tx, &SINCE, PARAMS(PG_I64(partition)), err);
    if (row)
        fold->knows_since_ms = pg_i64(row, 0, 0);
    return row != NULL;
}

bool store_settle_markets(struct pg_tx *tx, struct arena *arena, struct fold *fold, int32_t partition, struct err *err)
{
    struct sheet sheet = sheet_open(arena, fold->markets.count);
    bool all_known = true;
    for (size_t i = 0; i < fold->markets.count; i++) {
        sheet_uuid(&sheet, 0, fold->markets.items[i].id);
        sheet_end_row(&sheet);
    }
    AUTO(pg_result) rows = pg_tx_query(tx, &MARKETS, PARAMS(SHEET_UUIDS(sheet, 0)), err);
    for (int i = 0; rows && i < pg_rows(rows); i++)
        fill_market(&fold->markets.items[pg_i64(rows, i, 0) - 1], rows, i);
    for (size_t i = 0; i < fold->markets.count; i++)
        all_known = all_known && fold->markets.items[i].known;
    return rows && (all_known || load_since(tx, fold, partition, err));
}

static const struct uuid *company_id(const struct fold *fold, uint32_t market, uint8_t company)
{
    return &fold->markets.items[market].companies[company].id;
}

static bool load_accounts(struct pg_tx *tx, struct arena *arena, struct fold *fold, struct err *err)
{
    struct sheet sheet = sheet_open(arena, fold->accounts.count);
    for (size_t i = 0; i < fold->accounts.count; i++) {
        sheet_uuid(&sheet, 0, fold->markets.items[fold->accounts.items[i].market].id);
        sheet_uuid(&sheet, 1, fold->accounts.items[i].user);
        sheet_end_row(&sheet);
    }
    AUTO(pg_result) rows = pg_tx_query(tx, &ACCOUNTS, PARAMS(SHEET_UUIDS(sheet, 0), SHEET_UUIDS(sheet, 1)), err);
    for (int i = 0; rows && i < pg_rows(rows); i++) {
        struct fold_account *account = &fold->accounts.items[pg_i64(rows, i, 0) - 1];
        account->known = true;
        account->bot = pg_bool(rows, i, 1);
        account->cash = pg_i64(rows, i, 2);
    }
    return rows != NULL;
}

static bool load_holdings(struct pg_tx *tx, struct arena *arena, struct fold *fold, struct err *err)
{
    struct sheet sheet = sheet_open(arena, fold->holdings.count);
    for (size_t i = 0; i < fold->holdings.count; i++) {
        const struct fold_holding *holding = &fold->holdings.items[i];
        const struct fold_account *account = &fold->accounts.items[holding->account];
        sheet_uuid(&sheet, 0, fold->markets.items[account->market].id);
        sheet_uuid(&sheet, 1, account->user);
        sheet_uuid(&sheet, 2, *company_id(fold, account->market, holding->company));
        sheet_end_row(&sheet);
    }
    AUTO(pg_result)
    rows = pg_tx_query(tx, &HOLDINGS, PARAMS(SHEET_UUIDS(sheet, 0), SHEET_UUIDS(sheet, 1), SHEET_UUIDS(sheet, 2)), err);
    for (int i = 0; rows && i < pg_rows(rows); i++) {
        struct fold_holding *holding = &fold->holdings.items[pg_i64(rows, i, 0) - 1];
        holding->quantity = pg_i64(rows, i, 1);
        holding->cost = pg_i64(rows, i, 2);
    }
    return rows != NULL;
}

bool store_settle_load(struct pg_tx *tx, struct arena *arena, struct fold *fold, struct err *err)
{
    return (!fold->accounts.count || load_accounts(tx, arena, fold, err)) &&
           (!fold->holdings.count || load_holdings(tx, arena, fold, err));
}

bool store_settle_next_offset(struct pg_pool *db, const char *topic, int32_t partition, int64_t *next_offset,
                              struct err *err)
{
    AUTO(pg_result)
    row = pg_query(db, &NEXT_OFFSET, PARAMS(PG_TEXT(topic), PG_I64(partition)), err);
    *next_offset = row && pg_rows(row) ? pg_i64(row, 0, 0) : -1;
    return row != NULL;
}

/* ---- writing: markets and companies ---- */

/* The lock is shared with those who tell names: one of the two sees the other's row. */
static const struct pg_statement LOCK_NAMES = {
    "settle_lock_names", "SELECT pg_advisory_xact_lock(hashtext('orders company names'), hashtext($1))"};
static const struct pg_statement INSERT_MARKET = {
    "settle_insert_market",
    "INSERT INTO markets (id, partition, phase, seed_cash, tick, price_min, price_max, size_rule, seq, first_offset,"
    " opened_at) VALUES ($1, $2, 'set_up', $3, $4, $5, $6, $7, $8, $9, " SQL_AT("$10::bigint") ")"};
static const struct pg_statement INSERT_COMPANIES = {
    "settle_insert_companies",
    "INSERT INTO companies (id, market_id, index, name, initial_price, last_price)"
    " SELECT n.id, $1, n.place - 1, names.name, n.price, n.price FROM unnest($2::uuid[], $3::bigint[]) WITH ORDINALITY"
    " AS n (id, price, place) LEFT JOIN company_names names ON names.company_id = n.id"};
static const struct pg_statement UPDATE_MARKETS = {
    "settle_update_markets",
    "UPDATE markets m SET phase = n.phase, seq = n.seq, started_at = coalesce(" SQL_AT(
        "n.started") ", m.started_at)"
                     " FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) AS n (id, phase, seq, started)"
                     " WHERE m.id = n.id"};
static const struct pg_statement UPDATE_COMPANIES = {
    "settle_update_companies",
    "UPDATE companies c SET last_price = n.last_price, volume = n.volume, high = n.high, low = n.low,"
    " trades = n.trades, halted = n.halted <> 0"
    " FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])"
    " AS n (id, last_price, volume, high, low, trades, halted) WHERE c.id = n.id"};

static bool insert_market(struct pg_tx *tx, struct arena *arena, const struct fold_market *market, int32_t partition,
                          struct err *err)
{
    char id[UUID_TEXT_BYTES];
    uuid_format(&market->id, id);
    struct sheet sheet = sheet_open(arena, MARKET_COMPANIES_MAX);
    for (int i = 0; i < market->rules.company_count; i++) {
        sheet_uuid(&sheet, 0, market->companies[i].id);
        sheet_i64(&sheet, 1, market->companies[i].initial_price);
        sheet_end_row(&sheet);
    }
    return pg_tx_exec(tx, &LOCK_NAMES, PARAMS(PG_TEXT(id)), NULL, err) &&
           pg_tx_exec(tx, &INSERT_MARKET,
                      PARAMS(PG_TEXT(id), PG_I64(partition), PG_I64(market->rules.seed_cash),
                             PG_I64(market->rules.tick), PG_I64(market->rules.price_min),
                             PG_I64(market->rules.price_max), PG_BOOL(market->rules.size_rule), PG_I64(market->seq),
                             PG_I64(market->first_offset), PG_I64(market->opened_ms)),
                      NULL, err) &&
           pg_tx_exec(tx, &INSERT_COMPANIES, PARAMS(PG_TEXT(id), SHEET_UUIDS(sheet, 0), SHEET_I64S(sheet, 1)), NULL,
                      err);
}

static bool write_markets(struct pg_tx *tx, struct arena *arena, const struct fold *fold, int32_t partition,
                          struct err *err)
{
    struct sheet sheet = sheet_open(arena, fold->markets.count);
    for (size_t i = 0; i < fold->markets.count; i++) {
        const struct fold_market *market = &fold->markets.items[i];
        if (!market->known)
            continue;
        if (market->made && !insert_market(tx, arena, market, partition, err))
            return false;
        sheet_uuid(&sheet, 0, market->id);
        sheet_text(&sheet, 1, FOLD_PHASES[market->phase]);
        sheet_i64(&sheet, 2, market->seq);
        sheet_i64(&sheet, 3, market->started_ms);
        sheet_end_row(&sheet);
    }
    return !sheet.count ||
           pg_tx_exec(tx, &UPDATE_MARKETS,
                      PARAMS(SHEET_UUIDS(sheet, 0), SHEET_TEXTS(sheet, 1), SHEET_I64S(sheet, 2), SHEET_I64S(sheet, 3)),
                      NULL, err);
}

static bool write_companies(struct pg_tx *tx, struct arena *arena, const struct fold *fold, struct err *err)
{
    struct sheet sheet = sheet_open(arena, fold->markets.count * MARKET_COMPANIES_MAX);
    for (size_t i = 0; i < fold->markets.count; i++) {
        for (int c = 0; c < fold->markets.items[i].rules.company_count; c++) {
            const struct fold_company *company = &fold->markets.items[i].companies[c];
            if (!company->changed)
                continue;
            sheet_uuid(&sheet, 0, company->id);
            sheet_i64(&sheet, 1, company->last_price);
            sheet_i64(&sheet, 2, company->volume);
            sheet_i64(&sheet, 3, company->high);
            sheet_i64(&sheet, 4, company->low);
            sheet_i64(&sheet, 5, company->trades);
            sheet_i64(&sheet, 6, company->halted);
            sheet_end_row(&sheet);
        }
    }
    return !sheet.count ||
           pg_tx_exec(tx, &UPDATE_COMPANIES,
                      PARAMS(SHEET_UUIDS(sheet, 0), SHEET_I64S(sheet, 1), SHEET_I64S(sheet, 2), SHEET_I64S(sheet, 3),
                             SHEET_I64S(sheet, 4), SHEET_I64S(sheet, 5), SHEET_I64S(sheet, 6)),
                      NULL, err);
}

/* ---- accounts and holdings: what they are now ---- */

static const struct pg_statement PUT_ACCOUNTS = {
    "settle_put_accounts",
    "INSERT INTO accounts AS a (market_id, user_id, bot, cash) SELECT market_id, user_id, bot <> 0, cash"
    " FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS n (market_id, user_id, bot, cash)"
    " ON CONFLICT (market_id, user_id) DO UPDATE SET cash = excluded.cash"};
static const struct pg_statement PUT_HOLDINGS = {
    "settle_put_holdings",
    "INSERT INTO holdings AS h (market_id, user_id, company_id, quantity, cost)"
    " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[])"
    " ON CONFLICT (market_id, user_id, company_id) DO UPDATE SET quantity = excluded.quantity, cost = excluded.cost"};

static bool write_accounts(struct pg_tx *tx, struct arena *arena, const struct fold *fold, struct err *err)
{
    struct sheet sheet = sheet_open(arena, fold->accounts.count);
    for (size_t i = 0; i < fold->accounts.count; i++) {
        const struct fold_account *account = &fold->accounts.items[i];
        if (!account->changed)
            continue;
        sheet_uuid(&sheet, 0, fold->markets.items[account->market].id);
        sheet_uuid(&sheet, 1, account->user);
        sheet_i64(&sheet, 2, account->bot);
        sheet_i64(&sheet, 3, account->cash);
        sheet_end_row(&sheet);
    }
    return !sheet.count ||
           pg_tx_exec(tx, &PUT_ACCOUNTS,
                      PARAMS(SHEET_UUIDS(sheet, 0), SHEET_UUIDS(sheet, 1), SHEET_I64S(sheet, 2), SHEET_I64S(sheet, 3)),
                      NULL, err);
}

static bool write_holdings(struct pg_tx *tx, struct arena *arena, const struct fold *fold, struct err *err)
{
    struct sheet sheet = sheet_open(arena, fold->holdings.count);
    for (size_t i = 0; i < fold->holdings.count; i++) {
        const struct fold_holding *holding = &fold->holdings.items[i];
        const struct fold_account *account = &fold->accounts.items[holding->account];
        if (!holding->changed)
            continue;
        sheet_uuid(&sheet, 0, fold->markets.items[account->market].id);
        sheet_uuid(&sheet, 1, account->user);
        sheet_uuid(&sheet, 2, *company_id(fold, account->market, holding->company));
        sheet_i64(&sheet, 3, holding->quantity);
        sheet_i64(&sheet, 4, holding->cost);
        sheet_end_row(&sheet);
    }
    return !sheet.count || pg_tx_exec(tx, &PUT_HOLDINGS,
                                      PARAMS(SHEET_UUIDS(sheet, 0), SHEET_UUIDS(sheet, 1), SHEET_UUIDS(sheet, 2),
                                             SHEET_I64S(sheet, 3), SHEET_I64S(sheet, 4)),
                                      NULL, err);
}

/* ---- orders ---- */

/* A refused order's id may come again while it was refused for the market's sake: the newer telling stands. */
static const struct pg_statement FORGET_REFUSED = {
    "settle_forget_refused", "DELETE FROM orders o USING unnest($1::uuid[], $2::uuid[]) AS n (id, market_id)"
                             " WHERE o.id = n.id AND o.market_id = n.market_id AND o.status = 'rejected'"};
static const struct pg_statement COPY_ORDERS = {
    "settle_copy_orders",
    "COPY orders (id, market_id, company_id, user_id, side, type, tif, post_only, bot, client_order_id, price,"
    " quantity, filled, paid, status, reason, seq, created_at, updated_at) FROM STDIN (FORMAT binary)"};
/* price and quantity 0: as they are; status NULL: as it is. By the key alone: on an empty table the plan, which stays,
 * would as soon look through all open orders of the market, so the columns of that index are hidden from it. */
static const struct pg_statement CHANGE_ORDERS = {
    "settle_change_orders",
    "UPDATE orders o SET price = coalesce(nullif(n.price, 0), o.price),"
    " quantity = coalesce(nullif(n.quantity, 0), o.quantity), filled = o.filled + n.filled, paid = o.paid + n.paid,"
    " status = coalesce(n.status, o.status), reason = coalesce(n.reason, o.reason), seq = n.seq,"
    " updated_at = " SQL_AT(
        "n.updated") " FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[],"
                     " $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::bigint[], $10::bigint[])"
                     " AS n (id, market_id, price, quantity, filled, paid, status, reason, seq, updated)"
                     " WHERE o.id = n.id AND coalesce(o.market_id, n.market_id) = n.market_id"
                     " AND coalesce(o.status, '') = 'open'"};

static const char *const SIDES[] = {[SIDE_BUY] = "buy", [SIDE_SELL] = "sell"};
static const char *const TYPES[] = {[TYPE_LIMIT] = "limit", [TYPE_MARKET] = "market"};
static const char *const TIFS[] = {[TIF_GTC] = "gtc", [TIF_IOC] = "ioc", [TIF_FOK] = "fok"};

static const char *reason_of(const struct fold_order *order)
{
    return order->reason == REASON_NONE ? NULL : market_reason_name(order->reason);
}

enum {
    ORDER_COLUMNS = 19,
    TRADE_COLUMNS = 14,
    WORD_BYTES = 36
}; /* of a text that is a name of ours, with its length */

static void put_order(struct str *rows, const struct fold *fold, const struct fold_order *order)
{
    const struct market_order *wish = &order->wish;
    const struct view client = wish->client_order_id;
    char *at = pg_copy_row(rows, ORDER_COLUMNS,
                           ORDER_COLUMNS * PG_COPY_VALUE_BYTES + 5 * WORD_BYTES + wish->client_order_id.length);
    at = pg_copy_uuid(at, wish->order_id);
    at = pg_copy_uuid(at, fold->markets.items[order->market].id);
    at = order->company_known ? pg_copy_uuid(at, *company_id(fold, order->market, wish->company)) : pg_copy_null(at);
    at = pg_copy_uuid(at, wish->account);
    at = pg_copy_text(at, SIDES[wish->side]);
    at = pg_copy_text(at, TYPES[wish->type]);
    at = pg_copy_text(at, TIFS[wish->tif]);
    at = pg_copy_bool(at, wish->post_only);
    at = pg_copy_bool(at, wish->bot);
    at = client.length ? pg_copy_bytes(at, client.bytes, client.length) : pg_copy_null(at);
    at = wish->type == TYPE_MARKET && !wish->price ? pg_copy_null(at) : pg_copy_i64(at, wish->price);
    at = pg_copy_i64(at, wish->quantity);
    at = pg_copy_i64(at, order->filled);
    at = pg_copy_i64(at, order->paid);
    at = pg_copy_text(at, FOLD_STATUSES[order->status]);
    at = pg_copy_text(at, reason_of(order));
    at = pg_copy_i64(at, order->seq);
    at = pg_copy_time(at, order->created_ms);
    at = pg_copy_time(at, order->updated_ms);
    pg_copy_row_end(rows, at);
}

static void put_change(struct sheet *sheet, const struct fold *fold, const struct fold_order *order)
{
    sheet_uuid(sheet, 0, order->wish.order_id);
    sheet_uuid(sheet, 1, fold->markets.items[order->market].id);
    sheet_i64(sheet, 2, order->amended ? order->wish.price : 0);
    sheet_i64(sheet, 3, order->amended ? order->wish.quantity : 0);
    sheet_i64(sheet, 4, order->filled);
    sheet_i64(sheet, 5, order->paid);
    sheet_text(sheet, 6, order->status == STATUS_OPEN ? NULL : FOLD_STATUSES[order->status]);
    sheet_text(sheet, 7, reason_of(order));
    sheet_i64(sheet, 8, order->seq);
    sheet_i64(sheet, 9, order->updated_ms);
    sheet_end_row(sheet);
}

/* As many rows as were meant: another number means that the schema is not what the log made. */
static bool all_there(const char *what, size_t meant, int64_t changed, struct err *err)
{
    return (int64_t)meant == changed ||
           err_set_internal(err, &ERR_INTERNAL, "%s: %zu meant, %lld there", what, meant, (long long)changed);
}

static bool insert(struct pg_tx *tx, const struct pg_statement *copy, const char *what, struct str *rows, size_t count,
                   struct err *err)
{
    int64_t there;
    pg_copy_end(rows);
    return pg_tx_copy(tx, copy, (struct view){rows->bytes, rows->length}, &there, err) &&
           all_there(what, count, there, err);
}

static bool insert_orders(struct pg_tx *tx, const struct fold *fold, struct err *err)
{
    AUTO_STR rows = {0};
    size_t count = 0;
    pg_copy_begin(&rows);
    for (size_t i = 0; i < fold->orders.count; i++) {
        if (!fold->orders.items[i].made)
            continue;
        put_order(&rows, fold, &fold->orders.items[i]);
        count++;
    }
    return !count || insert(tx, &COPY_ORDERS, "new orders", &rows, count, err);
}

bool store_settle_forget_refused(struct pg_tx *tx, struct arena *arena, const struct fold *fold, struct err *err)
{
    struct sheet sheet = sheet_open(arena, fold->orders.count);
    for (size_t i = 0; i < fold->orders.count; i++) {
        const struct fold_order *order = &fold->orders.items[i];
        if (!order->made)
            continue;
        sheet_uuid(&sheet, 0, order->wish.order_id);
        sheet_uuid(&sheet, 1, fold->markets.items[order->market].id);
        sheet_end_row(&sheet);
    }
    return !sheet.count ||
           pg_tx_exec(tx, &FORGET_REFUSED, PARAMS(SHEET_UUIDS(sheet, 0), SHEET_UUIDS(sheet, 1)), NULL, err);
}

static bool change_orders(struct pg_tx *tx, const struct sheet *changes, struct err *err)
{
    int64_t changed;
    const struct sheet s = *changes;
    return pg_tx_exec(tx, &CHANGE_ORDERS,
                      PARAMS(SHEET_UUIDS(s, 0), SHEET_UUIDS(s, 1), SHEET_I64S(s, 2), SHEET_I64S(s, 3), SHEET_I64S(s, 4),
                             SHEET_I64S(s, 5), SHEET_TEXTS(s, 6), SHEET_TEXTS(s, 7), SHEET_I64S(s, 8),
                             SHEET_I64S(s, 9)),
                      &changed, err) &&
           all_there("open orders", s.count, changed, err);
}

static bool write_orders(struct pg_tx *tx, struct arena *arena, const struct fold *fold, struct err *err)
{
    struct sheet changes = sheet_open(arena, fold->orders.count);
    for (size_t i = 0; i < fold->orders.count; i++)
        if (!fold->orders.items[i].made && fold->orders.items[i].touched)
            put_change(&changes, fold, &fold->orders.items[i]);
    return insert_orders(tx, fold, err) && (!changes.count || change_orders(tx, &changes, err));
}

/* ---- trades, ledger, candles ---- */

static const struct pg_statement COPY_TRADES = {
    "settle_copy_trades",
    "COPY trades (company_id, number, market_id, seq, price, quantity, taker_side, maker_order, taker_order, maker,"
    " taker, maker_bot, taker_bot, at) FROM STDIN (FORMAT binary)"};
static const struct pg_statement INSERT_LINES = {
    "settle_insert_lines",
    "INSERT INTO entries (market_id, seq, line, user_id, company_id, amount)"
    " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::uuid[], $6::bigint[])"};
static const struct pg_statement PUT_CANDLES = {
    "settle_put_candles",
    "INSERT INTO candles AS c (company_id, at, open, high, low, close, volume)"
    " SELECT company_id, to_timestamp(at), open, high, low, close, volume FROM unnest($1::uuid[], $2::bigint[],"
    " $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])"
    " AS n (company_id, at, open, high, low, close, volume)"
    " ON CONFLICT (company_id, at) DO UPDATE SET high = greatest(c.high, excluded.high),"
    " low = least(c.low, excluded.low), close = excluded.close, volume = c.volume + excluded.volume"};

static void put_trade(struct str *rows, const struct fold *fold, const struct fold_trade *trade)
{
    char *at = pg_copy_row(rows, TRADE_COLUMNS, TRADE_COLUMNS * PG_COPY_VALUE_BYTES + WORD_BYTES);
    at = pg_copy_uuid(at, *company_id(fold, trade->market, trade->company));
    at = pg_copy_i64(at, trade->number);
    at = pg_copy_uuid(at, fold->markets.items[trade->market].id);
    at = pg_copy_i64(at, trade->seq);
    at = pg_copy_i64(at, trade->price);
    at = pg_copy_i64(at, trade->quantity);
    at = pg_copy_text(at, SIDES[trade->taker_side]);
    at = pg_copy_uuid(at, trade->maker_order);
    at = pg_copy_uuid(at, trade->taker_order);
    at = pg_copy_uuid(at, trade->maker);
    at = pg_copy_uuid(at, trade->taker);
    at = pg_copy_bool(at, trade->maker_bot);
    at = pg_copy_bool(at, trade->taker_bot);
    at = pg_copy_time(at, trade->at_ms);
    pg_copy_row_end(rows, at);
}

static bool write_trades(struct pg_tx *tx, const struct fold *fold, struct err *err)
{
    AUTO_STR rows = {0};
    pg_copy_begin(&rows);
    for (size_t i = 0; i < fold->trades.count; i++)
        put_trade(&rows, fold, &fold->trades.items[i]);
    return !fold->trades.count || insert(tx, &COPY_TRADES, "new trades", &rows, fold->trades.count, err);
}

static bool write_lines(struct pg_tx *tx, struct arena *arena, const struct fold *fold, struct err *err)
{
    struct sheet s = sheet_open(arena, fold->lines.count);
    for (size_t i = 0; i < fold->lines.count; i++) {
        const struct fold_line *line = &fold->lines.items[i];
        sheet_uuid(&s, 0, fold->markets.items[line->market].id);
        sheet_i64(&s, 1, line->seq);
        sheet_i64(&s, 2, line->line);
        sheet_uuid(&s, 3, line->user);
        sheet_uuid(&s, 4, line->company);
        sheet_i64(&s, 5, line->amount);
        sheet_end_row(&s);
    }
    return !s.count || pg_tx_exec(tx, &INSERT_LINES,
                                  PARAMS(SHEET_UUIDS(s, 0), SHEET_I64S(s, 1), SHEET_I64S(s, 2), SHEET_UUIDS(s, 3),
                                         SHEET_UUIDS(s, 4), SHEET_I64S(s, 5)),
                                  NULL, err);
}

static bool write_candles(struct pg_tx *tx, struct arena *arena, const struct fold *fold, struct err *err)
{
    struct sheet s = sheet_open(arena, fold->candles.count);
    for (size_t i = 0; i < fold->candles.count; i++) {
        const struct fold_candle *candle = &fold->candles.items[i];
        sheet_uuid(&s, 0, candle->company);
        sheet_i64(&s, 1, candle->second);
        sheet_i64(&s, 2, candle->open);
        sheet_i64(&s, 3, candle->high);
        sheet_i64(&s, 4, candle->low);
        sheet_i64(&s, 5, candle->close);
        sheet_i64(&s, 6, candle->volume);
        sheet_end_row(&s);
    }
    return !s.count || pg_tx_exec(tx, &PUT_CANDLES,
                                  PARAMS(SHEET_UUIDS(s, 0), SHEET_I64S(s, 1), SHEET_I64S(s, 2), SHEET_I64S(s, 3),
                                         SHEET_I64S(s, 4), SHEET_I64S(s, 5), SHEET_I64S(s, 6)),
                                  NULL, err);
}

bool store_settle_write(struct pg_tx *tx, struct arena *arena, const struct fold *fold, int32_t partition,
                        struct err *err)
{
    return write_markets(tx, arena, fold, partition, err) && write_companies(tx, arena, fold, err) &&
           write_accounts(tx, arena, fold, err) && write_holdings(tx, arena, fold, err) &&
           write_orders(tx, arena, fold, err) && write_trades(tx, fold, err) && write_lines(tx, arena, fold, err) &&
           write_candles(tx, arena, fold, err);
}
