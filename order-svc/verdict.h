/* verdict.h - what became of a command, read from its record of market.events. Pure.
 *
 * All events of a command are in one record: the first that names an order is the verdict (accepted, repeated,
 * rejected, amended, done), and what the order took at once and how it ended follow it. */
#ifndef MADANG_ORDER_VERDICT_H
#define MADANG_ORDER_VERDICT_H

#include "codec.h"

struct verdict {
    struct uuid order_id;
    struct market_order order; /* client_order_id points into the record */
    int64_t remaining, filled, paid;
    enum order_status status;
    enum market_reason reason; /* of the end, or of the refusal */
    bool refused;              /* the command was refused; of an order that was rejected before and comes again, too */
    bool repeated;
    int64_t limit; /* of too_large: the most that would be taken */
    int64_t at_ms; /* of the command, by the log */
};

/* ERR_INTERNAL when the record has no verdict on an order. */
bool verdict_of(const struct market_events *events, struct verdict *verdict, struct err *err);
/* How many orders CANCEL_ALL ended. */
bool verdict_of_all(const struct market_events *events, int64_t *count, struct err *err);

/* NULL: the reason is no refusal. */
const struct problem *verdict_problem(enum market_reason reason);
/* The status of an order that ended for this reason, or stands (REASON_NONE). */
enum order_status verdict_status(enum market_reason reason, int64_t filled);

#endif
