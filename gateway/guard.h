/* guard.h - may this request pass? Limits, route, origin, token, role, size: in this order, cheapest first. */
#ifndef GATEWAY_GUARD_H
#define GATEWAY_GUARD_H

#include "exchange.h"

/* Looks at loop->request. True: x->route is set (or guard_answer will answer). False: err says why not. */
bool guard_admit(struct exchange *exchange, struct err *err);
/* What the gateway answers itself: preflights and documents. True: done, the exchange is gone. */
bool guard_answer(struct exchange *exchange);

#endif
