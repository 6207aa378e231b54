#include "owner_internal.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "topics.h"

#include <stdlib.h>
#include <time.h>

enum { SEND_MS = 10000, UPKEEP_MS = 1000, UPKEEP_BUSY_MS = 100, SWEEP_ROUNDS = 60 };

/* ---- partitions ---- */

static struct holding *holding_of(struct owner *owner, int32_t partition)
{
    for (size_t i = 0; i < owner->count; i++)
        if (owner->holdings[i]->partition == partition)
            return owner->holdings[i];
    owner->holdings = mem_grow(owner->holdings, owner->count + 1, sizeof(struct holding *));
    struct holding *holding = owner->holdings[owner->count++] = MEM_NEW(holding);
    holding->partition = partition;
    holding->next = (struct log_place){-1, 0};
    outputs_init(&holding->outputs);
    return holding;
}

void holding_add(struct holding *holding, struct market *market)
{
    holding->markets = mem_grow(holding->markets, holding->count + 1, sizeof(struct market *));
    holding->markets[holding->count++] = market;
}

void holding_clear(struct holding *holding)
{
    for (size_t i = 0; i < holding->count; i++)
        market_release(&holding->markets[i]);
    free(holding->markets);
    holding->markets = NULL;
    holding->count = 0;
    holding->rebuilt = false;
    holding->next = (struct log_place){-1, 0};
    outputs_free(&holding->outputs);
    outputs_init(&holding->outputs);
}

bool holding_full(const struct holding *holding)
{
    return holding->outputs.count >= OUTPUT_RECORDS || holding->outputs.bytes.length >= OUTPUT_BYTES;
}

bool holding_send(struct owner *owner, struct holding *holding, struct err *err)
{
    const struct owner_options *options = &owner->options;
    const struct outputs_way way = {options->producer, options->events_topic, options->send_ms, options->bundles};
    if (!outputs_send(&holding->outputs, &way, err))
        return false;
    for (size_t i = 0; i < holding->count; i++) {
        struct market *market = holding->markets[i];
        if (market->touched && market->depth && !market->stopped)
            depth_note(market->depth, market->book, market->at_ms);
        market->touched = false;
    }
    return true;
}

/* ---- one record ---- */

/* Its row is written before anything of it is told: who takes over knows that it exists, and where it begins. */
static bool open_market(struct owner *owner, struct holding *holding, const struct market_command *command,
                        const struct kafka_record *record, struct market **market, struct err *err)
{
    struct market_row row = {.id = command->market,
                             .partition = holding->partition,
                             .first_offset = record->offset,
                             .orders_max = owner->options.orders_max,
                             .accounts_max = owner->options.accounts_max};
    bool made;
    if (!kafka_end_offset(owner->options.producer, owner->options.events_topic, holding->partition, ASK_MS,
                          &row.events_from, err) ||
        !store_open_market(owner->options.db, &row, &made, err))
        return false;
    if (row.forgotten) /* a double of long ago */
        return true;
    if (!made) /* a former owner came so far, or its offset was not committed */
        return market_load(owner, holding, &row, record->offset, market, err);
    *market = market_new(owner, &row);
    (*market)->book = book_open(
        &(struct book_limits){.orders_max = (size_t)row.orders_max, .accounts_max = (size_t)row.accounts_max});
    holding_add(holding, *market);
    log_event(LOG_INFO, "market_opened", LOG_TEXT("market", (*market)->name), LOG_I64("partition", row.partition),
              LOG_I64("command_offset", row.first_offset));
    return true;
}

bool holding_seek(struct owner *owner, struct holding *holding, const struct market_command *command,
                  const struct kafka_record *record, struct market **market, struct err *err)
{
    *market = market_find(holding, &command->market);
    if (*market)
        return true;
    if (command->kind == MARKET_OPEN)
        return open_market(owner, holding, command, record, market, err);
    struct market_row row;
    bool found;
    if (!store_find_market(owner->options.db, &command->market, &row, &found, err))
        return false;
    /* A market of last week would be read from the log from its first command to now, while all others wait: whoever
     * orders there gets no answer, which order-svc knows to be a refusal. */
    if (found && !row.forgotten && row.partition == holding->partition)
        return market_load(owner, holding, &row, record->offset, market, err);
    metric_add(owner->unknown, 1); /* never opened, or long closed: there is nothing that it could change */
    return true;
}

