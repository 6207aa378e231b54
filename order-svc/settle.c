#include "settle.h"

#include "applied.h"
#include "clock.h"
#include "fold.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "store_settle.h"

#include <stdlib.h>

enum {
    PORTION_EVENTS = 20000,                         /* at most so many and one record's more are held at once */
    RECORD_EVENTS_MAX = 3 * MARKET_OPEN_ORDERS_MAX, /* by market.h far less */
    ARENA_BYTES = 256 << 20,
    READ_MS = 10000,
};

struct settle {
    struct pg_pool *db;
    const char *brokers;             /* lent */
    struct kafka_producer *producer; /* to ask for ends; lent */
    struct arena *arena;             /* of one portion */
    struct fold fold;
    struct metric_child *trades, *events, *doubles, *unknown, *gaps, *wrongs, *differences, *seconds;
};

struct settle *settle_open(struct pg_pool *db, const char *brokers, struct kafka_producer *producer)
{
    struct settle *settle = MEM_NEW(settle);
    struct metric *failures =
        metric_counter("madang_order_settle_failures_total", "Tries to settle that failed and came again", "reason");
    settle->db = db;
    settle->brokers = brokers;
    settle->producer = producer;
    settle->arena = arena_open(ARENA_BYTES);
    settle->trades = METRIC_CHILD(metric_counter("madang_order_trades_settled_total", "Trades settled", NULL));
    settle->events =
        METRIC_CHILD(metric_counter("madang_order_events_settled_total", "Events of markets settled", NULL));
    settle->doubles = METRIC_CHILD(
        metric_counter("madang_order_settle_doubles_total", "Records that were settled before, passed over", NULL));
    settle->unknown = METRIC_CHILD(metric_counter("madang_order_settle_unknown_total",
                                                  "Records of markets that were opened before the schema began", NULL));
    settle->gaps = METRIC_CHILD(failures, "gap");
    settle->wrongs = METRIC_CHILD(failures, "contradiction");
    settle->differences = METRIC_CHILD(metric_counter("madang_order_settle_differences_total",
                                                      "Final accounts of an engine that were not ours", NULL));
    settle->seconds = METRIC_CHILD(metric_histogram("madang_order_settle_seconds", "Time to settle one batch", NULL));
    return settle;
}

void settle_release(struct settle **held)
{
    if (!*held)
        return;
    fold_free(&(*held)->fold);
    arena_release(&(*held)->arena);
    free(*held);
    *held = NULL;
}

int64_t settle_differences(const struct settle *settle)
{
    return metric_value(settle->differences);
}

/* ---- a portion ---- */

/* One try to settle a batch: begun again from nothing when the transaction runs again. */
struct batch_work {
    struct settle *settle;
    const struct kafka_batch *batch;
    struct pg_tx *tx;
    int64_t trades, events, doubles, unknown, differences;
    bool gap, contradiction;
    bool refused_again; /* the id of a refused order came again: looked for from now on */
    bool behind;        /* the schema stands before the batch */
    bool caught_up;     /* and the log has nothing in between any more */
};

struct portion {
    struct market_events *records[PORTION_EVENTS];
    int64_t offsets[PORTION_EVENTS];
    size_t count, events;
};

static bool fold_one(struct batch_work *work, const struct market_events *events, int64_t offset, struct err *err)
{
    switch (fold_apply(&work->settle->fold, events, offset, err)) {
    case FOLD_DONE:
        work->events += events->count;
        return true;
    case FOLD_DOUBLE:
        work->doubles++;
        return true;
    case FOLD_UNKNOWN:
        work->unknown++;
        return true;
    case FOLD_GAP:
        work->gap = true;
        return false;
    default:
        work->contradiction = true;
        return false;
    }
}

