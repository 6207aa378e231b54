#include "market_wire.h"

#include <stddef.h>

/* version 1, market 16, command_offset 8, at_ms 8, first_seq 8, then the count of events */
enum { COUNT_AT = 41, COUNT_BYTES = 4, ACCOUNT_BYTES = 25 };

static const char *const REASON_NAMES[REASONS] = {
    [REASON_NONE] = "none",
    [REASON_MARKET_CLOSED] = "market_closed",
    [REASON_HALTED] = "halted",
    [REASON_UNKNOWN_COMPANY] = "unknown_company",
    [REASON_BAD_TICK] = "bad_tick",
    [REASON_BAD_PRICE] = "bad_price",
    [REASON_BAD_QUANTITY] = "bad_quantity",
    [REASON_INSUFFICIENT_CASH] = "insufficient_cash",
    [REASON_INSUFFICIENT_SHARES] = "insufficient_shares",
    [REASON_TOO_LARGE] = "too_large",
    [REASON_WOULD_CROSS] = "would_cross",
    [REASON_NOT_FOUND] = "not_found",
    [REASON_ORDER_DONE] = "order_done",
    [REASON_FILLED] = "filled",
    [REASON_CANCELLED] = "cancelled",
    [REASON_UNFILLED] = "unfilled",
    [REASON_SELF_TRADE] = "self_trade",
    [REASON_ROUND_CLOSED] = "round_closed",
    [REASON_OVERFLOW] = "overflow",
};

const char *market_reason_name(enum market_reason reason)
{
    return (unsigned)reason < REASONS ? REASON_NAMES[reason] : "unknown";
}

/* ---- each kind's body ---- */

static void put_nothing(struct str *out, const struct market_event *event)
{
    (void)out;
    (void)event;
}

static void take_nothing(struct arena *arena, struct wire *wire, struct market_event *event)
{
    (void)arena;
    (void)wire;
    (void)event;
}

static void put_opened(struct str *out, const struct market_event *event)
{
    wire_put_rules(out, &event->opened);
}

static void take_opened(struct arena *arena, struct wire *wire, struct market_event *event)
{
    (void)arena;
    wire_rules(wire, &event->opened);
}

static void put_order(struct str *out, const struct market_event *event)
{
    wire_put_order(out, &event->order.order);
    wire_put(out, (uint64_t)event->order.remaining, 8);
    wire_put(out, (uint64_t)event->order.filled, 8);
    wire_put(out, (uint64_t)event->order.paid, 8);
    wire_put(out, event->order.command, 1);
    wire_put(out, event->order.reason, 1);
    wire_put(out, event->order.kept_priority, 1);
    wire_put(out, (uint64_t)event->order.limit, 8);
}

static void take_order(struct arena *arena, struct wire *wire, struct market_event *event)
{
    (void)arena;
    wire_order(wire, &event->order.order);
    event->order.remaining = wire_i64(wire);
    event->order.filled = wire_count(wire);
    event->order.paid = wire_count(wire);
    event->order.command = wire_enum(wire, MARKET_COMMANDS);
    event->order.reason = wire_enum(wire, REASONS);
    event->order.kept_priority = wire_bool(wire);
    event->order.limit = wire_count(wire);
}

static void put_trade(struct str *out, const struct market_event *event)
{
    wire_put(out, event->trade.company, 1);
    wire_put(out, event->trade.taker_side, 1);
    wire_put(out, (uint64_t)event->trade.number, 8);
    wire_put(out, (uint64_t)event->trade.price, 8);
    wire_put(out, (uint64_t)event->trade.quantity, 8);
    wire_put_uuid(out, &event->trade.maker_order);
    wire_put_uuid(out, &event->trade.taker_order);
    wire_put_uuid(out, &event->trade.maker);
    wire_put_uuid(out, &event->trade.taker);
    wire_put(out, (uint64_t)event->trade.maker_remaining, 8);
    wire_put(out, (uint64_t)event->trade.taker_remaining, 8);
}