bool holding_take(struct owner *owner, struct holding *holding, const struct kafka_record *record, struct err *err)
{
    struct market_command command;
    struct market *market;
    char name[UUID_TEXT_BYTES];
    if (!market_command_decode(record->payload, &command, err))
        return false;
    uuid_format(&command.market, name);
    if (!view_equals(record->key, view_of(name))) /* its events would stand in another partition */
        return err_set(err, &ERR_BAD_INPUT, "a command of market %s has another key", name);
    if (!holding_seek(owner, holding, &command, record, &market, err))
        return false;
    if (market)
        market_apply(owner, holding, market, &command, record);
    return true;
}

/* ---- batches ---- */

static int64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static bool batch_take(struct owner *owner, struct holding *holding, const struct kafka_batch *batch, struct err *err)
{
    int64_t start_ns = cpu_ns();
    for (size_t i = 0; i < batch->count; i++) {
        const struct kafka_record *record = &batch->records[i];
        if (stands_before(record, holding->next))
            continue;
        if (!holding_take(owner, holding, record, err))
            return false;
        holding->next = place_behind(record);
        if (!holding_full(holding))
            continue;
        metric_add(owner->work_ns, cpu_ns() - start_ns);
        if (!holding_send(owner, holding, err))
            return false;
        start_ns = cpu_ns();
    }
    metric_add(owner->work_ns, cpu_ns() - start_ns);
    return true;
}

static bool apply(struct owner *owner, const struct kafka_batch *batch, struct err *err)
{
    struct holding *holding = holding_of(owner, batch->partition);
    if (holding->rebuilt && holding->next.offset >= 0 && batch->records[0].offset > holding->next.offset) {
        log_event(LOG_ERROR, "commands_gap", LOG_I64("partition", batch->partition),
                  LOG_I64("next", holding->next.offset), LOG_I64("offset", batch->records[0].offset));
        holding_clear(holding);
    }
    if (!holding->rebuilt && !holding_rebuild(owner, holding, err))
        return false;
    if (!holding_send(owner, holding, err)) /* what an earlier try could not send */
        return false;
    struct err later = {0};
    const bool ok = batch_take(owner, holding, batch, &later);
    if (!holding_send(owner, holding, err)) /* also what came before a record that failed */
        return false;
    if (!ok)
        *err = later;
    return ok;
}

bool owner_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct owner *owner = ((struct match_app *)payload)->owner;
    const int64_t start_us = clock_monotonic_us();
    pthread_mutex_lock(&owner->lock);
    const bool ok = apply(owner, batch, err);
    if (ok)
        metric_observe_us(owner->batches, clock_monotonic_us() - start_us);
    if (clock_monotonic_ms() - owner->upkeep_ms >= UPKEEP_BUSY_MS)
        owner_upkeep(owner);
    pthread_mutex_unlock(&owner->lock);
    return ok;
}

bool owner_assigned(void *payload, const char *topic, int32_t partition, struct err *err)
{
    struct owner *owner = ((struct match_app *)payload)->owner;
    (void)topic;
    pthread_mutex_lock(&owner->lock);
    struct holding *holding = holding_of(owner, partition);
    const bool ok = holding_rebuild(owner, holding, err);
    owner_show(owner);
    pthread_mutex_unlock(&owner->lock);
    return ok;
}

void owner_revoked(void *payload, const char *topic, int32_t partition)
{
    struct owner *owner = ((struct match_app *)payload)->owner;
    (void)topic;
    pthread_mutex_lock(&owner->lock);
    struct holding *holding = holding_of(owner, partition);
    owner_store_all(owner, holding);
    holding_clear(holding);
    owner_show(owner);
    pthread_mutex_unlock(&owner->lock);
}

/* ---- opening and releasing ---- */

