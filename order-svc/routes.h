/* routes.h - the API of order-svc at a glance, and the topics that every instance hears for it. */
#ifndef MADANG_ORDER_ROUTES_H
#define MADANG_ORDER_ROUTES_H

#include "http.h"
#include "kafka.h"

extern const struct route ORDER_ROUTES[];
extern const handler_fn ORDER_QUICK[];                 /* orders: mostly microseconds, no store */
extern const struct kafka_listening ORDER_LISTENING[]; /* verdicts */

#endif
