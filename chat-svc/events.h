/* events.h - the topics that chat-svc reads: as a worker (shared, writes the schema) and as a listener (every instance,
 * for its memory). */
#ifndef MADANG_CHAT_EVENTS_H
#define MADANG_CHAT_EVENTS_H

#include "kafka.h"

extern const char *const CHAT_TOPICS[];
extern const struct kafka_subscription CHAT_SUBSCRIPTIONS[];
extern const struct kafka_listening CHAT_LISTENING[];

#endif
