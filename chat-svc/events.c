#include "events.h"

#include "announce.h"
#include "copies.h"
#include "hub.h"
#include "owner.h"
#include "topics.h"

const char *const CHAT_TOPICS[] = {TOPIC_ACCOUNTS,
                                   TOPIC_PROFILES,
                                   TOPIC_RELATIONS,
                                   TOPIC_SESSIONS_ENDED,
                                   TOPIC_CHAT_INBOUND,
                                   TOPIC_CHAT_EVENTS,
                                   TOPIC_PRESENCE_SIGNALS,
                                   TOPIC_PRESENCE_CHANGES,
                                   TOPIC_NOTIFY_REQUESTS,
                                   TOPIC_PUSH_REQUESTS,
                                   TOPIC_MARKET_EVENTS,
                                   TOPIC_GAME_EVENTS,
                                   NULL};

const struct kafka_subscription CHAT_SUBSCRIPTIONS[] = {
    {.topic = TOPIC_ACCOUNTS, .apply = copies_accounts, .batch_max = 200, .poison = POISON_STOP},
    {.topic = TOPIC_PROFILES, .apply = copies_profiles, .batch_max = 200, .poison = POISON_STOP},
    {.topic = TOPIC_RELATIONS, .apply = copies_relations, .batch_max = 200, .poison = POISON_STOP},
    {.topic = TOPIC_CHAT_INBOUND,
     .apply = owner_apply,
     .apply_together = owner_apply_together,
     .poison = POISON_DEAD_LETTER,
     .assigned = owner_assigned,
     .revoked = owner_revoked},
    {.topic = TOPIC_GAME_EVENTS, .apply = announce_apply, .batch_max = 200, .poison = POISON_DEAD_LETTER},
    {0},
};

/* The events of a market are many, and who is told of them looks at a screen; chat does not wait for them. The others
 * share their consumer, though they are few: the broker looks at every partition of a fetch each time it is answered,
 * and messages are answered often. */
enum { GATHER_MS = 20 };

const struct kafka_listening CHAT_LISTENING[] = {
    {.topic = TOPIC_CHAT_EVENTS, .hear = hub_hear_events, .from = LISTEN_FROM_NOW},
    {.topic = TOPIC_PRESENCE_CHANGES, .hear = hub_hear_presence, .from = LISTEN_FROM_START, .gather_ms = GATHER_MS},
    {.topic = TOPIC_RELATIONS, .hear = hub_hear_relations, .from = LISTEN_FROM_NOW, .gather_ms = GATHER_MS},
    {.topic = TOPIC_SESSIONS_ENDED, .hear = hub_hear_ended, .from = LISTEN_FROM_NOW, .gather_ms = GATHER_MS},
    {.topic = TOPIC_MARKET_EVENTS, .hear = hub_hear_market, .from = LISTEN_FROM_NOW, .gather_ms = GATHER_MS},
    {.topic = TOPIC_GAME_EVENTS, .hear = hub_hear_game, .from = LISTEN_FROM_NOW, .gather_ms = GATHER_MS},
    {0},
};
