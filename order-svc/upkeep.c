#include "upkeep.h"

#include "app.h"
#include "audit.h"
#include "copies.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "uuid.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SWEEP_EVERY_ROUNDS = 6,
    SWEEP_PORTIONS = 20,
    AUDIT_AFTER_SECONDS = 20, /* the game ranks a round some seconds after its close */
};

/* ---- old rounds ---- */

/* A market that was never closed is forgotten, when nothing moves in it any more. */
static const struct pg_statement OLDEST = {
    "sweep_oldest", "SELECT id FROM markets WHERE opened_at < now() - make_interval(days => $1::int) AND (closed_at <"
                    " now() - make_interval(days => $1::int) OR (closed_at IS NULL AND NOT EXISTS (SELECT FROM"
                    " companies c JOIN candles k ON k.company_id = c.id WHERE c.market_id = markets.id AND k.at >"
                    " now() - make_interval(days => $1::int)))) ORDER BY opened_at LIMIT 1 FOR UPDATE SKIP LOCKED"};

/* One after the other; a table is left when a portion of it finds nothing. The market's own rows go at last. */
static const struct pg_statement PORTIONS[] = {
    {"sweep_entries",
     "DELETE FROM entries WHERE ctid = ANY (ARRAY(SELECT ctid FROM entries WHERE market_id = $1 LIMIT 5000))"},
    {"sweep_orders",
     "DELETE FROM orders WHERE ctid = ANY (ARRAY(SELECT ctid FROM orders WHERE market_id = $1 LIMIT 5000))"},
    {"sweep_trades", "DELETE FROM trades WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM companies c JOIN trades t ON"
                     " t.company_id = c.id WHERE c.market_id = $1 LIMIT 5000))"},
    {"sweep_candles", "DELETE FROM candles WHERE ctid = ANY (ARRAY(SELECT k.ctid FROM companies c JOIN candles k ON"
                      " k.company_id = c.id WHERE c.market_id = $1 LIMIT 5000))"},
    {"sweep_holdings",
     "DELETE FROM holdings WHERE ctid = ANY (ARRAY(SELECT ctid FROM holdings WHERE market_id = $1 LIMIT 5000))"},
    {"sweep_accounts",
     "DELETE FROM accounts WHERE ctid = ANY (ARRAY(SELECT ctid FROM accounts WHERE market_id = $1 LIMIT 5000))"},
    {"sweep_companies", "DELETE FROM companies WHERE market_id = $1"},
    {"sweep_names", "DELETE FROM company_names WHERE market_id = $1"},
    {"sweep_market", "DELETE FROM markets WHERE id = $1"},
};

struct sweep_work {
    int64_t kept_days, deleted;
    bool found;
};

/* One portion of the oldest round. */
static bool sweep_in(struct pg_tx *tx, void *payload, struct err *err)
{
    struct sweep_work *work = payload;
    work->deleted = 0;
    AUTO(pg_result) row = pg_tx_query(tx, &OLDEST, PARAMS(PG_I64(work->kept_days)), err);
    work->found = row && pg_rows(row);
    for (size_t i = 0; work->found && i < ARRAY_LENGTH(PORTIONS) && !work->deleted; i++)
        if (!pg_tx_exec(tx, &PORTIONS[i], PARAMS(PG_TEXT(pg_text(row, 0, 0))), &work->deleted, err))
            return false;
    return row != NULL;
}

bool upkeep_sweep(struct pg_pool *db, int64_t kept_days, int portions, int64_t *deleted, struct err *err)
{
    *deleted = 0;
    for (int i = 0; i < portions; i++) {
        struct sweep_work work = {.kept_days = kept_days};
        if (!pg_transaction(db, sweep_in, &work, err))
            return false;
        *deleted += work.deleted;
        if (!work.found)
            break;
    }
    return true;
}

/* ---- the audit after each round ---- */

/* Rounds of more events are for --audit, on a machine that has the memory. Whoever takes it has it: an instance that
 * dies meanwhile leaves audited_at set and audit_differences NULL, and after ten minutes another one takes it. */
static const struct pg_statement TAKE_AUDIT = {
    "upkeep_take_audit",
    "UPDATE markets SET audited_at = now() WHERE id = (SELECT id FROM markets WHERE closed_at IS NOT NULL AND NOT"
    " given_up AND audit_differences IS NULL AND closed_at < now() - make_interval(secs => $1) AND (audited_at IS NULL"
    " OR audited_at < now() - interval '10 minutes') AND seq <= 3000000 AND closed_at > now() - interval '1 day' ORDER "
    "BY closed_at DESC LIMIT 1 FOR UPDATE "
    "SKIP LOCKED)"
    " RETURNING id"};
static const struct pg_statement NOTE_AUDIT = {
    "upkeep_note_audit", "UPDATE markets SET audited_at = now(), audit_differences = $2 WHERE id = $1"};

static void log_difference(void *payload, const char *words)
{
    log_event(LOG_ERROR, "audit_difference", LOG_TEXT("market", (const char *)payload), LOG_TEXT("words", words));
}

bool upkeep_audit(struct pg_pool *db, const char *brokers, int64_t after_seconds, bool *audited, int64_t *differences,
                  struct err *err)
{
    struct audit_report report = {0};
    const struct audit_source source = {.brokers = brokers};
    char market[UUID_TEXT_BYTES];
    AUTO(pg_result) row = pg_query(db, &TAKE_AUDIT, PARAMS(PG_I64(after_seconds)), err);
    *audited = row && pg_rows(row);
    if (!*audited)
        return row != NULL;
    (void)snprintf(market, sizeof market, "%s", pg_text(row, 0, 0));
    if (!audit_market(db, &source, market, log_difference, market, &report, err))
        return false;
    *differences = report.differences;
    log_event(report.differences ? LOG_ERROR : LOG_INFO, "round_audited", LOG_TEXT("market", market),
              LOG_I64("orders", report.orders), LOG_I64("trades", report.trades), LOG_BOOL("ranking", report.ranked),
              LOG_I64("differences", report.differences));
    return pg_exec(db, &NOTE_AUDIT, PARAMS(PG_TEXT(market), PG_I64(report.differences)), NULL, err);
}

/* ---- the round ---- */

static void audit_one(const struct order_app *app)
{
    static struct metric *audits, *found;
    audits = metric_counter("madang_order_audits_total", "Rounds audited after their close, by result", "result");
    found = metric_counter("madang_order_audit_differences_total", "What audits found", NULL);
    struct err err = {0};
    bool audited;
    int64_t differences = 0;
    const bool ok =
        upkeep_audit(app->db, app->config->service.kafka_brokers, AUDIT_AFTER_SECONDS, &audited, &differences, &err);
    if (!ok)
        log_err("audit_not_made", &err);
    if (audited)
        metric_add(METRIC_CHILD(audits, !ok ? "not_made" : differences ? "differs" : "same"), 1);
    metric_add(METRIC_CHILD(found), differences);
}

void upkeep_round(void *payload, unsigned round)
{
    const struct order_app *app = payload;
    struct err err = {0};
    int64_t count;
    if (!copies_cancel_stragglers(app->db, &count, &err))
        log_err("stragglers_failed", &err);
    err_clear(&err);
    if (round % SWEEP_EVERY_ROUNDS == 0 &&
        !upkeep_sweep(app->db, app->config->rounds_kept_days, SWEEP_PORTIONS, &count, &err))
        log_err("round_sweep_failed", &err);
    audit_one(app);
}