static bool settle_portion(struct batch_work *work, struct portion *portion, struct err *err)
{
    struct fold *fold = &work->settle->fold;
    struct arena *arena = work->settle->arena;
    bool ok = true;
    if (!portion->count)
        return true;
    fold_clear(fold);
    for (size_t i = 0; i < portion->count; i++)
        fold_note(fold, portion->records[i]);
    ok = store_settle_markets(work->tx, arena, fold, work->batch->partition, err);
    /* A market that opens here is known to the loading of its holdings only by its companies, which have none yet. */
    ok = ok && store_settle_load(work->tx, arena, fold, err);
    for (size_t i = 0; ok && i < portion->count; i++)
        ok = fold_one(work, portion->records[i], portion->offsets[i], err);
    ok = ok && (!work->refused_again || store_settle_forget_refused(work->tx, arena, fold, err)) &&
         store_settle_write(work->tx, arena, fold, work->batch->partition, err);
    work->trades += (int64_t)fold->trades.count;
    portion->count = portion->events = 0;
    arena_reset(arena);
    return ok;
}

/* ---- the end of a round ---- */

static bool compare_accounts(struct batch_work *work, const struct market_events *events, struct err *err)
{
    int64_t theirs = 0, ours, differences = 0;
    for (uint32_t i = 0; i < events->count; i++) {
        const struct market_event *event = &events->events[i];
        if (event->kind != MARKET_ACCOUNTS)
            continue;
        theirs += event->accounts.count;
        if (!store_settle_compare(work->tx, work->settle->arena, &events->market, event, events->first_seq + i,
                                  &differences, err))
            return false;
    }
    if (!store_settle_compared(work->tx, &events->market, differences, &ours, err))
        return false;
    if (ours != theirs)
        differences += ours > theirs ? ours - theirs : 0; /* those whom we lack were counted */
    work->differences += differences;
    return true;
}

/* The record of a CLOSE: [.., CLOSED, ACCOUNTS.., HASH]. What came before it is written. */
static bool settle_close(struct batch_work *work, const struct market_events *events, int64_t offset, struct err *err)
{
    struct fold *fold = &work->settle->fold;
    fold_clear(fold);
    fold_note(fold, events);
    const uint32_t place = fold_market_named(fold, &events->market);
    const int64_t events_before = work->events;
    if (!store_settle_markets(work->tx, work->settle->arena, fold, work->batch->partition, err) ||
        !fold_one(work, events, offset, err))
        return false;
    const struct fold_market *market = &fold->markets.items[place];
    const bool passed_over = work->events == events_before;
    const bool ok = passed_over || (store_settle_close(work->tx, &events->market, fold_closes(events), market->seq,
                                                       market->closed_ms, err) &&
                                    compare_accounts(work, events, err));
    arena_reset(work->settle->arena);
    return ok;
}

/* ---- a batch ---- */

static bool settle_records(struct batch_work *work, struct portion *portion, size_t first, struct err *err)
{
    const struct kafka_batch *batch = work->batch;
    for (size_t i = first; i < batch->count; i++) {
        struct market_events *events = ARENA_NEW(work->settle->arena, market_events);
        if (!market_events_decode(work->settle->arena, batch->records[i].payload, events, err))
            return false;
        if (!events->count)
            continue;
        const bool closes = fold_closes(events) > 0;
        if (closes && portion->count) { /* written first; the arena went with it */
            if (!settle_portion(work, portion, err))
                return false;
            i--;
            continue;
        }
        if (closes) {
            if (!settle_close(work, events, batch->records[i].offset, err))
                return false;
            continue;
        }
        portion->records[portion->count] = events;
        portion->offsets[portion->count++] = batch->records[i].offset;
        portion->events += events->count;
        if ((portion->events >= PORTION_EVENTS || portion->count == PORTION_EVENTS) &&
            !settle_portion(work, portion, err))
            return false;
    }
    return settle_portion(work, portion, err);
}

/* Batches follow each other; who finds the schema behind its batch reads the log from there first. */
static bool goes_on(struct batch_work *work, int64_t next_offset, int64_t offset, struct err *err)
{
    if (next_offset <= 0 || next_offset >= offset || work->caught_up)
        return true;
    work->behind = true;
    return err_set_internal(err, &ERR_UNAVAILABLE, "the schema stands at %lld, the batch begins at %lld",
                            (long long)next_offset, (long long)offset);
}

