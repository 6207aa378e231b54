#include "slack_pace.h"

#include "mem.h"

#include <pthread.h>
#include <stdlib.h>

enum { PROBES = 16 };

struct slack_pace {
    int64_t pace_ms;
    pthread_mutex_t lock;
    struct turn {
        uint64_t key; /* FNV-1a; 0: free. Two keys that meet in 64 bits would only wait for each other. */
        int64_t next_ms;
    } turns[PACE_KEYS];
};

struct slack_pace *slack_pace_open(int64_t pace_ms)
{
    struct slack_pace *pace = MEM_NEW(slack_pace);
    pace->pace_ms = pace_ms;
    (void)pthread_mutex_init(&pace->lock, NULL);
    return pace;
}

void slack_pace_release(struct slack_pace **pace)
{
    if (*pace)
        (void)pthread_mutex_destroy(&(*pace)->lock);
    free(*pace);
    *pace = NULL;
}

static uint64_t hash(const char *key)
{
    uint64_t value = 14695981039346656037ULL;
    for (; *key; key++)
        value = (value ^ (unsigned char)*key) * 1099511628211ULL;
    return value ? value : 1;
}

/* Its turn, or one that is free or over; NULL when its neighbourhood is full of turns that count. */
static struct turn *find(struct slack_pace *pace, uint64_t key, int64_t now_ms)
{
    struct turn *room = NULL;
    for (int i = 0; i < PROBES; i++) {
        struct turn *turn = &pace->turns[(key + (uint64_t)i) % PACE_KEYS];
        if (turn->key == key)
            return turn;
        if (!room && (turn->key == 0 || turn->next_ms <= now_ms))
            room = turn;
    }
    if (room)
        *room = (struct turn){.key = key};
    return room;
}

bool slack_pace_take(struct slack_pace *pace, const char *key, int64_t now_ms, int64_t patience_ms, int64_t *wait_ms)
{
    (void)pthread_mutex_lock(&pace->lock);
    struct turn *turn = find(pace, hash(key), now_ms);
    int64_t at_ms = turn && turn->next_ms > now_ms ? turn->next_ms : now_ms;
    *wait_ms = turn ? at_ms - now_ms : pace->pace_ms;
    bool taken = turn && *wait_ms <= patience_ms;
    if (taken)
        turn->next_ms = at_ms + pace->pace_ms;
    (void)pthread_mutex_unlock(&pace->lock);
    return taken;
}

void slack_pace_hold(struct slack_pace *pace, const char *key, int64_t now_ms, int64_t until_ms)
{
    (void)pthread_mutex_lock(&pace->lock);
    struct turn *turn = find(pace, hash(key), now_ms);
    if (turn && turn->next_ms < until_ms)
        turn->next_ms = until_ms;
    (void)pthread_mutex_unlock(&pace->lock);
}

int64_t slack_pace_held_ms(struct slack_pace *pace, const char *key, int64_t now_ms)
{
    int64_t held_ms = 0;
    (void)pthread_mutex_lock(&pace->lock);
    const uint64_t wanted = hash(key);
    for (int i = 0; i < PROBES; i++) {
        const struct turn *turn = &pace->turns[(wanted + (uint64_t)i) % PACE_KEYS];
        if (turn->key == wanted && turn->next_ms > now_ms)
            held_ms = turn->next_ms - now_ms;
    }
    (void)pthread_mutex_unlock(&pace->lock);
    return held_ms;
}
