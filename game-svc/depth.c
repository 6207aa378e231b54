#include "depth.h"

#include "json.h"
#include "mem.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* More companies than this are no running markets': the oldest (ids grow with time) makes room. */
enum { COMPANIES_KEPT = 1024, RECORD_ARENA_BYTES = 256 * 1024 };

struct depth {
    pthread_mutex_t lock;
    struct depth_state *states;
    size_t count, capacity;
};

struct record {
    const char *company, *bids, *asks;
    int64_t seq, price, initial_price, volume, high, low;
    bool halted;
};
static const struct field RECORD_FIELDS[] = {
    FIELD_UUID(struct record, company, .required = true),
    FIELD_I64(struct record, seq, .required = true, .min = 0, .max = INT64_MAX),
    FIELD_I64(struct record, price, .required = true, .min = 1, .max = INT64_MAX),
    FIELD_I64(struct record, initial_price, .required = true, .min = 1, .max = INT64_MAX),
    FIELD_I64(struct record, volume, .min = 0, .max = INT64_MAX),
    FIELD_I64(struct record, high, .min = 0, .max = INT64_MAX),
    FIELD_I64(struct record, low, .min = 0, .max = INT64_MAX),
    FIELD_BOOL(struct record, halted),
    FIELD_RAW(struct record, bids, .required = true),
    FIELD_RAW(struct record, asks, .required = true),
    {0},
};

struct depth *depth_open(void)
{
    struct depth *depth = MEM_NEW(depth);
    pthread_mutex_init(&depth->lock, NULL);
    return depth;
}

void depth_release(struct depth **depth)
{
    if (!*depth)
        return;
    pthread_mutex_destroy(&(*depth)->lock);
    free((*depth)->states);
    free(*depth);
    *depth = NULL;
}

/* A level as it is printed without white space: [price,quantity]. */
static const char *read_level(const char *at, struct depth_level *level)
{
    char *end;
    if (*at != '[')
        return NULL;
    level->price = strtoll(at + 1, &end, 10);
    if (*end != ',' || level->price < 1)
        return NULL;
    level->quantity = strtoll(end + 1, &end, 10);
    return *end == ']' && level->quantity > 0 ? end + 1 : NULL;
}

/* False for what is no list of levels. */
static bool read_levels(const char *json, struct depth_level levels[DEPTH_LEVELS_MAX], size_t *count)
{
    const char *at = json;
    *count = 0;
    if (*at++ != '[')
        return false;
    while (*at != ']') {
        if (*count == DEPTH_LEVELS_MAX || (*count && *at++ != ','))
            return false;
        if (!(at = read_level(at, &levels[*count])))
            return false;
        ++*count;
    }
    return at[1] == '\0';
}

static bool read_state(struct view payload, struct depth_state *state)
{
    struct err err = {0};
    struct record record;
    AUTO(arena) arena = arena_open(RECORD_ARENA_BYTES);
    if (!JSON_DECODE_LENIENT(arena, payload, RECORD_FIELDS, &record, &err))
        return false;
    *state = (struct depth_state){
        .seq = record.seq,
        .price = record.price,
        .initial_price = record.initial_price,
        .volume = record.volume,
        .high = record.high,
        .low = record.low,
        .halted = record.halted,
    };
    (void)snprintf(state->company, sizeof state->company, "%s", record.company);
    return read_levels(record.bids, state->bids, &state->bid_count) &&
           read_levels(record.asks, state->asks, &state->ask_count);
}

static struct depth_state *find(const struct depth *depth, struct view company)
{
    for (size_t i = 0; i < depth->count; i++)
        if (view_equals(view_of(depth->states[i].company), company))
            return &depth->states[i];
    return NULL;
}

/* A place for a new company. */
static struct depth_state *make_place(struct depth *depth)
{
    if (depth->count == COMPANIES_KEPT) {
        struct depth_state *oldest = depth->states;
        for (size_t i = 1; i < depth->count; i++)
            if (strcmp(depth->states[i].company, oldest->company) < 0)
                oldest = &depth->states[i];
        return oldest;
    }
    if (depth->count == depth->capacity) {
        depth->capacity = depth->capacity ? depth->capacity * 2 : 16;
        depth->states = mem_grow(depth->states, depth->capacity, sizeof *depth->states);
    }
    return &depth->states[depth->count++];
}

static bool put(struct depth *depth, const struct depth_state *state)
{
    struct depth_state *known = find(depth, view_of(state->company));
    if (known && known->seq > state->seq)
        return false;
    *(known ? known : make_place(depth)) = *state;
    return true;
}

static bool drop(struct depth *depth, struct view company)
{
    struct depth_state *known = find(depth, company);
    if (known)
        *known = depth->states[--depth->count];
    return known != NULL;
}

bool depth_take(struct depth *depth, struct view key, struct view payload)
{
    struct depth_state state;
    if (payload.bytes && (!read_state(payload, &state) || !view_equals(view_of(state.company), key)))
        return false;
    pthread_mutex_lock(&depth->lock);
    const bool taken = payload.bytes ? put(depth, &state) : drop(depth, key);
    pthread_mutex_unlock(&depth->lock);
    return taken;
}

bool depth_find(struct depth *depth, const char *company, struct depth_state *state)
{
    pthread_mutex_lock(&depth->lock);
    const struct depth_state *known = find(depth, view_of(company));
    if (known)
        *state = *known;
    pthread_mutex_unlock(&depth->lock);
    return known != NULL;
}