static void take_trade(struct arena *arena, struct wire *wire, struct market_event *event)
{
    (void)arena;
    event->trade.company = wire_enum(wire, MARKET_COMPANIES_MAX);
    event->trade.taker_side = wire_enum(wire, SIDE_SELL + 1);
    event->trade.number = wire_count(wire);
    event->trade.price = wire_count(wire);
    event->trade.quantity = wire_count(wire);
    event->trade.maker_order = wire_uuid(wire);
    event->trade.taker_order = wire_uuid(wire);
    event->trade.maker = wire_uuid(wire);
    event->trade.taker = wire_uuid(wire);
    event->trade.maker_remaining = wire_count(wire);
    event->trade.taker_remaining = wire_count(wire);
}

static void put_deposit(struct str *out, const struct market_event *event)
{
    wire_put_uuid(out, &event->deposit.deposit_id);
    wire_put_uuid(out, &event->deposit.account);
    wire_put(out, (uint64_t)event->deposit.cash, 8);
    wire_put_shares(out, event->deposit.company_count, event->deposit.shares);
}

static void take_deposit(struct arena *arena, struct wire *wire, struct market_event *event)
{
    (void)arena;
    event->deposit.deposit_id = wire_uuid(wire);
    event->deposit.account = wire_uuid(wire);
    event->deposit.cash = wire_count(wire);
    event->deposit.company_count = wire_shares(wire, event->deposit.shares);
}

static void put_halted(struct str *out, const struct market_event *event)
{
    wire_put(out, event->halt.company, 1);
    wire_put(out, event->halt.on, 1);
}

static void take_halted(struct arena *arena, struct wire *wire, struct market_event *event)
{
    (void)arena;
    event->halt.company = wire_enum(wire, MARKET_COMPANIES_MAX);
    event->halt.on = wire_bool(wire);
}

static void put_cancelled_all(struct str *out, const struct market_event *event)
{
    wire_put_uuid(out, &event->cancelled_all.account);
    wire_put(out, (uint64_t)event->cancelled_all.count, 8);
}

static void take_cancelled_all(struct arena *arena, struct wire *wire, struct market_event *event)
{
    (void)arena;
    event->cancelled_all.account = wire_uuid(wire);
    event->cancelled_all.count = wire_count(wire);
}

static void put_closed(struct str *out, const struct market_event *event)
{
    wire_put_shares(out, event->closed.company_count, event->closed.last_prices);
}

static void take_closed(struct arena *arena, struct wire *wire, struct market_event *event)
{
    (void)arena;
    event->closed.company_count = wire_shares(wire, event->closed.last_prices);
}

static void put_accounts(struct str *out, const struct market_event *event)
{
    str_reserve(out, 4 + (size_t)event->accounts.count * ACCOUNT_BYTES);
    wire_put(out, event->accounts.count, 4);
    for (uint32_t i = 0; i < event->accounts.count; i++) {
        const struct market_account *account = &event->accounts.accounts[i];
        wire_put_uuid(out, &account->account);
        wire_put(out, account->bot, 1);
        wire_put(out, (uint64_t)account->cash, 8);
    }
}

static void take_accounts(struct arena *arena, struct wire *wire, struct market_event *event)
{
    const uint64_t count = wire_take(wire, 4);
    if (count > MARKET_ACCOUNTS_PER_EVENT)
        wire->bad = true;
    struct market_account *accounts = wire->bad || !count ? NULL : arena_try(arena, count * sizeof *accounts);
    if (!accounts) {
        wire->bad |= count > 0;
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        accounts[i].account = wire_uuid(wire);
        accounts[i].bot = wire_bool(wire);
        accounts[i].cash = wire_count(wire);
    }
    event->accounts.count = (uint32_t)count;
    event->accounts.accounts = accounts;
}

static void put_hash(struct str *out, const struct market_event *event)
{
    wire_put(out, event->hash.commands, 8);
    wire_put(out, event->hash.hash, 8);
}

static void take_hash(struct arena *arena, struct wire *wire, struct market_event *event)
{
    (void)arena;
    event->hash.commands = wire_take(wire, 8);
    event->hash.hash = wire_take(wire, 8);
}

