/* id_map.h - things found by their UUIDv7: a chained hash whose nodes are members of the things (the first one).
 * Owns only its buckets. Threads: one at a time. */
#ifndef MADANG_ID_MAP_H
#define MADANG_ID_MAP_H

#include "uuid.h"

struct id_node {
    struct id_node *next;
    struct uuid id;
};
struct id_map {
    struct id_node **buckets;
    uint32_t room, count;
};
struct id_node *id_map_get(const struct id_map *map, const struct uuid *id); /* NULL: not there */
void id_map_put(struct id_map *map, struct id_node *node);                   /* which is not there yet */
void id_map_remove(struct id_map *map, struct id_node *node);                /* which is there */
/* Empties it: `end` is called for each node that was there. */
void id_map_clear(struct id_map *map, void (*end)(void *payload, struct id_node *node), void *payload);

#endif
