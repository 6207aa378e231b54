/* events.h - the topics of order-svc and what its workers do with them. */
#ifndef MADANG_ORDER_EVENTS_H
#define MADANG_ORDER_EVENTS_H

#include "kafka.h"

extern const char *const ORDER_TOPICS[];
extern const struct kafka_subscription ORDER_SUBSCRIPTIONS[];

#endif
