/* owner_rebuild.c - books from their snapshots and the log.
 *
 *     market.commands  ....|snapshot|ccccccccccccccccc| end of now
 *     market.events    ....|........|eeeeeeee|             what a former owner still told: the tail
 *                                    compared  sent        the commands' events, once more
 * The end of market.commands is asked for before the tail is read: whatever a former owner tells later comes from the
 * same commands, and is the same. */
#include "owner_internal.h"

#include "clock.h"
#include "log.h"
#include "market_wire.h"
#include "mem.h"

#include <stdlib.h>

enum { ARENA_BYTES = 1 << 30 };

/* ---- from a snapshot ---- */

static struct book *restore(const struct snapshot *snapshot, bool whole, const struct book_limits *limits,
                            struct err *err)
{
    if (!whole) {
        (void)err_set(err, &ERR_BAD_INPUT, "the row's checksum differs");
        return NULL;
    }
    AUTO(book) book = book_restore(snapshot->bytes, limits, err);
    if (!book)
        return NULL;
    if (memcmp(book_market(book), &snapshot->market, sizeof snapshot->market) != 0 || book_seq(book) != snapshot->seq ||
        book_hash(book) != snapshot->hash) {
        (void)err_set(err, &ERR_BAD_INPUT, "the row and the book in it differ");
        return NULL;
    }
    return TAKE(book);
}

static void refuse(struct owner *owner, const struct market *market, const struct snapshot *snapshot,
                   const struct err *why)
{
    metric_add(owner->refused, 1);
    log_event(LOG_ERROR, "snapshot_refused", LOG_TEXT("market", market->name),
              LOG_I64("command_offset", snapshot->command_offset), LOG_I64("seq", snapshot->seq),
              LOG_TEXT("reason", why->message));
}

/* The newest that is whole, or an empty book at the market's first command. False: the database does not answer. */
static bool begin_from_snapshot(struct owner *owner, struct market *market, const struct book_limits *limits,
                                struct err *err)
{
    struct snapshot snapshot;
    bool found, whole;
    for (int64_t before = INT64_MAX;; before = snapshot.command_offset) {
        AUTO(arena) arena = arena_open(ARENA_BYTES);
        if (!store_find_snapshot(owner->options.db, &market->id, before, arena, &snapshot, &found, &whole, err))
            return false;
        if (!found) {
            market->book = book_open(limits);
            return true;
        }
        struct err why = {0};
        market->book = restore(&snapshot, whole, limits, &why);
        if (market->book)
            break;
        refuse(owner, market, &snapshot, &why);
    }
    market->next.offset = market->stored_next = snapshot.command_offset;
    market->events_from = snapshot.events_offset;
    market->stored_commands = book_commands(market->book);
    return true;
}

static struct market *market_begin(struct owner *owner, const struct market_row *row, struct err *err)
{
    const struct book_limits limits = {.orders_max = (size_t)row->orders_max,
                                       .accounts_max = (size_t)row->accounts_max};
    struct market *market = market_new(owner, row);
    if (!begin_from_snapshot(owner, market, &limits, err)) {
        market_release(&market);
        return NULL;
    }
    market->tail_seq = book_seq(market->book);
    market->last_stored = row->closed;
    market->touched = true; /* viewers learn its state */
    return market;
}

/* ---- what market.events holds already ---- */

/* Which markets are rebuilt: one, or all of the holding. */
struct rebuild {
    struct owner *owner;
    struct holding *holding;
    struct market *only; /* NULL: all */
    int64_t wanted;      /* the offset that should come first; then -1 */
    bool poison;         /* the replay ended at a record that can't be read */
};

static struct market *find_rebuilt(const struct rebuild *rebuild, const struct uuid *id)
{
    if (!rebuild->only)
        return market_find(rebuild->holding, id);
    return memcmp(&rebuild->only->id, id, sizeof *id) == 0 ? rebuild->only : NULL;
}

static void tail_add(struct market *market, const struct tail *tail)
{
    if (market->tail_count == market->tail_room) {
        market->tail_room = market->tail_room ? market->tail_room * 2 : 1024;
        market->tail = mem_grow(market->tail, market->tail_room, sizeof *market->tail);
    }
    market->tail[market->tail_count++] = *tail;
    market->tail_seq = tail->first_seq + tail->count - 1;
}

/* A record that came before: the same bytes, or somebody told something else. */
static void tail_compare(struct market *market, const struct tail *tail)
{
    size_t low = 0, high = market->tail_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (market->tail[middle].first_seq < tail->first_seq)
            low = middle + 1;
        else
            high = middle;
    }
    const struct tail *first = low < market->tail_count ? &market->tail[low] : NULL;
    if (first && (first->first_seq != tail->first_seq || first->count != tail->count || first->hash != tail->hash))
        market_stop(market, "events_differ");
}

