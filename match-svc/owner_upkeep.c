#include "owner_internal.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

enum {
    SNAPSHOT_BYTES_MAX = 400 << 20, /* PostgreSQL sends twice as many, at most 1 GB */
    IDLE_SNAPSHOTS = 5,             /* times snapshot_commands */
};

/* All of its events are acknowledged, it stands between two messages, and nothing of what the log had is left to come
 * out. */
static bool at_rest(const struct holding *holding, const struct market *market)
{
    return holding->rebuilt && !holding->outputs.count && !market->stopped && !market->next.within &&
           market_caught_up(market);
}

/* The engine's bytes now; the thread of snapshots.c stores them. */
static void take_snapshot(struct owner *owner, struct holding *holding, struct market *market)
{
    struct err err = {0};
    if (!market->unstored_ms || !at_rest(holding, market) || snapshots_busy(owner->snapshots, &market->id))
        return;
    /* What stands between its last command and here concerns others, and so does a message that is not done yet. */
    const int64_t next = holding->next.offset > market->next.offset ? holding->next.offset : market->next.offset;
    struct snapshot snapshot = {.market = market->id, .command_offset = next, .seq = book_seq(market->book)};
    if (!kafka_end_offset(owner->options.producer, owner->options.events_topic, holding->partition, ASK_MS,
                          &snapshot.events_offset, &err)) {
        log_err("snapshot_waits", &err); /* the next round tries again */
        return;
    }
    const int64_t start_us = clock_monotonic_us();
    AUTO_STR bytes = {0};
    str_init(&bytes);
    const bool fits = book_bytes(market->book) <= SNAPSHOT_BYTES_MAX;
    const bool closes = book_is_closed(market->book);
    if (fits) {
        book_save(market->book, &bytes);
        snapshot.hash = book_hash(market->book);
        snapshots_add(owner->snapshots, &snapshot, &bytes, closes);
    } else {
        metric_add(owner->too_large, 1);
        log_event(LOG_WARN, "snapshot_too_large", LOG_TEXT("market", market->name),
                  LOG_I64("bytes", book_bytes(market->book)));
    }
    metric_observe_us(owner->saves, clock_monotonic_us() - start_us);
    market->stored_commands = book_commands(market->book);
    market->stored_next = next;
    market->unstored_ms = 0;
    market->last_stored |= closes;
}

/* A large book is saved less often, so that saving costs a share of matching that does not grow. */
static bool is_due(const struct owner *owner, const struct market *market, int64_t now_ms)
{
    if (!market->unstored_ms)
        return false;
    const uint64_t commands = book_commands(market->book), since = commands - market->stored_commands;
    const uint64_t least = (uint64_t)owner->options.snapshot_commands;
    return since >= (least > commands / 4 ? least : commands / 4) ||
           now_ms - market->unstored_ms >= owner->options.snapshot_seconds * 1000 ||
           (book_is_closed(market->book) && !market->last_stored);
}

/* Nothing happens in it while others in its partition go on: whoever takes over would read all of that for its sake. */
static bool is_left_behind(const struct owner *owner, const struct holding *holding, const struct market *market)
{
    return !market->stopped && book_commands(market->book) == market->stored_commands &&
           holding->next.offset - market->stored_next >= IDLE_SNAPSHOTS * owner->options.snapshot_commands;
}

/* A closed market that nobody has asked anything for a while, all of it stored. */
static bool may_leave(struct owner *owner, struct holding *holding, struct market *market, int64_t now_ms)
{
    if (market->stopped || !book_is_closed(market->book) ||
        now_ms - market->used_ms < owner->options.linger_seconds * 1000)
        return false;
    take_snapshot(owner, holding, market);
    return !market->unstored_ms && !snapshots_busy(owner->snapshots, &market->id);
}

static void look_after(struct owner *owner, struct holding *holding, int64_t now_ms)
{
    for (size_t i = 0; i < holding->count;) {
        struct market *market = holding->markets[i];
        const bool left_behind = is_left_behind(owner, holding, market);
        if (left_behind && !market->unstored_ms)
            market->unstored_ms = now_ms;
        if (left_behind || is_due(owner, market, now_ms))
            take_snapshot(owner, holding, market);
        if (!may_leave(owner, holding, market, now_ms)) {
            i++;
            continue;
        }
        log_event(LOG_INFO, "market_left", LOG_TEXT("market", market->name), LOG_I64("seq", book_seq(market->book)));
        market_release(&market);
        holding->markets[i] = holding->markets[--holding->count];
    }
}

void owner_upkeep(struct owner *owner)
{
    owner->upkeep_ms = clock_monotonic_ms();
    for (size_t i = 0; i < owner->count; i++)
        look_after(owner, owner->holdings[i], owner->upkeep_ms);
    owner_show(owner);
}

void owner_store_all(struct owner *owner, struct holding *holding)
{
    for (size_t i = 0; i < holding->count; i++)
        take_snapshot(owner, holding, holding->markets[i]);
}
