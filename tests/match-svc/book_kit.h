/* book_kit.h - an engine and a model side by side: each command goes to both, and what they tell must be the same
 * bytes. */
#ifndef MADANG_TESTS_MATCH_BOOK_KIT_H
#define MADANG_TESTS_MATCH_BOOK_KIT_H

#include "book.h"
#include "mem.h"
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct pair {
    struct book_limits limits;
    struct book *book;
    struct model *model;
    uint64_t n;                                     /* of the only sender */
    struct str ours, theirs;                        /* the records of the last command */
    uint64_t last_hash;                             /* of the engine's last MARKET_HASH */
    int64_t kinds[MARKET_EVENTS], reasons[REASONS]; /* how often each was told */
};

static const struct uuid KIT_MARKET = {"the market"};

static inline struct pair pair_open(size_t orders_max, size_t accounts_max)
{
    struct pair pair = {.limits = {orders_max, accounts_max}};
    pair.book = book_open(&pair.limits);
    pair.model = model_open(orders_max, accounts_max);
    str_init(&pair.ours);
    str_init(&pair.theirs);
    return pair;
}

static inline void pair_close(struct pair *pair)
{
    book_release(&pair->book);
    model_release(&pair->model);
    str_free(&pair->ours);
    str_free(&pair->theirs);
}

static inline void pair_ours(void *payload, const struct market_event *event)
{
    struct pair *pair = payload;
    struct market_event told = *event;
    pair->kinds[event->kind]++;
    if (event->kind == MARKET_DONE || event->kind == MARKET_REJECTED || event->kind == MARKET_REPEATED)
        pair->reasons[event->order.reason]++;
    if (event->kind == MARKET_HASH) {
        pair->last_hash = event->hash.hash;
        told.hash.hash = 0; /* the model has none */
    }
    market_events_add(&pair->ours, &told);
}

static inline void pair_theirs(void *payload, const struct market_event *event)
{
    market_events_add(&((struct pair *)payload)->theirs, event);
}

/* As if from a sender that numbers its commands; false when the two tell different things. */
static inline bool pair_apply_as(struct pair *pair, struct market_command *command, uint64_t source, uint64_t n)
{
    command->market = KIT_MARKET;
    command->source = source;
    command->n = n;
    str_clear(&pair->ours);
    str_clear(&pair->theirs);
    market_events_begin(&pair->ours, &KIT_MARKET, 0, 0, book_seq(pair->book) + 1);
    market_events_begin(&pair->theirs, &KIT_MARKET, 0, 0, book_seq(pair->book) + 1);
    book_apply(pair->book, command, 0, pair_ours, pair);
    model_apply(pair->model, command, pair_theirs, pair);
    return pair->ours.length == pair->theirs.length &&
           memcmp(pair->ours.bytes, pair->theirs.bytes, pair->ours.length) == 0;
}

static inline bool pair_apply(struct pair *pair, struct market_command *command)
{
    return pair_apply_as(pair, command, 1, ++pair->n);
}

/* Saves the engine and goes on with what comes back; false when it differs. */
static inline bool pair_restore(struct pair *pair, struct err *err)
{
    AUTO_STR saved, again;
    str_init(&saved);
    str_init(&again);
    book_save(pair->book, &saved);
    struct book *restored = book_restore((struct view){saved.bytes, saved.length}, &pair->limits, err);
    if (!restored)
        return false;
    book_save(restored, &again);
    const bool ok = book_hash(restored) == book_hash(pair->book) && saved.length == again.length &&
                    memcmp(saved.bytes, again.bytes, saved.length) == 0;
    book_release(&pair->book);
    pair->book = restored;
    return ok;
}

/* ---- events as words ---- */

static const char *const KIT_KINDS[MARKET_EVENTS] = {
    [MARKET_OPENED] = "opened",
    [MARKET_STARTED] = "started",
    [MARKET_DEPOSITED] = "deposited",
    [MARKET_ACCEPTED] = "accepted",
    [MARKET_REPEATED] = "repeated",
    [MARKET_REJECTED] = "rejected",
    [MARKET_TRADE] = "trade",
    [MARKET_AMENDED] = "amended",
    [MARKET_DONE] = "done",
    [MARKET_HALTED] = "halted",
    [MARKET_CANCELLED_ALL] = "cancelled_all",
    [MARKET_CLOSED] = "closed",
    [MARKET_ACCOUNTS] = "accounts",
    [MARKET_HASH] = "hash",
};

/* Ids of the tests are their names, at most 16 bytes. */
static inline struct uuid kit_id(const char *name)
{
    struct uuid id = {{0}};
    memcpy(id.bytes, name, strnlen(name, sizeof id.bytes));
    return id;
}

static inline void kit_words_of_order(struct str *out, const struct market_event *event)
{
    str_printf(out, " %.16s", (const char *)event->order.order.order_id.bytes);
    if (event->kind == MARKET_AMENDED)
        str_printf(out, " %" PRId64 "@%" PRId64 "%s", event->order.order.quantity, event->order.order.price,
                   event->order.kept_priority ? " kept" : "");
    if (event->order.reason)
        str_printf(out, " %s", market_reason_name(event->order.reason));
    if (event->order.limit)
        str_printf(out, " limit=%" PRId64, event->order.limit);
    if (event->order.filled)
        str_printf(out, " %" PRId64 "=%" PRId64, event->order.filled, event->order.paid);
}

static inline void kit_words(struct str *out, const struct market_event *event)
{
    if (out->length)
        str_add(out, "; ");
    str_add(out, KIT_KINDS[event->kind]);
    switch (event->kind) {
    case MARKET_ACCEPTED:
    case MARKET_REPEATED:
    case MARKET_REJECTED:
    case MARKET_AMENDED:
    case MARKET_DONE:
        kit_words_of_order(out, event);
        break;
    case MARKET_TRADE: /* quantity@price maker/what it has left taker/what it has left */
        str_printf(out, " %" PRId64 "@%" PRId64 " %.16s/%" PRId64 " %.16s/%" PRId64, event->trade.quantity,
                   event->trade.price, (const char *)event->trade.maker_order.bytes, event->trade.maker_remaining,
                   (const char *)event->trade.taker_order.bytes, event->trade.taker_remaining);
        break;
    case MARKET_CANCELLED_ALL:
        str_printf(out, " %" PRId64, event->cancelled_all.count);
        break;
    case MARKET_CLOSED:
        for (int i = 0; i < event->closed.company_count; i++)
            str_printf(out, " %" PRId64, event->closed.last_prices[i]);
        break;
    case MARKET_ACCOUNTS:
        for (uint32_t i = 0; i < event->accounts.count; i++)
            str_printf(out, " %.16s=%" PRId64, (const char *)event->accounts.accounts[i].account.bytes,
                       event->accounts.accounts[i].cash);
        break;
    default:
        break;
    }
}

/* The last command's events, "accepted o1; trade 3@500 o1/2 o2/0; done o2 filled 3=1500". */
static inline bool kit_words_of_record(struct str *out, const struct str *record, struct err *err)
{
    struct arena *arena = arena_open(64 << 20);
    struct market_events events;
    const bool ok = market_events_decode(arena, (struct view){record->bytes, record->length}, &events, err);
    str_clear(out);
    for (uint32_t i = 0; ok && i < events.count; i++)
        kit_words(out, &events.events[i]);
    arena_release(&arena);
    return ok;
}

#endif
