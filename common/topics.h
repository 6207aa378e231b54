/* topics.h - every topic: partitions, retention, key. The payloads are described in docs/asyncapi.yaml.
 * Partition counts are fixed at creation: keys must never move. */
#ifndef MADANG_TOPICS_H
#define MADANG_TOPICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topic {
    const char *name;
    int partitions;
    int64_t retention_ms; /* of delete-policy topics */
    bool compacted;
    const char *key;
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

#define HOURS_MS(n) ((int64_t)(n)*3600 * 1000)

static const struct topic TOPICS[] = {
    /* name                partitions retention       compacted key */
    {TOPIC_ACCOUNTS, 6, 0, true, "user id"},
    {TOPIC_PROFILES, 6, 0, true, "user id"},
    {TOPIC_RELATIONS, 6, 0, true, "both user ids, smaller first, joined by ':'"},
    {TOPIC_SESSIONS_ENDED, 6, HOURS_MS(24), false, "user id"},
    {TOPIC_CHAT_INBOUND, 6, HOURS_MS(24 * 7), false, "room id"},
    {TOPIC_CHAT_EVENTS, 6, HOURS_MS(24 * 3), false, "room id"},
    {TOPIC_PRESENCE_SIGNALS, 6, HOURS_MS(1), false, "user id"},
    {TOPIC_PRESENCE_CHANGES, 6, 0, true, "user id"},
    {TOPIC_NOTIFY_REQUESTS, 6, HOURS_MS(24 * 7), false, "user id, or hash of an address"},
    {TOPIC_NOTIFY_SETTINGS, 6, 0, true, "user id"},
    {TOPIC_PUSH_REQUESTS, 6, HOURS_MS(24), false, "user id"},
    {NULL, 0, 0, false, NULL},
};

#endif
