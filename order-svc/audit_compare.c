/* audit_compare.c - the replayed log against the schema, table by table, in portions by cursors. */
#include "audit_internal.h"
#include "mem.h"

#include <inttypes.h>
#include <string.h>

/* ---- tables by portions ---- */

struct table {
    struct pg_statement open, fetch, close;
    void (*compare)(struct audit *audit, const struct pg_result *rows, int row);
};

static bool each_row(struct audit *audit, const struct table *table, int64_t *count, struct err *err)
{
    *count = 0;
    if (!pg_tx_exec(audit->tx, &table->open, PARAMS(PG_TEXT(audit->market)), NULL, err))
        return false;
    for (;;) {
        AUTO(pg_result) rows = pg_tx_query(audit->tx, &table->fetch, NO_PARAMS, err);
        if (!rows)
            return false;
        for (int i = 0; i < pg_rows(rows); i++)
            table->compare(audit, rows, i);
        *count += pg_rows(rows);
        if (!pg_rows(rows))
            return pg_tx_exec(audit->tx, &table->close, NO_PARAMS, NULL, err);
    }
}

#define TABLE(name_, sql_, compare_)                                                                                   \
    {                                                                                                                  \
        {"audit_open_" name_, "DECLARE audit_" name_ " NO SCROLL CURSOR FOR " sql_},                                   \
            {"audit_fetch_" name_, "FETCH 5000 FROM audit_" name_}, {"audit_close_" name_, "CLOSE audit_" name_},      \
            compare_                                                                                                   \
    }

/* "is" in the schema, "log" by the log. */
static void differ_i64(struct audit *audit, const char *what, const char *id, const char *figure, int64_t is,
                       int64_t log)
{
    if (is != log)
        audit_differ(&audit->log, "%s %s: %s is %" PRId64 ", by the log %" PRId64, what, id, figure, is, log);
}

static void differ_text(struct audit *audit, const char *what, const char *id, const char *figure, const char *is,
                        const char *log)
{
    if (strcmp(is ? is : "", log ? log : "") != 0)
        audit_differ(&audit->log, "%s %s: %s is \"%s\", by the log \"%s\"", what, id, figure, is ? is : "",
                     log ? log : "");
}

static struct uuid id_of(const struct pg_result *rows, int row, int column)
{
    struct uuid id = {{0}};
    if (!pg_is_null(rows, row, column))
        (void)uuid_parse(pg_text(rows, row, column), &id);
    return id;
}

static bool same_id(const struct pg_result *rows, int row, int column, const struct uuid *other)
{
    const struct uuid id = id_of(rows, row, column);
    return memcmp(&id, other, sizeof id) == 0;
}

/* What the log has and the schema lacks. */
static void missing(struct audit *audit, const char *what, int64_t there, int64_t expected)
{
    if (there < expected)
        audit_differ(&audit->log, "%" PRId64 " %s of the log are missing", expected - there, what);
}

/* ---- companies ---- */

static int company_of(const struct audit *audit, const struct uuid *id)
{
    for (int i = 0; i < audit->log.rules.company_count; i++)
        if (memcmp(&audit->log.rules.companies[i].id, id, sizeof *id) == 0)
            return i;
    return -1;
}

static void compare_company(struct audit *audit, const struct pg_result *rows, int row)
{
    const struct audit_log *log = &audit->log;
    const char *name = pg_text(rows, row, 0);
    const struct uuid id = id_of(rows, row, 0);
    const int company = company_of(audit, &id);
    if (company < 0) {
        audit_differ(log, "company %s is not of this market", name);
        return;
    }
    differ_i64(audit, "company", name, "index", pg_i64(rows, row, 1), company);
    differ_i64(audit, "company", name, "initial_price", pg_i64(rows, row, 2),
               log->rules.companies[company].initial_price);
    differ_i64(audit, "company", name, "last_price", pg_i64(rows, row, 3), log->last_price[company]);
    differ_i64(audit, "company", name, "volume", pg_i64(rows, row, 4), log->volume[company]);
    differ_i64(audit, "company", name, "high", pg_i64(rows, row, 5), log->high[company]);
    differ_i64(audit, "company", name, "low", pg_i64(rows, row, 6), log->low[company]);
    differ_i64(audit, "company", name, "trades", pg_i64(rows, row, 7), (int64_t)log->trade_count[company]);
    differ_i64(audit, "company", name, "halted", pg_bool(rows, row, 8), log->halted[company]);
}

