/* store_close.c - the end of a round in the schema: see store_settle.h. */
#include "sheet.h"
#include "store_settle.h"

#define SQL_AT(ms) "to_timestamp(" ms " / 1000.0)"

/* ---- CLOSED ---- */

static const struct pg_statement END_ORDERS = {
    "close_orders", "UPDATE orders SET status = 'cancelled', reason = 'round_closed', seq = $2, updated_at = " SQL_AT(
                        "$3::bigint") " WHERE market_id = $1 AND status = 'open'"};
/* Shares go from their owners to the issuer, cash the other way; the issuer has one line per asset. */
static const struct pg_statement CASH_OUT_LINES = {
    "close_lines",
    "WITH owned AS (SELECT h.user_id, h.company_id, h.quantity, h.quantity * c.last_price AS worth FROM holdings h"
    " JOIN companies c ON c.id = h.company_id WHERE h.market_id = $1 AND h.quantity > 0),"
    " lines AS (SELECT user_id, company_id, -quantity AS amount FROM owned"
    " UNION ALL SELECT NULL, company_id, sum(quantity)::bigint FROM owned GROUP BY company_id"
    " UNION ALL SELECT user_id, NULL, sum(worth)::bigint FROM owned GROUP BY user_id"
    " UNION ALL SELECT NULL, NULL, -sum(worth)::bigint FROM owned HAVING count(*) > 0)"
    " INSERT INTO entries (market_id, seq, line, user_id, company_id, amount)"
    " SELECT $1, $2, row_number() OVER (ORDER BY user_id, company_id) - 1, user_id, company_id, amount FROM lines"
    " WHERE amount <> 0"};
static const struct pg_statement CASH_OUT = {
    "close_accounts",
    "UPDATE accounts a SET cash = a.cash + w.worth FROM (SELECT h.user_id, sum(h.quantity * c.last_price)::bigint AS"
    " worth FROM holdings h JOIN companies c ON c.id = h.company_id WHERE h.market_id = $1 GROUP BY h.user_id) w"
    " WHERE a.market_id = $1 AND a.user_id = w.user_id"};
static const struct pg_statement EMPTY_HOLDINGS = {
    "close_holdings", "UPDATE holdings SET quantity = 0, cost = 0 WHERE market_id = $1 AND quantity > 0"};
static const struct pg_statement CLOSE_MARKET = {
    "close_market",
    "UPDATE markets SET phase = 'closed', seq = $2, closed_at = " SQL_AT("$3::bigint") " WHERE id = $1"};

bool store_settle_close(struct pg_tx *tx, const struct uuid *market, int64_t seq, int64_t last_seq, int64_t at_ms,
                        struct err *err)
{
    char id[UUID_TEXT_BYTES];
    uuid_format(market, id);
    const struct pg_params who = PARAMS(PG_TEXT(id));
    return pg_tx_exec(tx, &END_ORDERS, PARAMS(PG_TEXT(id), PG_I64(seq), PG_I64(at_ms)), NULL, err) &&
           pg_tx_exec(tx, &CASH_OUT_LINES, PARAMS(PG_TEXT(id), PG_I64(seq)), NULL, err) &&
           pg_tx_exec(tx, &CASH_OUT, who, NULL, err) && pg_tx_exec(tx, &EMPTY_HOLDINGS, who, NULL, err) &&
           pg_tx_exec(tx, &CLOSE_MARKET, PARAMS(PG_TEXT(id), PG_I64(last_seq), PG_I64(at_ms)), NULL, err);
}

/* ---- ACCOUNTS ---- */

/* Who is in the engine's list and had no order taken: refused for the order's sake. Has what everybody begins with. */
static const struct pg_statement MAKE_MISSING = {
    "close_make_missing",
    "WITH made AS (INSERT INTO accounts (market_id, user_id, bot, cash)"
    " SELECT m.id, n.user_id, n.bot <> 0, n.cash FROM unnest($3::uuid[], $4::bigint[], $5::bigint[])"
    " AS n (user_id, bot, cash) JOIN markets m ON m.id = $1"
    " WHERE n.cash = CASE n.bot WHEN 0 THEN m.seed_cash ELSE 0 END"
    " ON CONFLICT (market_id, user_id) DO NOTHING RETURNING user_id, cash)"
    " INSERT INTO entries (market_id, seq, line, user_id, company_id, amount)"
    " SELECT $1, $2, row_number() OVER (ORDER BY made.user_id, side.sign) - 1,"
    " CASE WHEN side.sign > 0 THEN made.user_id END, NULL, made.cash * side.sign"
    " FROM made CROSS JOIN (VALUES (-1), (1)) AS side (sign) WHERE made.cash <> 0"};
static const struct pg_statement COMPARE = {
    "close_compare", "SELECT count(*) FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS n (user_id, bot, cash)"
                     " LEFT JOIN accounts a ON a.market_id = $1 AND a.user_id = n.user_id"
                     " WHERE a.cash IS DISTINCT FROM n.cash OR a.bot IS DISTINCT FROM (n.bot <> 0)"};
static const struct pg_statement COMPARED = {"close_compared",
                                             "UPDATE markets m SET differences = $2 WHERE m.id = $1"
                                             " RETURNING (SELECT count(*) FROM accounts a WHERE a.market_id = m.id)"};

bool store_settle_compare(struct pg_tx *tx, struct arena *arena, const struct uuid *market,
                          const struct market_event *accounts, int64_t seq, int64_t *differences, struct err *err)
{
    char id[UUID_TEXT_BYTES];
    uuid_format(market, id);
    struct sheet sheet = sheet_open(arena, accounts->accounts.count);
    for (uint32_t i = 0; i < accounts->accounts.count; i++) {
        const struct market_account *account = &accounts->accounts.accounts[i];
        sheet_uuid(&sheet, 0, account->account);
        sheet_i64(&sheet, 1, account->bot);
        sheet_i64(&sheet, 2, account->cash);
        sheet_end_row(&sheet);
    }
    if (!sheet.count)
        return true;
    if (!pg_tx_exec(tx, &MAKE_MISSING,
                    PARAMS(PG_TEXT(id), PG_I64(seq), SHEET_UUIDS(sheet, 0), SHEET_I64S(sheet, 1), SHEET_I64S(sheet, 2)),
                    NULL, err))
        return false;
    AUTO(pg_result)
    row = pg_tx_query(tx, &COMPARE,
                      PARAMS(PG_TEXT(id), SHEET_UUIDS(sheet, 0), SHEET_I64S(sheet, 1), SHEET_I64S(sheet, 2)), err);
    if (row)
        *differences += pg_i64(row, 0, 0);
    return row != NULL;
}

bool store_settle_compared(struct pg_tx *tx, const struct uuid *market, int64_t differences, int64_t *accounts,
                           struct err *err)
{
    char id[UUID_TEXT_BYTES];
    uuid_format(market, id);
    AUTO(pg_result) row = pg_tx_query(tx, &COMPARED, PARAMS(PG_TEXT(id), PG_I64(differences)), err);
    *accounts = row && pg_rows(row) ? pg_i64(row, 0, 0) : 0;
    return row != NULL;
}