static const struct {
    void (*put)(struct str *out, const struct market_event *event);
    void (*take)(struct arena *arena, struct wire *wire, struct market_event *event);
} EVENT_FORMS[MARKET_EVENTS] = {
    [MARKET_OPENED] = {put_opened, take_opened},
    [MARKET_STARTED] = {put_nothing, take_nothing},
    [MARKET_DEPOSITED] = {put_deposit, take_deposit},
    [MARKET_ACCEPTED] = {put_order, take_order},
    [MARKET_REPEATED] = {put_order, take_order},
    [MARKET_REJECTED] = {put_order, take_order},
    [MARKET_TRADE] = {put_trade, take_trade},
    [MARKET_AMENDED] = {put_order, take_order},
    [MARKET_DONE] = {put_order, take_order},
    [MARKET_HALTED] = {put_halted, take_halted},
    [MARKET_CANCELLED_ALL] = {put_cancelled_all, take_cancelled_all},
    [MARKET_CLOSED] = {put_closed, take_closed},
    [MARKET_ACCOUNTS] = {put_accounts, take_accounts},
    [MARKET_HASH] = {put_hash, take_hash},
};

/* ---- the record ---- */

void market_events_begin(struct str *out, const struct uuid *market, int64_t command_offset, int64_t at_ms,
                         int64_t first_seq)
{
    wire_put(out, MARKET_VERSION, 1);
    wire_put_uuid(out, market);
    wire_put(out, (uint64_t)command_offset, 8);
    wire_put(out, (uint64_t)at_ms, 8);
    wire_put(out, (uint64_t)first_seq, 8);
    wire_put(out, 0, COUNT_BYTES);
}

void market_events_add(struct str *out, const struct market_event *event)
{
    wire_put(out, event->kind, 1);
    EVENT_FORMS[event->kind].put(out, event);
    for (int i = COUNT_AT; i < COUNT_AT + COUNT_BYTES; i++) /* plus one, with carry */
        if ((out->bytes[i] = (char)(out->bytes[i] + 1)) != 0)
            break;
}

static bool take_event(struct arena *arena, struct wire *wire, struct market_event *event)
{
    event->kind = wire_enum(wire, MARKET_EVENTS);
    if (wire->bad || !EVENT_FORMS[event->kind].take)
        return false;
    EVENT_FORMS[event->kind].take(arena, wire, event);
    return !wire->bad;
}

/* What stands before the events. False when it is none, or counts events that can't be there. */
static bool take_head(struct wire *wire, struct market_events *events)
{
    *events = (struct market_events){0};
    if (wire_take(wire, 1) != MARKET_VERSION)
        wire->bad = true;
    events->market = wire_uuid(wire);
    events->command_offset = wire_count(wire);
    events->at_ms = wire_count(wire);
    events->first_seq = wire_count(wire);
    events->count = (uint32_t)wire_take(wire, COUNT_BYTES);
    /* An event has at least its kind, so a count above the bytes left is a lie, found before memory is taken for it. */
    return !wire->bad && events->first_seq > 0 && events->first_seq <= INT64_MAX - events->count &&
           events->count <= (size_t)(wire->end - wire->at);
}

static struct wire wire_over(struct view bytes)
{
    const unsigned char *start = (const unsigned char *)bytes.bytes;
    return (struct wire){start, start + bytes.length, bytes.length > MARKET_RECORD_MAX};
}

bool market_events_head(struct view bytes, struct market_events *events, int *first_kind)
{
    struct wire wire = wire_over(bytes);
    const bool ok = take_head(&wire, events);
    *first_kind = ok && events->count ? *wire.at : 0;
    return ok;
}

bool market_events_decode(struct arena *arena, struct view bytes, struct market_events *events, struct err *err)
{
    struct wire wire = wire_over(bytes);
    bool ok = take_head(&wire, events);
    if (ok && events->count)
        ok = (events->events = arena_try(arena, events->count * sizeof *events->events)) != NULL;
    for (uint32_t i = 0; ok && i < events->count; i++) {
        events->events[i].seq = events->first_seq + i;
        ok = take_event(arena, &wire, &events->events[i]);
    }
    if (!ok || wire.at != wire.end)
        return err_set(err, &ERR_BAD_INPUT, "not a record of a market's events (%zu bytes)", bytes.length);
    return true;
}
