#include "pace.h"

#include "mem.h"

#include <stdlib.h>

/* Direct-mapped by hash: a collision forgets the older of the two, and the database answers for it. */
struct place {
    char room_id[UUID_TEXT_BYTES], user_id[UUID_TEXT_BYTES];
    int64_t at_ms[OPEN_BURST];
    int count;
};

struct pace {
    struct place places[PACE_MAX];
};

static struct place *place_of(const struct pace *pace, const struct recent *recent)
{
    uint64_t hash = 0xcbf29ce484222325U;
    const char *const texts[] = {recent->room_id, recent->user_id};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        for (const char *at = texts[i]; *at; at++)
            hash = (hash ^ (unsigned char)*at) * 0x100000001b3U;
    return (struct place *)&pace->places[(hash ^ (hash >> 29)) % PACE_MAX];
}

struct pace *pace_open(void)
{
    return MEM_NEW(pace);
}

void pace_release(struct pace **pace)
{
    free(*pace);
    *pace = NULL;
}

void pace_recall(const struct pace *pace, struct recent *recent)
{
    const struct place *place = place_of(pace, recent);
    if (place->count <= recent->count || strcmp(place->room_id, recent->room_id) != 0 ||
        strcmp(place->user_id, recent->user_id) != 0)
        return;
    memcpy(recent->at_ms, place->at_ms, sizeof recent->at_ms);
    recent->count = place->count;
}

void pace_keep(struct pace *pace, const struct recent *recent)
{
    struct place *place = place_of(pace, recent);
    memcpy(place->room_id, recent->room_id, sizeof place->room_id);
    memcpy(place->user_id, recent->user_id, sizeof place->user_id);
    memcpy(place->at_ms, recent->at_ms, sizeof place->at_ms);
    place->count = recent->count;
}
