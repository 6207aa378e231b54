/* events.h - the topics push-svc hears. It publishes none.
 *
 * In: accounts (withdrawn, locale), sessions.ended (devices go), presence.changes (the last look), notify.settings
 * (quiet hours), push.requests (what to send). Payloads are described in docs/asyncapi.yaml. */
#ifndef MADANG_PUSH_EVENTS_H
#define MADANG_PUSH_EVENTS_H

#include "kafka.h"

extern const struct kafka_subscription PUSH_SUBSCRIPTIONS[];
extern const char *const PUSH_TOPICS[]; /* all it reads, ended by NULL */

#endif
