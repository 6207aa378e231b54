/* topics.h - every topic: partitions, retention, key. The payloads are described in docs/asyncapi.yaml.
 * Partition counts are fixed at creation: keys must never move. */
#ifndef MADANG_TOPICS_H
#define MADANG_TOPICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topic {
    const char *name;
    int partitions;       /* TOPIC_SPREAD: as many as KAFKA_PARTITIONS says where it is made */
    int64_t retention_ms; /* of delete-policy topics */
    bool compacted;
    const char *key;
    bool broker_time;  /* records carry the broker's time of appending (LogAppendTime), not their sender's */
    bool dead_letters; /* a worker may put a record aside: <name>.dlq */
};

#define TOPIC_ACCOUNTS "accounts"
#define TOPIC_PROFILES "profiles"
#define TOPIC_RELATIONS "relations"
#define TOPIC_SESSIONS_ENDED "sessions.ended"
#define TOPIC_CHAT_INBOUND "chat.inbound"
#define TOPIC_CHAT_EVENTS "chat.events"
#define TOPIC_PRESENCE_SIGNALS "presence.signals"
#define TOPIC_PRESENCE_CHANGES "presence.changes"
#define TOPIC_NOTIFY_REQUESTS "notify.requests"
#define TOPIC_NOTIFY_SETTINGS "notify.settings"
#define TOPIC_PUSH_REQUESTS "push.requests"
#define TOPIC_MARKET_COMMANDS "market.commands"
#define TOPIC_MARKET_EVENTS "market.events"
#define TOPIC_MARKET_DEPTH "market.depth"
#define TOPIC_GAME_EVENTS "game.events"

#define HOURS_MS(n) ((int64_t)(n)*3600 * 1000)

#define TOPIC_SPREAD 0
/* More partitions: more instances share the work. Fewer: fewer requests, of which each costs the broker the same. */
enum { TOPIC_SPREAD_NORMALLY = 6 };

static const struct topic TOPICS[] = {
    /* name        partitions    retention       compacted key */
    {TOPIC_ACCOUNTS, TOPIC_SPREAD, 0, true, "user id", false, false},
    {TOPIC_PROFILES, TOPIC_SPREAD, 0, true, "user id", false, false},
    {TOPIC_RELATIONS, TOPIC_SPREAD, 0, true, "both user ids, smaller first, joined by ':'", false, false},
    {TOPIC_SESSIONS_ENDED, TOPIC_SPREAD, HOURS_MS(24), false, "user id", false, true},
    {TOPIC_CHAT_INBOUND, TOPIC_SPREAD, HOURS_MS(24 * 7), false, "room id", false, true},
    {TOPIC_CHAT_EVENTS, TOPIC_SPREAD, HOURS_MS(24 * 3), false, "room id", false, false},
    {TOPIC_PRESENCE_SIGNALS, TOPIC_SPREAD, HOURS_MS(1), false, "user id", false, true},
    {TOPIC_PRESENCE_CHANGES, TOPIC_SPREAD, 0, true, "user id", false, false},
    {TOPIC_NOTIFY_REQUESTS, TOPIC_SPREAD, HOURS_MS(24 * 7), false, "user id, or hash of an address", false, true},
    {TOPIC_NOTIFY_SETTINGS, TOPIC_SPREAD, 0, true, "user id", false, false},
    {TOPIC_PUSH_REQUESTS, TOPIC_SPREAD, HOURS_MS(24), false, "user id", false, true},
    /* As many partitions each: the events of a command stand in the partition of its number. */
    {TOPIC_MARKET_COMMANDS, TOPIC_SPREAD, HOURS_MS(24 * 30), false, "market id", true, false},
    {TOPIC_MARKET_EVENTS, TOPIC_SPREAD, HOURS_MS(24 * 30), false, "market id", false, false},
    {TOPIC_MARKET_DEPTH, TOPIC_SPREAD, 0, true, "company id", false, false},
    {TOPIC_GAME_EVENTS, TOPIC_SPREAD, HOURS_MS(24 * 30), false, "market id", false, true},
    {NULL, 0, 0, false, NULL, false, false},
};

#endif
