/* audit_tool.c - order-svc --audit <market>. */
#include "audit.h"
#include "config.h"
#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SAME, DIFFERENCES, NOT_MADE };

struct tool_config {
    const char *brokers, *db_url;
};

static const struct setting TOOL_SETTINGS[] = {
    SETTING_TEXT(struct tool_config, brokers, "KAFKA_BROKERS", "127.0.0.1:9092", "Kafka brokers, host:port,..."),
    SETTING_SECRET(struct tool_config, db_url, "ORDER_DB_URL", "PostgreSQL URL of role madang_order; never logged"),
    {0},
};

static void print_difference(void *payload, const char *words)
{
    (void)payload;
    printf("%s\n", words);
}

static bool run(const char *market, struct audit_report *report, struct err *err)
{
    struct tool_config config;
    if (!config_load(TOOL_SETTINGS, &config, err))
        return false;
    AUTO(pg_pool) db = pg_pool_open(config.db_url, "orders", 2, err);
    const struct audit_source source = {.brokers = config.brokers};
    return db && audit_market(db, &source, market, print_difference, NULL, report, err);
}

bool audit_tool(int argc, char **argv, int *status)
{
    struct err err = {0};
    struct audit_report report = {0};
    if (argc < 2 || strcmp(argv[1], "--audit") != 0)
        return false;
    *status = NOT_MADE;
    log_open("order-svc", "audit", LOG_ERROR);
    if (argc != 3) {
        (void)fprintf(stderr, "usage: order-svc --audit <market>\n");
        return true;
    }
    if (!run(argv[2], &report, &err)) {
        (void)fprintf(stderr, "order-svc: no audit: %s %s %s\n", err.problem->code, err.message, err.detail);
        return true;
    }
    if (report.differences > AUDIT_WORDS_MAX)
        printf("... and %" PRId64 " more\n", report.differences - AUDIT_WORDS_MAX);
    printf("market %s, %s, to event %" PRId64 ": %" PRId64 " accounts, %" PRId64 " orders, %" PRId64
           " trades, ranking %s: %" PRId64 " differences\n",
           argv[2], report.closed ? "closed" : "open", report.seq, report.accounts, report.orders, report.trades,
           report.ranked ? "compared" : "not told yet", report.differences);
    *status = report.differences ? DIFFERENCES : SAME;
    return true;
}
