#include "tools.h"

#include "audit.h"
#include "config.h"
#include "log.h"
#include "mem.h"
#include "topics.h"
#include "uuid.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct tool_config {
    const char *brokers, *db_url;
};

static const struct setting TOOL_SETTINGS[] = {
    SETTING_TEXT(struct tool_config, brokers, "KAFKA_BROKERS", "127.0.0.1:9092", "Kafka brokers, host:port,..."),
    SETTING_SECRET(struct tool_config, db_url, "ORDER_DB_URL", "PostgreSQL URL of role madang_order; never logged"),
    {0},
};

/* ---- audit ---- */

static void print_difference(void *payload, const char *words)
{
    (void)payload;
    printf("%s\n", words);
}

static bool run_audit(struct pg_pool *db, const struct tool_config *config, const char *market, int *status,
                      struct err *err)
{
    struct audit_report report = {0};
    const struct audit_source source = {.brokers = config->brokers};
    if (!audit_market(db, &source, market, print_difference, NULL, &report, err))
        return false;
    if (report.differences > AUDIT_WORDS_MAX)
        printf("... and %" PRId64 " more\n", report.differences - AUDIT_WORDS_MAX);
    printf("market %s, %s, to event %" PRId64 ": %" PRId64 " accounts, %" PRId64 " orders, %" PRId64
           " trades, ranking %s: %" PRId64 " differences\n",
           market, report.closed ? "closed" : "open", report.seq, report.accounts, report.orders, report.trades,
           report.ranked ? "compared" : "not told yet", report.differences);
    *status = report.differences ? 1 : 0;
    return true;
}

/* ---- settle again ---- */

/* The worker's lock: nothing is settled in the partition meanwhile. */
static const struct pg_statement LOCK = {
    "resettle_lock", "SELECT a.partition FROM applied a JOIN markets m ON m.partition = a.partition WHERE m.id = $1 AND"
                     " a.topic = $2 FOR UPDATE OF a"};
static const struct pg_statement TURN_BACK = {
    "resettle_applied", "UPDATE applied a SET next_offset = least(a.next_offset, m.first_offset) FROM markets m"
                        " WHERE m.id = $1 AND a.topic = $2 AND a.partition = m.partition"};
static const struct pg_statement FORGET[] = {
    {"resettle_entries", "DELETE FROM entries WHERE market_id = $1"},
    {"resettle_trades", "DELETE FROM trades t USING companies c WHERE c.market_id = $1 AND t.company_id = c.id"},
    {"resettle_candles", "DELETE FROM candles k USING companies c WHERE c.market_id = $1 AND k.company_id = c.id"},
    {"resettle_orders", "DELETE FROM orders WHERE market_id = $1"},
    {"resettle_holdings", "DELETE FROM holdings WHERE market_id = $1"},
    {"resettle_accounts", "DELETE FROM accounts WHERE market_id = $1"},
    {"resettle_companies", "DELETE FROM companies WHERE market_id = $1"},
    {"resettle_market", "DELETE FROM markets WHERE id = $1"},
};
struct resettle_work {
    const char *market;
    int64_t rows;
};

static bool resettle_in(struct pg_tx *tx, void *payload, struct err *err)
{
    struct resettle_work *work = payload;
    const struct pg_params market = PARAMS(PG_TEXT(work->market));
    const struct pg_params both = PARAMS(PG_TEXT(work->market), PG_TEXT(TOPIC_MARKET_EVENTS));
    work->rows = 0;
    AUTO(pg_result) row = pg_tx_query(tx, &LOCK, both, err);
    if (row && !pg_rows(row))
        return err_set(err, &ERR_NOT_FOUND, "no market %s was settled here", work->market);
    if (!row || !pg_tx_exec(tx, &TURN_BACK, both, NULL, err))
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(FORGET); i++) {
        int64_t rows;
        if (!pg_tx_exec(tx, &FORGET[i], market, &rows, err))
            return false;
        work->rows += rows;
    }
    return true;
}

bool tool_resettle(struct pg_pool *db, const char *market, int64_t *rows, struct err *err)
{
    struct resettle_work work = {.market = market};
    const bool ok = pg_transaction(db, resettle_in, &work, err);
    *rows = work.rows;
    return ok;
}

static bool run_resettle(struct pg_pool *db, const struct tool_config *config, const char *market, int *status,
                         struct err *err)
{
    int64_t rows;
    (void)config;
    if (!tool_resettle(db, market, &rows, err))
        return false;
    *status = 0;
    printf("market %s: %" PRId64
           " rows forgotten; the worker settles it again when it starts, or with the next record of the partition\n",
           market, rows);
    return true;
}

/* ---- give up ---- */

/* One that the schema does not know at all gets a row, so that its events are known to be passed over. */
static const struct pg_statement GIVE_UP = {
    "give_up",
    "INSERT INTO markets (id, partition, phase, seed_cash, tick, price_min, price_max, size_rule, seq,"
    " first_offset, opened_at, closed_at, given_up) VALUES ($1, -1, 'closed', 0, 1, 1, 1, false, 0, 0, now(),"
    " now(), true) ON CONFLICT (id) DO UPDATE SET given_up = true"};

bool tool_give_up(struct pg_pool *db, const char *market, struct err *err)
{
    return pg_exec(db, &GIVE_UP, PARAMS(PG_TEXT(market)), NULL, err);
}

static bool run_give_up(struct pg_pool *db, const struct tool_config *config, const char *market, int *status,
                        struct err *err)
{
    (void)config;
    if (!tool_give_up(db, market, err))
        return false;
    *status = 0;
    printf("market %s is given up: its events are passed over from now on\n", market);
    return true;
}

/* ---- which ---- */

static const struct tool {
    const char *name;
    bool (*run)(struct pg_pool *db, const struct tool_config *config, const char *market, int *status, struct err *err);
} TOOLS[] = {{"--audit", run_audit}, {"--resettle", run_resettle}, {"--give-up", run_give_up}};

static bool run(const struct tool *tool, const char *market, int *status, struct err *err)
{
    struct tool_config config;
    if (!uuid_parse(market, NULL))
        return err_set(err, &ERR_BAD_INPUT, "\"%.40s\" is no market's id", market);
    if (!config_load(TOOL_SETTINGS, &config, err))
        return false;
    AUTO(pg_pool) db = pg_pool_open(config.db_url, "orders", 2, err);
    return db && tool->run(db, &config, market, status, err);
}

bool tools_run(int argc, char **argv, int *status)
{
    struct err err = {0};
    const struct tool *tool = NULL;
    for (size_t i = 0; argc > 1 && i < ARRAY_LENGTH(TOOLS); i++)
        if (strcmp(argv[1], TOOLS[i].name) == 0)
            tool = &TOOLS[i];
    if (!tool)
        return false;
    log_open("order-svc", "tool", LOG_ERROR);
    *status = 2;
    if (argc != 3)
        (void)fprintf(stderr, "usage: order-svc --audit|--resettle|--give-up <market>\n");
    else if (!run(tool, argv[2], status, &err))
        (void)fprintf(stderr, "order-svc %s: %s %s %s\n", argv[1] + 2, err.problem->code, err.message, err.detail);
    return true;
}
