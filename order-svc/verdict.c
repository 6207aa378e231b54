#include "verdict.h"

#include "mem.h"
#include "problems.h"

#include <string.h>

/* Reasons of refusals; the others end an order that was taken. */
static const struct problem *const PROBLEM_OF[REASONS] = {
    [REASON_MARKET_CLOSED] = &ERR_MARKET_CLOSED,
    [REASON_HALTED] = &ERR_HALTED,
    [REASON_UNKNOWN_COMPANY] = &ERR_UNKNOWN_COMPANY,
    [REASON_BAD_TICK] = &ERR_BAD_TICK,
    [REASON_BAD_PRICE] = &ERR_BAD_PRICE,
    [REASON_BAD_QUANTITY] = &ERR_BAD_QUANTITY,
    [REASON_INSUFFICIENT_CASH] = &ERR_INSUFFICIENT_CASH,
    [REASON_INSUFFICIENT_SHARES] = &ERR_INSUFFICIENT_SHARES,
    [REASON_TOO_LARGE] = &ERR_ORDER_TOO_LARGE,
    [REASON_WOULD_CROSS] = &ERR_WOULD_CROSS,
    [REASON_NOT_FOUND] = &ERR_NOT_FOUND,
    [REASON_ORDER_DONE] = &ERR_ORDER_DONE,
    [REASON_OVERFLOW] = &ERR_OVERFLOW,
};

const struct problem *verdict_problem(enum market_reason reason)
{
    return (unsigned)reason < REASONS ? PROBLEM_OF[reason] : NULL;
}

enum order_status verdict_status(enum market_reason reason, int64_t filled)
{
    if (reason == REASON_NONE)
        return filled > 0 ? ORDER_PARTIAL : ORDER_OPEN;
    if (verdict_problem(reason))
        return ORDER_REJECTED;
    return reason == REASON_FILLED ? ORDER_FILLED : ORDER_CANCELLED;
}

static bool is_about_an_order(int kind)
{
    return kind == MARKET_ACCEPTED || kind == MARKET_REPEATED || kind == MARKET_REJECTED || kind == MARKET_AMENDED ||
           kind == MARKET_DONE;
}

static void begin(struct verdict *verdict, const struct market_event *event)
{
    verdict->order_id = event->order.order.order_id;
    verdict->order = event->order.order;
    verdict->remaining = event->order.remaining;
    verdict->filled = event->order.filled;
    verdict->paid = event->order.paid;
    verdict->reason = event->order.reason;
    verdict->limit = event->order.limit;
    verdict->repeated = event->kind == MARKET_REPEATED;
    verdict->refused = event->kind == MARKET_REJECTED || (verdict->repeated && verdict_problem(verdict->reason));
}

/* What the order took, and its end. */
static void go_on(struct verdict *verdict, const struct market_event *event)
{
    if (event->kind == MARKET_TRADE &&
        memcmp(&event->trade.taker_order, &verdict->order_id, sizeof verdict->order_id) == 0) {
        verdict->filled += event->trade.quantity;
        verdict->remaining -= event->trade.quantity;
        verdict->paid += event->trade.price * event->trade.quantity;
    } else if (event->kind == MARKET_DONE &&
               memcmp(&event->order.order.order_id, &verdict->order_id, sizeof verdict->order_id) == 0) {
        begin(verdict, event);
    }
}

bool verdict_of(const struct market_events *events, struct verdict *verdict, struct err *err)
{
    uint32_t i = 0;
    while (i < events->count && !is_about_an_order(events->events[i].kind))
        i++;
    if (i == events->count)
        return err_set_internal(err, &ERR_INTERNAL, "a record without a verdict");
    *verdict = (struct verdict){.at_ms = events->at_ms};
    begin(verdict, &events->events[i]);
    const struct view client_order_id = verdict->order.client_order_id;
    for (i++; i < events->count; i++)
        go_on(verdict, &events->events[i]);
    if (client_order_id.length) /* the end of an order does not tell it again */
        verdict->order.client_order_id = client_order_id;
    verdict->status = verdict_status(verdict->reason, verdict->filled);
    return true;
}

bool verdict_of_all(const struct market_events *events, int64_t *count, struct err *err)
{
    for (uint32_t i = 0; i < events->count; i++) {
        if (events->events[i].kind != MARKET_CANCELLED_ALL)
            continue;
        *count = events->events[i].cancelled_all.count;
        return true;
    }
    return err_set_internal(err, &ERR_INTERNAL, "a record without a count");
}
