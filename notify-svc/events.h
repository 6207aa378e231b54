/* events.h - the topics notify-svc listens to, and the events it publishes (through the outbox).
 *
 * In:  notify.requests (worker): notices, deliveries, push. accounts (worker): the read copy. sessions.ended (worker:
 * cookies of streams; listener: open streams end with the reason). Out: push.requests, notify.settings (compacted).
 * Payloads are described in docs/asyncapi.yaml. Ownership: what event_* returns lives in the arena. */
#ifndef MADANG_NOTIFY_EVENTS_H
#define MADANG_NOTIFY_EVENTS_H

#include "outbox.h"
#include "store.h"

extern const struct kafka_subscription NOTIFY_SUBSCRIPTIONS[];
extern const struct kafka_listening NOTIFY_LISTENING[];
extern const char *const NOTIFY_TOPICS[]; /* all it reads or writes, ended by NULL */

struct push_notice {
    const char *user_id, *notice_id, *title, *body;
    const struct notice_request *request;
    struct origin origin;
};
struct outbox_event event_push(struct arena *arena, const struct push_notice *push);

struct outbox_event event_settings(struct arena *arena, const char *user_id, const struct settings *settings,
                                   const struct origin *origin);

#endif