static const struct table COMPANIES =
    TABLE("companies",
          "SELECT id, index, initial_price, last_price, volume, high, low, trades, halted FROM companies"
          " WHERE market_id = $1",
          compare_company);

/* ---- accounts and holdings ---- */

static void compare_account(struct audit *audit, const struct pg_result *rows, int row)
{
    const char *name = pg_text(rows, row, 0);
    const struct uuid id = id_of(rows, row, 0);
    const struct audit_account *account = audit_log_account(&audit->log, &id);
    if (!account) {
        audit_differ(&audit->log, "account %s is not in the log", name);
        return;
    }
    differ_i64(audit, "account", name, "bot", pg_bool(rows, row, 1), account->bot);
    differ_i64(audit, "account", name, "cash", pg_i64(rows, row, 2), account->cash);
    if (account->has_final)
        differ_i64(audit, "account", name, "final cash", pg_i64(rows, row, 2), account->final);
}

static const struct table ACCOUNTS =
    TABLE("accounts", "SELECT user_id, bot, cash FROM accounts WHERE market_id = $1", compare_account);

static void compare_holding(struct audit *audit, const struct pg_result *rows, int row)
{
    const char *name = pg_text(rows, row, 0);
    const struct uuid id = id_of(rows, row, 0), company_id = id_of(rows, row, 1);
    const struct audit_account *account = audit_log_account(&audit->log, &id);
    const int company = company_of(audit, &company_id);
    if (!account || company < 0) {
        audit_differ(&audit->log, "a holding of %s is not in the log", name);
        return;
    }
    differ_i64(audit, "holding of", name, "quantity", pg_i64(rows, row, 2), account->shares[company]);
    differ_i64(audit, "holding of", name, "cost", pg_i64(rows, row, 3), account->cost[company]);
}

static const struct table HOLDINGS =
    TABLE("holdings", "SELECT user_id, company_id, quantity, cost FROM holdings WHERE market_id = $1 AND quantity <> 0",
          compare_holding);

static int64_t count_holdings(const struct audit_log *log)
{
    int64_t count = 0;
    for (size_t i = 0; i < log->account_count; i++)
        for (int c = 0; c < log->rules.company_count; c++)
            count += log->accounts[i].shares[c] != 0;
    return count;
}

/* ---- orders ---- */

static void compare_order(struct audit *audit, const struct pg_result *rows, int row)
{
    static const char *const SIDES[] = {"buy", "sell"};
    const char *name = pg_text(rows, row, 0);
    const struct uuid id = id_of(rows, row, 0);
    struct audit_order *order = audit_log_order(&audit->log, &id);
    if (!order) {
        audit_differ(&audit->log, "order %s is not in the log", name);
        return;
    }
    static const struct uuid NONE;
    const struct uuid *company = order->company < 0 ? &NONE : &audit->log.rules.companies[order->company].id;
    if (!same_id(rows, row, 1, &order->user) || !same_id(rows, row, 2, company))
        audit_differ(&audit->log, "order %s: of another account or company", name);
    differ_text(audit, "order", name, "side", pg_text(rows, row, 3), SIDES[order->side]);
    differ_i64(audit, "order", name, "price", pg_i64(rows, row, 4), order->price);
    differ_i64(audit, "order", name, "quantity", pg_i64(rows, row, 5), order->quantity);
    differ_i64(audit, "order", name, "filled", pg_i64(rows, row, 6), order->filled);
    differ_i64(audit, "order", name, "paid", pg_i64(rows, row, 7), order->paid);
    differ_text(audit, "order", name, "status", pg_text(rows, row, 8), order->status);
    differ_text(audit, "order", name, "reason", pg_text(rows, row, 9),
                order->reason == REASON_NONE ? NULL : market_reason_name(order->reason));
}