static void tail_take(const struct rebuild *rebuild, const struct kafka_record *record)
{
    const unsigned char *bytes = (const unsigned char *)record->payload.bytes;
    struct wire wire = {bytes, bytes + record->payload.length, false};
    (void)wire_take(&wire, 1); /* the version; the whole record is compared by its hash */
    const struct uuid id = wire_uuid(&wire);
    (void)wire_take(&wire, 8);
    (void)wire_take(&wire, 8);
    struct tail tail = {.first_seq = wire_count(&wire), .count = (uint32_t)wire_take(&wire, 4)};
    struct market *market = wire.bad ? NULL : find_rebuilt(rebuild, &id);
    if (!market || market->stopped || market->tail_torn || tail.first_seq <= book_seq(market->book))
        return;
    tail.hash = hash_bytes(record->payload.bytes, record->payload.length);
    if (tail.first_seq <= market->tail_seq)
        tail_compare(market, &tail);
    else if (tail.first_seq == market->tail_seq + 1)
        tail_add(market, &tail);
    else
        market->tail_torn = true;
}

static bool tail_take_batch(void *payload, const struct kafka_batch *batch, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < batch->count; i++)
        tail_take(payload, &batch->records[i]);
    return true;
}

static bool read_tail(struct rebuild *rebuild, int64_t from, struct err *err)
{
    const struct owner_options *options = &rebuild->owner->options;
    return kafka_read(options->brokers, options->events_topic, rebuild->holding->partition, from, INT64_MAX, READ_MS,
                      tail_take_batch, rebuild, err);
}

static size_t rebuilt(struct rebuild *rebuild, struct market ***markets)
{
    *markets = rebuild->only ? &rebuild->only : rebuild->holding->markets;
    return rebuild->only ? 1 : rebuild->holding->count;
}

/* Everything that they told since their snapshots. A snapshot's place in market.events is where its owner saw the end;
 * one who slept while another took over, and stored as it woke, saw an end behind the other's events. So a hole is
 * believed only when all that the market ever told was read. */
static bool read_tails(struct rebuild *rebuild, int64_t from, struct err *err)
{
    struct market **markets;
    int64_t again = INT64_MAX;
    if (!read_tail(rebuild, from, err))
        return false;
    const size_t count = rebuilt(rebuild, &markets);
    for (size_t i = 0; i < count; i++) {
        struct market *market = markets[i];
        if (!market->tail_torn || market->first_events >= from)
            continue;
        log_event(LOG_WARN, "tail_torn", LOG_TEXT("market", market->name), LOG_I64("events_from", market->events_from),
                  LOG_I64("first_events", market->first_events));
        market->tail_torn = false;
        market->tail_count = 0;
        market->tail_seq = book_seq(market->book);
        market->events_from = market->first_events;
        again = market->first_events < again ? market->first_events : again;
    }
    if (again != INT64_MAX && !read_tail(rebuild, again, err)) /* the others see theirs twice, and compare */
        return false;
    for (size_t i = 0; i < count; i++)
        if (markets[i]->tail_torn)
            market_stop(markets[i], "events_lost");
    return true;
}

/* ---- the commands once more ---- */

/* Retention was faster: what begins before `first` can't be rebuilt. */
static void stop_cut(struct rebuild *rebuild, int64_t first)
{
    struct market **markets;
    const size_t count = rebuilt(rebuild, &markets);
    for (size_t i = 0; i < count; i++)
        if (markets[i]->next.offset < first)
            market_stop(markets[i], "log_cut");
}

static bool replay_record(struct rebuild *rebuild, const struct kafka_record *record, struct err *err)
{
    struct owner *owner = rebuild->owner;
    struct market_command command;
    metric_add(owner->replayed, 1);
    if (!rebuild->only)
        return holding_take(owner, rebuild->holding, record, err);
    struct err ignored = {0};
    if (market_command_decode(record->payload, &command, &ignored) && find_rebuilt(rebuild, &command.market))
        market_apply(owner, rebuild->holding, rebuild->only, &command, record);
    return true;
}

