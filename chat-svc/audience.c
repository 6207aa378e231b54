#include "audience.h"

#include "live.h"
#include "mem.h"

#include <stdlib.h>

struct audience {
    pthread_rwlock_t lock;
    atomic_uint count;
    struct id_map map;
};

struct audience *audience_open(void)
{
    struct audience *audience = MEM_NEW(audience);
    (void)pthread_rwlock_init(&audience->lock, NULL);
    return audience;
}

void audience_release(struct audience **place)
{
    struct audience *audience = TAKE(*place);
    if (!audience)
        return;
    for (uint32_t i = 0; i < audience->map.room; i++) {
        for (struct id_node *at = audience->map.buckets[i], *next; at; at = next) {
            next = at->next;
            free(at);
        }
    }
    free(audience->map.buckets);
    (void)pthread_rwlock_destroy(&audience->lock);
    free(audience);
}

void audience_add(struct audience *audience, const struct uuid *user_id)
{
    (void)pthread_rwlock_wrlock(&audience->lock);
    if (!id_map_get(&audience->map, user_id)) {
        struct id_node *node = MEM_NEW(id_node);
        node->id = *user_id;
        id_map_put(&audience->map, node);
        atomic_store(&audience->count, audience->map.count);
    }
    (void)pthread_rwlock_unlock(&audience->lock);
}

void audience_remove(struct audience *audience, const struct uuid *user_id)
{
    (void)pthread_rwlock_wrlock(&audience->lock);
    struct id_node *node = id_map_get(&audience->map, user_id);
    if (node) {
        id_map_remove(&audience->map, node);
        atomic_store(&audience->count, audience->map.count);
        free(node);
    }
    (void)pthread_rwlock_unlock(&audience->lock);
}

bool audience_is_empty(const struct audience *audience)
{
    return atomic_load_explicit(&audience->count, memory_order_relaxed) == 0;
}

bool audience_has(struct audience *audience, const struct uuid *user_id)
{
    (void)pthread_rwlock_rdlock(&audience->lock);
    const bool here = id_map_get(&audience->map, user_id) != NULL;
    (void)pthread_rwlock_unlock(&audience->lock);
    return here;
}

bool audience_has_one_of(struct audience *audience, const char *users)
{
    struct uuid id;
    for (const char *at = users; strlen(at) >= UUID_TEXT_BYTES - 1;) {
        char text[UUID_TEXT_BYTES];
        memcpy(text, at, sizeof text - 1);
        text[sizeof text - 1] = '\0';
        if (uuid_parse(text, &id) && audience_has(audience, &id))
            return true;
        at += UUID_TEXT_BYTES - 1;
        if (*at != ',')
            break;
        at++;
    }
    return false;
}
