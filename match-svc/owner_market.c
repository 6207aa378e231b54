#include "owner_internal.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

struct market *market_new(struct owner *owner, const struct market_row *row)
{
    struct market *market = MEM_NEW(market);
    market->id = row->id;
    uuid_format(&row->id, market->name);
    market->partition = row->partition;
    market->next.offset = market->stored_next = row->first_offset;
    market->events_from = market->first_events = row->events_from;
    market->used_ms = clock_monotonic_ms();
    market->depth = owner->options.depth ? depth_market_open(owner->options.depth, &market->id) : NULL;
    return market;
}

void market_release(struct market **place)
{
    struct market *market = TAKE(*place);
    if (!market)
        return;
    if (market->depth)
        depth_market_release(&market->depth);
    book_release(&market->book);
    free(market->tail);
    free(market);
}

struct market *market_find(const struct holding *holding, const struct uuid *id)
{
    for (size_t i = 0; i < holding->count; i++)
        if (memcmp(&holding->markets[i]->id, id, sizeof *id) == 0)
            return holding->markets[i];
    return NULL;
}

/* Its offset. */
static int64_t last_command(const struct market *market)
{
    return market->next.within ? market->next.offset : market->next.offset - 1;
}

void market_stop(struct market *market, const char *why)
{
    if (market->stopped)
        return;
    market->stopped = why;
    log_event(LOG_ERROR, "market_stopped", LOG_TEXT("market", market->name), LOG_TEXT("reason", why),
              LOG_I64("partition", market->partition), LOG_I64("command_offset", last_command(market)),
              LOG_I64("seq", market->book ? book_seq(market->book) : 0));
}

bool market_caught_up(const struct market *market)
{
    return market->tail_at == market->tail_count;
}

/* ---- whom a record concerns: people, not bots ---- */

static void note_person(struct owner *owner, const struct uuid *account)
{
    if (book_is_bot(owner->market->book, account))
        return;
    if (owner->people_count == owner->people_room) {
        owner->people_room = owner->people_room ? owner->people_room * 2 : 64;
        owner->people = mem_grow(owner->people, owner->people_room, sizeof *owner->people);
    }
    owner->people[owner->people_count++] = *account;
}

static void note_people(struct owner *owner, const struct market_event *event)
{
    switch (event->kind) {
    case MARKET_ACCEPTED:
    case MARKET_REPEATED:
    case MARKET_REJECTED:
    case MARKET_AMENDED:
    case MARKET_DONE:
        if (!event->order.order.bot)
            note_person(owner, &event->order.order.account);
        break;
    case MARKET_TRADE:
        note_person(owner, &event->trade.maker);
        note_person(owner, &event->trade.taker);
        break;
    case MARKET_CANCELLED_ALL:
        note_person(owner, &event->cancelled_all.account);
        break;
    default:
        break;
    }
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct uuid));
}

/* Their ids, sorted, each once: the same whoever tells it. */
static const char *users_text(struct owner *owner)
{
    char text[UUID_TEXT_BYTES];
    str_clear(&owner->users);
    if (owner->people_count > 1)
        qsort(owner->people, owner->people_count, sizeof *owner->people, by_bytes);
    for (size_t i = 0; i < owner->people_count; i++) {
        if (i && by_bytes(&owner->people[i], &owner->people[i - 1]) == 0)
            continue;
        uuid_format(&owner->people[i], text);
        if (owner->users.length)
            str_add_char(&owner->users, ',');
        str_add(&owner->users, text);
    }
    return owner->users.bytes;
}

/* ---- one command ---- */

static void on_event(void *payload, const struct market_event *event)
{
    struct owner *owner = payload;
    struct market *market = owner->market;
    if (!owner->record.length)
        market_events_begin(&owner->record, &market->id, owner->command->offset, owner->command->timestamp_ms,
                            event->seq);
    market_events_add(&owner->record, event);
    note_people(owner, event);
    if (market->depth)
        depth_event(market->depth, event, owner->command->timestamp_ms);
    metric_add(owner->events, 1);
}

/* True when market.events has this record already; one that it has otherwise stops the market. */
static bool is_told(struct owner *owner, struct market *market, int64_t first_seq)
{
    if (market_caught_up(market))
        return false;
    const struct tail *tail = &market->tail[market->tail_at++];
    if (tail->first_seq != first_seq || tail->count != (uint32_t)(book_seq(market->book) - first_seq + 1) ||
        tail->hash != hash_bytes(owner->record.bytes, owner->record.length))
        market_stop(market, "events_differ");
    if (market_caught_up(market)) {
        free(market->tail);
        market->tail = NULL;
        market->tail_count = market->tail_room = market->tail_at = 0;
    }
    return true;
}

void market_apply(struct owner *owner, struct holding *holding, struct market *market,
                  const struct market_command *command, const struct kafka_record *record)
{
    if (stands_before(record, market->next))
        return;
    market->next = place_behind(record);
    if (!book_commands(market->book) && command->kind != MARKET_OPEN)
        market_stop(market, "log_cut"); /* its OPEN is not in the log any more */
    if (market->stopped)
        return;
    const int64_t first_seq = book_seq(market->book) + 1;
    owner->market = market;
    owner->command = record;
    owner->people_count = 0;
    str_clear(&owner->record);
    book_apply(market->book, command, record->timestamp_ms, on_event, owner);
    metric_add(owner->commands, 1);
    market->at_ms = record->timestamp_ms;
    market->used_ms = clock_monotonic_ms();
    market->touched = true;
    if (!market->unstored_ms)
        market->unstored_ms = market->used_ms;
    if (owner->record.length && !is_told(owner, market, first_seq))
        outputs_add(&holding->outputs, market->name, (struct view){owner->record.bytes, owner->record.length},
                    users_text(owner), record);
}
