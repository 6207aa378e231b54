#include "follow.h"

#include "app.h"
#include "applied.h"
#include "arena.h"
#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "store.h"

#include <poll.h>
#include <stdlib.h>

enum {
    ARENA_BYTES = 128 << 20,
    TABLE_FACTOR = 2,
    GATHER_MS = 100,               /* between two batches that are not full */
    FULL_ENOUGH = FOLLOW_BATCH / 2 /* then there is a backlog, which needs no gathering */
};

struct follow {
    struct metric_child *gaps;
    int64_t next_ms; /* monotonic; the worker's thread alone */
};

struct follow *follow_open(void)
{
    struct follow *follow = MEM_NEW(follow);
    follow->gaps = METRIC_CHILD(
        metric_counter("madang_game_event_gaps_total", "Sequences that were missing in market.events", NULL));
    return follow;
}

void follow_release(struct follow **follow)
{
    free(*follow);
    *follow = NULL;
}

static void gather(struct follow *follow, size_t count)
{
    const int64_t left_ms = follow->next_ms - clock_monotonic_ms();
    if (left_ms > 0 && count < FULL_ENOUGH)
        (void)poll(NULL, 0, (int)left_ms);
    follow->next_ms = clock_monotonic_ms() + GATHER_MS;
}

/* ---- who takes part: sums of this batch, found by (round, user) ---- */

struct sums {
    struct arena *arena;
    struct taking_part *list;
    size_t count, capacity;
    uint32_t *slots; /* index + 1; open addressing */
    size_t slot_count;
};

static size_t slot_of(const struct sums *sums, const char *round_id, const struct uuid *user)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < sizeof user->bytes; i++)
        hash = (hash ^ user->bytes[i]) * UINT64_C(0x100000001b3);
    size_t slot = (size_t)(hash ^ hash >> 32) & (sums->slot_count - 1);
    for (uint32_t at; (at = sums->slots[slot]); slot = (slot + 1) & (sums->slot_count - 1))
        if (sums->list[at - 1].round_id == round_id &&
            memcmp(sums->list[at - 1].user.bytes, user->bytes, sizeof user->bytes) == 0)
            break;
    return slot;
}

static void sums_grow(struct sums *sums)
{
    const size_t capacity = sums->capacity ? sums->capacity * 2 : 256;
    struct taking_part *list = arena_alloc(sums->arena, capacity * sizeof *list);
    if (sums->count)
        memcpy(list, sums->list, sums->count * sizeof *list);
    sums->list = list;
    sums->capacity = capacity;
    sums->slot_count = capacity * TABLE_FACTOR;
    sums->slots = arena_alloc(sums->arena, sums->slot_count * sizeof *sums->slots);
    for (size_t i = 0; i < sums->count; i++)
        sums->slots[slot_of(sums, list[i].round_id, &list[i].user)] = (uint32_t)i + 1;
}

static struct taking_part *sum_of(struct sums *sums, const char *round_id, const struct uuid *user)
{
    if (sums->count == sums->capacity)
        sums_grow(sums);
    const size_t slot = slot_of(sums, round_id, user);
    if (!sums->slots[slot]) {
        sums->list[sums->count] = (struct taking_part){.round_id = round_id, .user = *user};
        sums->slots[slot] = (uint32_t)++sums->count;
    }
    return &sums->list[sums->slots[slot] - 1];
}

/* ---- the events of one record ---- */

struct work {
    struct follow *follow;
    const struct kafka_batch *batch;
    struct market_events *records; /* decoded, as the batch */
    struct arena *arena;
    struct pg_tx *tx;
    struct progress *rounds;
    size_t round_count;
    struct sums sums;
};

static void take_trade(struct sums *sums, const char *round_id, const struct market_event *event)
{
    const bool taker_buys = event->trade.taker_side == SIDE_BUY;
    const int64_t paid = event->trade.price * event->trade.quantity;
    const struct uuid *buyer = taker_buys ? &event->trade.taker : &event->trade.maker,
                      *seller = taker_buys ? &event->trade.maker : &event->trade.taker;
    struct taking_part *part = sum_of(sums, round_id, buyer);
    part->fills++;
    part->bought += paid;
    part = sum_of(sums, round_id, seller);
    part->fills++;
    part->sold += paid;
}

/* An order's own answer: what became of it later has another kind. */
static void take_answer(struct work *work, struct progress *round, const struct market_event *event)
{
    const struct market_order *order = &event->order.order;
    if (event->order.command != MARKET_PLACE)
        return;
    if (event->kind == MARKET_ACCEPTED) {
        struct taking_part *part = sum_of(&work->sums, round->round_id, &order->account);
        part->orders++;
        part->bot = order->bot;
    }
    const int64_t n = round_command_n(&order->order_id);
    if (order->bot && order->company < round->company_count && n > round->heard_n[order->company]) {
        round->heard_n[order->company] = n;
        round->heard_seq[order->company] = event->seq;
    }
}

