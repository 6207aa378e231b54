/* events.h - the topics user-svc listens to, and the events it publishes (through the outbox).
 *
 * In:  accounts (worker): the read copy in table people.
 * Out: profiles, relations (both with the row's version), notify.requests (friend_request, friend_accepted).
 * Payloads are described in docs/asyncapi.yaml. Ownership: what event_* returns lives in the arena. */
#ifndef MADANG_USER_EVENTS_H
#define MADANG_USER_EVENTS_H

#include "outbox.h"
#include "store.h"

extern const struct kafka_subscription USER_SUBSCRIPTIONS[];
extern const char *const USER_TOPICS[]; /* all it reads or writes, ended by NULL */

struct outbox_event event_profile(struct arena *arena, const struct profile *profile, const struct origin *origin);

/* The pair (a, b), a < b, as it stands now. */
struct outbox_event event_relation(struct arena *arena, const char *a, const char *b, const struct relation *relation,
                                   const struct origin *origin);

/* What `from` did is told to `to`. `version` is the relation's: with it the notice is the same however often it is
 * sent. */
struct outbox_event event_notice(struct arena *arena, enum relation_notice notice, const struct person *from,
                                 const char *to, const char *to_locale, int64_t version, const struct origin *origin);

#endif