static const struct table ORDERS =
    TABLE("orders",
          "SELECT id, user_id, company_id, side, price, quantity, filled, paid, status, reason FROM orders"
          " WHERE market_id = $1",
          compare_order);

/* ---- trades ---- */

static void compare_trade(struct audit *audit, const struct pg_result *rows, int row)
{
    const struct uuid company_id = id_of(rows, row, 0);
    const int company = company_of(audit, &company_id);
    const int64_t number = pg_i64(rows, row, 1);
    if (company < 0 || number < 1 || number > (int64_t)audit->log.trade_count[company]) {
        audit_differ(&audit->log, "trade %" PRId64 " of %s is not in the log", number, pg_text(rows, row, 0));
        return;
    }
    const struct audit_trade *trade = &audit->log.trades[company][number - 1];
    const bool same = pg_i64(rows, row, 2) == trade->seq && pg_i64(rows, row, 3) == trade->price &&
                      pg_i64(rows, row, 4) == trade->quantity &&
                      strcmp(pg_text(rows, row, 5), trade->taker_side == SIDE_BUY ? "buy" : "sell") == 0 &&
                      same_id(rows, row, 6, &trade->maker_order) && same_id(rows, row, 7, &trade->taker_order) &&
                      same_id(rows, row, 8, &trade->maker) && same_id(rows, row, 9, &trade->taker) &&
                      pg_i64(rows, row, 10) == trade->at_ms;
    if (!same)
        audit_differ(&audit->log, "trade %" PRId64 " of %s is another in the log", number, pg_text(rows, row, 0));
}

static const struct table TRADES =
    TABLE("trades",
          "SELECT t.company_id, t.number, t.seq, t.price, t.quantity, t.taker_side, t.maker_order, t.taker_order,"
          " t.maker, t.taker, " SQL_MS("t.at") " FROM companies c JOIN trades t ON t.company_id = c.id"
                                               " WHERE c.market_id = $1",
          compare_trade);

/* ---- candles ---- */

static void compare_candle(struct audit *audit, const struct pg_result *rows, int row)
{
    const struct uuid company_id = id_of(rows, row, 0);
    const int64_t second = pg_i64(rows, row, 1) / 1000;
    const struct audit_candle *candle = audit_log_candle(&audit->log, company_of(audit, &company_id), second);
    const bool same = candle && pg_i64(rows, row, 2) == candle->open && pg_i64(rows, row, 3) == candle->high &&
                      pg_i64(rows, row, 4) == candle->low && pg_i64(rows, row, 5) == candle->close &&
                      pg_i64(rows, row, 6) == candle->volume;
    if (!same)
        audit_differ(&audit->log, "the candle of %s at second %" PRId64 " is another by the log", pg_text(rows, row, 0),
                     second);
}

static const struct table CANDLES =
    TABLE("candles",
          "SELECT k.company_id, " SQL_MS("k.at") ", k.open, k.high, k.low, k.close, k.volume FROM companies c"
                                                 " JOIN candles k ON k.company_id = c.id WHERE c.market_id = $1",
          compare_candle);

/* ---- the ledger, and what must hold whatever the log says ---- */