static bool take_closed(struct work *work, struct progress *round, const struct market_event *event, struct err *err)
{
    return store_last_prices(work->tx, round->round_id, event->closed.last_prices, event->closed.company_count, err);
}

static bool take_event(struct work *work, struct progress *round, const struct market_event *event, struct err *err)
{
    switch (event->kind) {
    case MARKET_ACCEPTED:
    case MARKET_REJECTED:
    case MARKET_REPEATED:
        take_answer(work, round, event);
        return true;
    case MARKET_TRADE:
        take_trade(&work->sums, round->round_id, event);
        return true;
    case MARKET_CLOSED:
        round->has_accounts = true; /* all of them stand in this record */
        return take_closed(work, round, event, err);
    case MARKET_ACCOUNTS:
        return store_accounts_add(work->tx, work->arena, round->round_id, event->accounts.accounts,
                                  event->accounts.count, err);
    default:
        return true;
    }
}

static void tell_gap(const struct follow *follow, const struct progress *round, const struct market_events *record)
{
    metric_add(follow->gaps, 1);
    log_event(LOG_ERROR, "market_events_gap", LOG_TEXT("market", round->round_id), LOG_I64("seq", round->seq),
              LOG_I64("first_seq", record->first_seq));
}

static bool take_record(struct work *work, struct progress *round, const struct market_events *record, struct err *err)
{
    if (record->count == 0 || record->first_seq + (int64_t)record->count - 1 <= round->seq)
        return true; /* a double */
    if (record->first_seq > round->seq + 1)
        tell_gap(work->follow, round, record);
    const bool had_accounts = round->has_accounts;
    for (uint32_t i = 0; i < record->count; i++) {
        if (record->events[i].seq > round->seq && !take_event(work, round, &record->events[i], err))
            return false;
    }
    round->seq = record->first_seq + (int64_t)record->count - 1;
    return had_accounts || !round->has_accounts || store_accounts_done(work->tx, round->round_id, err);
}

/* ---- a batch ---- */

static struct progress *find_round(struct work *work, const struct uuid *market)
{
    char id[UUID_TEXT_BYTES];
    uuid_format(market, id);
    for (size_t i = 0; i < work->round_count; i++)
        if (strcmp(work->rounds[i].round_id, id) == 0)
            return &work->rounds[i];
    return NULL;
}

static bool read_rounds(struct work *work, size_t first, struct err *err)
{
    const size_t count = work->batch->count;
    struct texts ids = {arena_alloc(work->arena, (count + 1) * sizeof *ids.items), 0};
    for (size_t i = first; i < count; i++) {
        const struct uuid *market = &work->records[i].market;
        if (i > first && memcmp(market->bytes, work->records[i - 1].market.bytes, sizeof market->bytes) == 0)
            continue;
        char *id = arena_alloc(work->arena, UUID_TEXT_BYTES);
        uuid_format(market, id);
        ids.items[ids.count++] = id;
    }
    return store_progress_read(work->tx, work->arena, &ids, &work->rounds, &work->round_count, err);
}

static bool work_batch(struct pg_tx *tx, void *payload, struct err *err)
{
    struct work *work = payload;
    size_t first;
    work->tx = tx;
    work->sums = (struct sums){.arena = work->arena};
    if (!applied_begin(tx, work->batch, &first, err) || !read_rounds(work, first, err))
        return false;
    for (size_t i = first; i < work->batch->count; i++) {
        struct progress *round = find_round(work, &work->records[i].market);
        if (round && !take_record(work, round, &work->records[i], err))
            return false;
    }
    if (!store_participants_add(tx, work->arena, work->sums.list, work->sums.count, err))
        return false;
    for (size_t i = 0; i < work->round_count; i++)
        if (!store_progress_write(tx, &work->rounds[i], err))
            return false;
    return applied_end(tx, work->batch, err);
}

bool follow_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct game_app *app = payload;
    gather(app->follow, batch->count);
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    struct work work = {.follow = app->follow, .batch = batch, .arena = arena};
    work.records = arena_alloc(arena, batch->count * sizeof *work.records);
    for (size_t i = 0; i < batch->count; i++)
        if (!market_events_decode(arena, batch->records[i].payload, &work.records[i], err))
            return false;
    return pg_transaction(app->db, work_batch, &work, err);
}