static void upkeep_round(void *payload, unsigned round)
{
    struct owner *owner = payload;
    struct err err = {0};
    int64_t snapshots = 0, markets = 0;
    pthread_mutex_lock(&owner->lock);
    owner_upkeep(owner);
    pthread_mutex_unlock(&owner->lock);
    if (round % SWEEP_ROUNDS != 0)
        return;
    if (!store_sweep(owner->options.db, &snapshots, &markets, &err))
        log_err("sweep_failed", &err);
    else if (snapshots || markets)
        log_event(LOG_INFO, "markets_swept", LOG_I64("snapshots", snapshots), LOG_I64("markets", markets));
}

void owner_show(struct owner *owner)
{
    int64_t counts[3] = {0};
    for (size_t i = 0; i < owner->count; i++)
        for (size_t m = 0; m < owner->holdings[i]->count; m++) {
            const struct market *market = owner->holdings[i]->markets[m];
            counts[market->stopped ? 2 : book_is_closed(market->book)]++;
        }
    for (int i = 0; i < 3; i++)
        metric_set(owner->markets[i], counts[i]);
}

static void add_metrics(struct owner *owner)
{
    struct metric *commands =
        metric_counter("madang_match_commands_total", "Commands by what became of them", "result");
    struct metric *markets = metric_gauge("madang_match_markets", "Markets in memory by state", "state");
    struct metric *snapshots =
        metric_counter("madang_match_snapshots_total", "Snapshots by what became of them", "result");
    owner->commands = METRIC_CHILD(commands, "applied");
    owner->unknown = METRIC_CHILD(commands, "unknown_market");
    owner->replayed = METRIC_CHILD(commands, "replayed");
    owner->events = METRIC_CHILD(metric_counter("madang_match_events_total", "Events made by the engines", NULL));
    owner->work_ns = METRIC_CHILD(
        metric_counter("madang_match_work_nanoseconds_total", "Decoding, matching and encoding of commands", NULL));
    owner->batches = METRIC_CHILD(metric_histogram(
        "madang_match_batch_seconds", "One batch of commands, from the first look to the last event sent", NULL));
    owner->saves = METRIC_CHILD(
        metric_histogram("madang_match_snapshot_save_seconds", "Matching waits while a book is saved", NULL));
    owner->takeovers = METRIC_CHILD(
        metric_histogram("madang_match_takeover_seconds", "Rebuilding the markets of one partition", NULL));
    owner->refused = METRIC_CHILD(snapshots, "refused");
    owner->too_large = METRIC_CHILD(snapshots, "too_large");
    owner->markets[0] = METRIC_CHILD(markets, "open");
    owner->markets[1] = METRIC_CHILD(markets, "closed");
    owner->markets[2] = METRIC_CHILD(markets, "stopped");
}

struct owner *owner_open(const struct owner_options *options, struct err *err)
{
    AUTO(owner) owner = MEM_NEW(owner);
    owner->options = *options;
    if (!options->commands_topic)
        owner->options.commands_topic = TOPIC_MARKET_COMMANDS;
    if (!options->events_topic)
        owner->options.events_topic = TOPIC_MARKET_EVENTS;
    if (!options->send_ms)
        owner->options.send_ms = SEND_MS;
    pthread_mutex_init(&owner->lock, NULL);
    str_init(&owner->record);
    str_init(&owner->users);
    add_metrics(owner);
    owner->snapshots = snapshots_start(options->db, err);
    owner->rounds = owner->snapshots ? rounds_start(UPKEEP_MS, upkeep_round, owner, err) : NULL;
    return owner->rounds ? TAKE(owner) : NULL;
}

void owner_release(struct owner **place)
{
    struct owner *owner = TAKE(*place);
    if (!owner)
        return;
    rounds_release(&owner->rounds);
    snapshots_release(&owner->snapshots);
    for (size_t i = 0; i < owner->count; i++) {
        holding_clear(owner->holdings[i]);
        outputs_free(&owner->holdings[i]->outputs);
        free(owner->holdings[i]);
    }
    free(owner->holdings);
    free(owner->people);
    str_free(&owner->record);
    str_free(&owner->users);
    pthread_mutex_destroy(&owner->lock);
    free(owner);
}