static bool replay_batch(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct rebuild *rebuild = payload;
    if (rebuild->wanted >= 0 && batch->records[0].offset > rebuild->wanted)
        stop_cut(rebuild, batch->records[0].offset);
    rebuild->wanted = -1;
    for (size_t i = 0; i < batch->count; i++) {
        const struct kafka_record *record = &batch->records[i];
        if (!replay_record(rebuild, record, err)) {
            rebuild->poison = err_is(err, &ERR_BAD_INPUT);
            rebuild->holding->next = (struct log_place){record->offset, record->place};
            return false;
        }
        if (holding_full(rebuild->holding) && !holding_send(rebuild->owner, rebuild->holding, err))
            return false;
    }
    return true;
}

/* A record that can't be read ends it too: the worker meets it again, and stops there. */
static bool replay(struct rebuild *rebuild, int64_t from, int64_t to, struct err *err)
{
    const struct owner_options *options = &rebuild->owner->options;
    rebuild->wanted = from;
    bool ok = from >= to || kafka_read(options->brokers, options->commands_topic, rebuild->holding->partition, from, to,
                                       READ_MS, replay_batch, rebuild, err);
    if (!ok && rebuild->poison) {
        err_clear(err);
        return true;
    }
    if (ok && from < to && rebuild->wanted >= 0)
        stop_cut(rebuild, to);
    return ok;
}

/* ---- one market ---- */

static void tell_restored(const struct market *market, int64_t seq, int64_t start_us)
{
    log_event(LOG_INFO, "market_restored", LOG_TEXT("market", market->name), LOG_I64("partition", market->partition),
              LOG_I64("snapshot_seq", seq), LOG_I64("seq", book_seq(market->book)),
              LOG_I64("command_offset", market->next.offset), LOG_BOOL("stopped", market->stopped != NULL),
              LOG_I64("ms", (clock_monotonic_us() - start_us) / 1000));
}

bool market_load(struct owner *owner, struct holding *holding, const struct market_row *row, int64_t to,
                 struct market **loaded, struct err *err)
{
    const int64_t start_us = clock_monotonic_us();
    struct market *market = market_begin(owner, row, err);
    if (!market)
        return false;
    const int64_t seq = book_seq(market->book);
    struct rebuild rebuild = {.owner = owner, .holding = holding, .only = market};
    if (!read_tails(&rebuild, market->events_from, err) || !replay(&rebuild, market->next.offset, to, err)) {
        market_release(&market); /* what it told waits in the outputs: the same comes out again */
        return false;
    }
    holding_add(holding, market);
    tell_restored(market, seq, start_us);
    *loaded = market;
    return true;
}

/* ---- a partition ---- */

static bool begin_all(struct owner *owner, struct holding *holding, struct err *err)
{
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    struct market_row *rows;
    size_t count;
    if (!store_live_markets(owner->options.db, holding->partition, arena, &rows, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct market *market = market_begin(owner, &rows[i], err);
        if (!market)
            return false;
        holding_add(holding, market);
    }
    return true;
}

static bool rebuild_all(struct owner *owner, struct holding *holding, struct err *err)
{
    const int64_t start_us = clock_monotonic_us();
    int64_t end, from = INT64_MAX, events_from = INT64_MAX;
    if (!kafka_end_offset(owner->options.producer, owner->options.commands_topic, holding->partition, ASK_MS, &end,
                          err) ||
        !begin_all(owner, holding, err))
        return false;
    const size_t live = holding->count;
    AUTO_FREE int64_t *seqs = mem_new(live + 1, sizeof *seqs);
    for (size_t i = 0; i < live; i++) {
        const struct market *market = holding->markets[i];
        from = market->next.offset < from ? market->next.offset : from;
        events_from = market->events_from < events_from ? market->events_from : events_from;
        seqs[i] = book_seq(market->book);
    }
    struct rebuild rebuild = {.owner = owner, .holding = holding};
    if (live) {
        if (!read_tails(&rebuild, events_from, err) || !replay(&rebuild, from, end, err))
            return false;
        if (!rebuild.poison)
            holding->next.offset = end;
    }
    if (!holding_send(owner, holding, err))
        return false;
    for (size_t i = 0; i < live; i++)
        tell_restored(holding->markets[i], seqs[i], start_us);
    metric_observe_us(owner->takeovers, clock_monotonic_us() - start_us);
    log_event(LOG_INFO, "partition_taken_over", LOG_I64("partition", holding->partition), LOG_I64("markets", live),
              LOG_I64("from", live ? from : -1), LOG_I64("to", end),
              LOG_I64("ms", (clock_monotonic_us() - start_us) / 1000));
    return true;
}

bool holding_rebuild(struct owner *owner, struct holding *holding, struct err *err)
{
    holding_clear(holding);
    holding->rebuilt = rebuild_all(owner, holding, err);
    if (!holding->rebuilt)
        holding_clear(holding);
    return holding->rebuilt;
}