static bool settle_in(struct pg_tx *tx, void *payload, struct err *err)
{
    struct batch_work *work = payload;
    const struct kafka_batch *batch = work->batch;
    *work = (struct batch_work){.settle = work->settle,
                                .batch = batch,
                                .tx = tx,
                                .refused_again = work->refused_again,
                                .caught_up = work->caught_up};
    AUTO_FREE struct portion *portion = MEM_NEW(portion);
    size_t first;
    int64_t next_offset;
    arena_reset(work->settle->arena);
    if (!applied_begin(tx, batch, &first, err))
        return false;
    return first == batch->count || (store_settle_begin(tx, batch->topic, batch->partition, &next_offset, err) &&
                                     goes_on(work, next_offset, batch->records[first].offset, err) &&
                                     settle_records(work, portion, first, err) && applied_end(tx, batch, err));
}

/* Rows that are not there and constraints that say no contradict the log, too; a store that is away does not. */
static bool contradicts(const struct batch_work *work, const struct err *err)
{
    return work->contradiction || err_is(err, &ERR_CONFLICT) || (err_is(err, &ERR_INTERNAL) && !work->gap);
}

static void tell(const struct batch_work *work, bool ok, int64_t began_us, const struct err *err)
{
    const struct settle *settle = work->settle;
    if (!ok) {
        metric_add(settle->gaps, work->gap);
        metric_add(settle->wrongs, contradicts(work, err));
        return;
    }
    metric_add(settle->trades, work->trades);
    metric_add(settle->events, work->events);
    metric_add(settle->doubles, work->doubles);
    metric_add(settle->unknown, work->unknown);
    metric_observe_us(settle->seconds, clock_monotonic_us() - began_us);
    if (!work->differences)
        return;
    metric_add(settle->differences, work->differences);
    log_event(LOG_ERROR, "settlement_differs", LOG_I64("accounts", work->differences),
              LOG_I64("partition", work->batch->partition), LOG_I64("offset", work->batch->records[0].offset));
}

static bool settle_now(struct settle *settle, const struct kafka_batch *batch, bool caught_up, bool *behind,
                       struct err *err)
{
    const int64_t began_us = clock_monotonic_us();
    struct batch_work work = {.settle = settle, .batch = batch, .caught_up = caught_up};
    bool ok = pg_transaction(settle->db, settle_in, &work, err);
    if (!ok && pg_violated(err, "orders_pkey")) { /* so rare that only then every new order is looked up */
        err_clear(err);
        work.refused_again = true;
        ok = pg_transaction(settle->db, settle_in, &work, err);
    }
    tell(&work, ok, began_us, err);
    *behind = !ok && work.behind;
    return ok;
}

/* ---- what is missing ---- */

static bool settle_read(void *payload, const struct kafka_batch *batch, struct err *err)
{
    bool behind;
    return settle_now(payload, batch, true, &behind, err);
}

/* The schema may stand behind what the group has committed: restored from a backup, or told to settle a round again.
 * Settles what the log has from there to below `to`. */
static bool catch_up(struct settle *settle, const char *topic, int32_t partition, int64_t to, struct err *err)
{
    int64_t next_offset;
    if (!store_settle_next_offset(settle->db, topic, partition, &next_offset, err))
        return false;
    if (next_offset < 0 || next_offset >= to) /* -1: the schema begins here */
        return true;
    log_event(LOG_INFO, "settlement_catches_up", LOG_I64("partition", partition), LOG_I64("from", next_offset));
    return kafka_read(settle->brokers, topic, partition, next_offset, to, READ_MS, settle_read, settle, err);
}

bool settle_took_over(struct settle *settle, const char *topic, int32_t partition, struct err *err)
{
    int64_t end;
    return kafka_end_offset(settle->producer, topic, partition, READ_MS, &end, err) &&
           catch_up(settle, topic, partition, end, err);
}

bool settle_batch(struct settle *settle, const struct kafka_batch *batch, struct err *err)
{
    bool behind;
    if (settle_now(settle, batch, false, &behind, err))
        return true;
    if (!behind)
        return false;
    err_clear(err);
    return catch_up(settle, batch->topic, batch->partition, batch->records[0].offset, err) &&
           settle_now(settle, batch, true, &behind, err);
}
