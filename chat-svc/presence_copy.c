#include "presence_copy.h"

#include "arena.h"
#include "clock.h"
#include "json.h"
#include "mem.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct entry {
    struct entry *next;
    struct uuid id;
    struct presence_state state;
};

struct presence {
    pthread_mutex_t lock;
    struct entry **buckets;
    size_t room, count;
};

struct presence_wire {
    const char *kind, *user_id, *last_seen;
    bool online, visible, show_last_seen;
    int64_t n;
};
static const struct field PRESENCE_FIELDS[] = {
    FIELD_TEXT(struct presence_wire, kind, .required = true),
    FIELD_UUID(struct presence_wire, user_id, .required = true),
    FIELD_TEXT(struct presence_wire, last_seen, .nullable = true),
    FIELD_BOOL(struct presence_wire, online, .required = true),
    FIELD_BOOL(struct presence_wire, visible),
    FIELD_BOOL(struct presence_wire, show_last_seen),
    FIELD_I64(struct presence_wire, n, .required = true, .min = 0, .max = INT64_MAX),
    {0},
};

struct presence *presence_open(void)
{
    struct presence *presence = MEM_NEW(presence);
    (void)pthread_mutex_init(&presence->lock, NULL);
    presence->room = 1024;
    presence->buckets = mem_new(presence->room, sizeof *presence->buckets);
    return presence;
}

void presence_release(struct presence **presence)
{
    struct presence *p = *presence;
    if (!p)
        return;
    for (size_t i = 0; i < p->room; i++) {
        for (struct entry *at = p->buckets[i], *next; at; at = next) {
            next = at->next;
            free(at);
        }
    }
    free(p->buckets);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
    *presence = NULL;
}

static size_t place(const struct uuid *id, size_t room)
{
    uint64_t word;
    memcpy(&word, id->bytes + 8, sizeof word); /* the random half of a UUIDv7 */
    return (size_t)((word * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (room - 1);
}

static struct entry *find(const struct presence *presence, const struct uuid *id)
{
    struct entry *at = presence->buckets[place(id, presence->room)];
    while (at && memcmp(&at->id, id, sizeof *id) != 0)
        at = at->next;
    return at;
}

static void grow(struct presence *presence)
{
    const size_t room = presence->room * 2;
    struct entry **buckets = mem_new(room, sizeof *buckets);
    for (size_t i = 0; i < presence->room; i++) {
        for (struct entry *at = presence->buckets[i], *next; at; at = next) {
            next = at->next;
            struct entry **bucket = &buckets[place(&at->id, room)];
            at->next = *bucket;
            *bucket = at;
        }
    }
    free(presence->buckets);
    presence->buckets = buckets;
    presence->room = room;
}

static struct entry *find_or_make(struct presence *presence, const struct uuid *id)
{
    struct entry *entry = find(presence, id);
    if (entry)
        return entry;
    if (presence->count++ == presence->room)
        grow(presence);
    entry = MEM_NEW(entry);
    entry->id = *id;
    entry->state.n = -1;
    struct entry **bucket = &presence->buckets[place(id, presence->room)];
    entry->next = *bucket;
    *bucket = entry;
    return entry;
}

/* "2026-01-31T23:59:59.123Z"; 0 for anything else. */
static int64_t parse_time(const char *text)
{
    struct tm tm = {0};
    int ms = 0;
    if (!text || sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
                        &tm.tm_min, &tm.tm_sec, &ms) < 6)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (int64_t)timegm(&tm) * 1000 + ms;
}

bool presence_take(struct presence *presence, const struct kafka_record *record, char user_id[UUID_TEXT_BYTES],
                   struct presence_state *was, struct presence_state *now)
{
    struct presence_wire wire;
    struct err err = {0};
    struct uuid id;
    AUTO(arena) arena = arena_open((size_t)64 << 10);
    if (!record->payload.bytes || !JSON_DECODE_LENIENT(arena, record->payload, PRESENCE_FIELDS, &wire, &err) ||
        strcmp(wire.kind, "presence") != 0 || !uuid_parse(wire.user_id, &id))
        return false;
    (void)pthread_mutex_lock(&presence->lock);
    struct entry *entry = find_or_make(presence, &id);
    const bool fresh = wire.n > entry->state.n;
    if (was) {
        *was = entry->state;
        was->n = was->n < 0 ? 0 : was->n;
    }
    if (fresh)
        entry->state = (struct presence_state){.online = wire.online,
                                               .visible = wire.visible,
                                               .show_last_seen = wire.show_last_seen,
                                               .last_seen_ms = parse_time(wire.last_seen),
                                               .n = wire.n};
    if (now)
        *now = entry->state;
    (void)pthread_mutex_unlock(&presence->lock);
    (void)snprintf(user_id, UUID_TEXT_BYTES, "%s", wire.user_id);
    return fresh;
}

struct presence_state presence_of(const struct presence *presence, const char *user_id)
{
    struct presence *p = (struct presence *)(uintptr_t)presence;
    struct presence_state state = {0};
    struct uuid id;
    if (!uuid_parse(user_id, &id))
        return state;
    (void)pthread_mutex_lock(&p->lock);
    const struct entry *entry = find(p, &id);
    if (entry)
        state = entry->state;
    (void)pthread_mutex_unlock(&p->lock);
    return state;
}

bool presence_online(const struct presence *presence, const char *user_id)
{
    return presence_of(presence, user_id).online;
}
