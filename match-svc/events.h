/* events.h - the topics of match-svc: what exists, what the owner works on, what every instance hears. */
#ifndef MADANG_MATCH_EVENTS_H
#define MADANG_MATCH_EVENTS_H

#include "kafka.h"

extern const char *const MATCH_TOPICS[];
extern const struct kafka_subscription MATCH_SUBSCRIPTIONS[];
extern const struct kafka_listening MATCH_LISTENING[];

#endif
