/* events.h - the topics presence-svc listens to, and what it tells.
 *
 * In:  presence.signals (worker: connections and what follows), relations (worker: who is whose friend), accounts
 * (worker: who is gone). Out: presence.changes through the outbox, with n (store_tx_tell). Payloads are described in
 * docs/asyncapi.yaml. */
#ifndef MADANG_PRESENCE_EVENTS_H
#define MADANG_PRESENCE_EVENTS_H

#include "kafka.h"

extern const struct kafka_subscription PRESENCE_SUBSCRIPTIONS[];
extern const char *const PRESENCE_TOPICS[]; /* all it reads or writes, ended by NULL */

#endif
