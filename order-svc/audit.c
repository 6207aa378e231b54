#include "audit.h"

#include "audit_internal.h"
#include "kafka.h"
#include "topics.h"

#include <string.h>

enum { READ_MS = 20000, RECORD_ARENA_BYTES = 64 << 20 };

/* ---- telling ---- */

static void on_difference(void *payload, const char *words)
{
    struct audit *audit = payload;
    if (audit->report->differences++ < AUDIT_WORDS_MAX && audit->tell)
        audit->tell(audit->payload, words);
}

/* ---- the log ---- */

static bool take_batch(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct audit *audit = payload;
    AUTO(arena) arena = arena_open(RECORD_ARENA_BYTES);
    for (size_t i = 0; i < batch->count; i++) {
        struct market_events events;
        arena_reset(arena);
        if (!market_events_decode(arena, batch->records[i].payload, &events, err) ||
            (events.count && !audit_log_take(&audit->log, &events, err)))
            return false;
    }
    return true;
}

static bool read_log(struct audit *audit, struct err *err)
{
    if (!kafka_read(audit->source.brokers, audit->source.events_topic, audit->partition, audit->first_offset,
                    audit->until_offset, READ_MS, take_batch, audit, err))
        return false;
    if (audit->log.opened && audit->log.seq >= audit->log.until_seq)
        return true;
    return err_set(err, &ERR_NOT_FOUND, "the log of this market is cut off: it ends at event %lld of %lld",
                   (long long)audit->log.seq, (long long)audit->log.until_seq);
}

/* ---- the market ---- */

/* Everything is read as it is at one moment; nobody waits for an audit, and it waits for the log. */
static const struct pg_statement ONE_MOMENT = {"audit_moment",
                                               "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"};
static const struct pg_statement PATIENCE = {"audit_patience",
                                             "SELECT set_config('idle_in_transaction_session_timeout', '600s', true)"};
static const struct pg_statement MARKET = {
    "audit_market", "SELECT m.partition, m.first_offset, m.seq, m.phase, m.differences, a.next_offset FROM markets m"
                    " LEFT JOIN applied a ON a.topic = $2 AND a.partition = m.partition WHERE m.id = $1"};

static bool find_market(struct audit *audit, struct err *err)
{
    if (!pg_tx_exec(audit->tx, &ONE_MOMENT, NO_PARAMS, NULL, err) ||
        !pg_tx_exec(audit->tx, &PATIENCE, NO_PARAMS, NULL, err))
        return false;
    AUTO(pg_result)
    row = pg_tx_query(audit->tx, &MARKET, PARAMS(PG_TEXT(audit->market), PG_TEXT(audit->source.events_topic)), err);
    if (!row)
        return false;
    if (!pg_rows(row))
        return err_set(err, &ERR_NOT_FOUND, "no market %s was settled here", audit->market);
    audit->partition = (int32_t)pg_i64(row, 0, 0);
    audit->first_offset = pg_i64(row, 0, 1);
    audit->log.until_seq = pg_i64(row, 0, 2);
    audit->report->closed = strcmp(pg_text(row, 0, 3), "closed") == 0;
    audit->until_offset = pg_i64(row, 0, 5);
    if (pg_i64(row, 0, 4))
        audit_differ(&audit->log, "when it was settled, %lld final accounts differed from the engine's",
                     (long long)pg_i64(row, 0, 4));
    return true;
}

static bool audit_in(struct pg_tx *tx, void *payload, struct err *err)
{
    struct audit *audit = payload;
    audit->tx = tx;
    audit_log_free(&audit->log); /* of a try before */
    *audit->report = (struct audit_report){0};
    audit->log = (struct audit_log){.differ = on_difference, .payload = audit};
    (void)uuid_parse(audit->market, &audit->log.market);
    return find_market(audit, err) && read_log(audit, err) && audit_compare(audit, err);
}

bool audit_market(struct pg_pool *db, const struct audit_source *source, const char *market,
                  void (*tell)(void *payload, const char *words), void *payload, struct audit_report *report,
                  struct err *err)
{
    if (!uuid_parse(market, NULL))
        return err_set(err, &ERR_BAD_INPUT, "\"%.40s\" is no market's id", market);
    struct audit audit = {
        .source = {source->brokers, source->events_topic ? source->events_topic : TOPIC_MARKET_EVENTS,
                   source->game_topic ? source->game_topic : TOPIC_GAME_EVENTS},
        .market = market,
        .tell = tell,
        .payload = payload,
        .report = report,
    };
    const bool ok = pg_transaction(db, audit_in, &audit, err) && audit_ranking(&audit, db, err);
    audit_log_free(&audit.log);
    return ok;
}