static const struct check {
    struct pg_statement sql; /* one number, 0 when all is well */
    const char *words;
} CHECKS[] = {
    {{"audit_events_sum", "SELECT count(*) FROM (SELECT 1 FROM ledger WHERE market_id = $1 GROUP BY seq, company_id"
                          " HAVING sum(amount) <> 0) AS wrong"},
     "events whose ledger lines do not sum to zero"},
    {{"audit_cash_sum",
      "SELECT count(*) FROM (SELECT user_id, sum(amount) AS amount FROM ledger WHERE market_id = $1 AND company_id IS"
      " NULL AND user_id IS NOT NULL GROUP BY user_id) l FULL JOIN (SELECT user_id, cash FROM accounts WHERE market_id"
      " = $1) a USING (user_id) WHERE coalesce(l.amount, 0) IS DISTINCT FROM a.cash"},
     "accounts whose cash is not the sum of their ledger lines"},
    {{"audit_shares_sum",
      "SELECT count(*) FROM (SELECT user_id, company_id, sum(amount) AS amount FROM ledger WHERE market_id = $1 AND"
      " company_id IS NOT NULL AND user_id IS NOT NULL GROUP BY user_id, company_id) l FULL JOIN (SELECT user_id,"
      " company_id, quantity FROM holdings WHERE market_id = $1) h USING (user_id, company_id)"
      " WHERE coalesce(l.amount, 0) IS DISTINCT FROM coalesce(h.quantity, 0)"},
     "holdings that are not the sum of their ledger lines"},
    {{"audit_negative", "SELECT (SELECT count(*) FROM accounts WHERE market_id = $1 AND cash < 0) +"
                        " (SELECT count(*) FROM holdings WHERE market_id = $1 AND (quantity < 0 OR cost < 0))"},
     "accounts or holdings below zero"},
    {{"audit_cash_reserved",
      "SELECT count(*) FROM (SELECT user_id, sum(price * remaining) AS reserved FROM orders WHERE market_id = $1 AND"
      " status = 'open' AND side = 'buy' GROUP BY user_id) r LEFT JOIN accounts a ON a.market_id = $1 AND a.user_id ="
      " r.user_id WHERE coalesce(a.cash, 0) < r.reserved"},
     "accounts whose open buys reserve more than they have"},
    {{"audit_shares_reserved",
      "SELECT count(*) FROM (SELECT user_id, company_id, sum(remaining) AS reserved FROM orders WHERE market_id = $1 "
      "AND"
      " status = 'open' AND side = 'sell' GROUP BY user_id, company_id) r LEFT JOIN holdings h ON h.market_id = $1 AND"
      " h.user_id = r.user_id AND h.company_id = r.company_id WHERE coalesce(h.quantity, 0) < r.reserved"},
     "holdings of which open sells reserve more than there is"},
};

static bool check_sums(struct audit *audit, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LENGTH(CHECKS); i++) {
        AUTO(pg_result) row = pg_tx_query(audit->tx, &CHECKS[i].sql, PARAMS(PG_TEXT(audit->market)), err);
        if (!row)
            return false;
        if (pg_i64(row, 0, 0))
            audit_differ(&audit->log, "%" PRId64 " %s", pg_i64(row, 0, 0), CHECKS[i].words);
    }
    return true;
}

bool audit_compare(struct audit *audit, struct err *err)
{
    const struct audit_log *log = &audit->log;
    struct audit_report *report = audit->report;
    int64_t companies, holdings, candles, trades = 0;
    if (!each_row(audit, &COMPANIES, &companies, err) || !each_row(audit, &ACCOUNTS, &report->accounts, err) ||
        !each_row(audit, &HOLDINGS, &holdings, err) || !each_row(audit, &ORDERS, &report->orders, err) ||
        !each_row(audit, &TRADES, &report->trades, err) || !each_row(audit, &CANDLES, &candles, err) ||
        !check_sums(audit, err))
        return false;
    for (int i = 0; i < log->rules.company_count; i++)
        trades += (int64_t)log->trade_count[i];
    report->seq = log->seq;
    missing(audit, "companies", companies, log->rules.company_count);
    missing(audit, "accounts", report->accounts, (int64_t)log->account_count);
    missing(audit, "holdings", holdings, count_holdings(log));
    missing(audit, "orders", report->orders, (int64_t)log->order_count);
    missing(audit, "trades", report->trades, trades);
    missing(audit, "candles", candles, (int64_t)log->candle_count);
    if (report->closed != log->closed)
        audit_differ(log, "the market is %s here and %s by the log", report->closed ? "closed" : "open",
                     log->closed ? "closed" : "open");
    return true;
}
