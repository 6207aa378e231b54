#include "id_map.h"

#include "mem.h"

#include <stdlib.h>
#include <string.h>

static uint32_t place(const struct uuid *id, uint32_t room)
{
    uint64_t word;
    memcpy(&word, id->bytes + 8, sizeof word); /* the random half of a UUIDv7 */
    return (uint32_t)((word * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (room - 1);
}

struct id_node *id_map_get(const struct id_map *map, const struct uuid *id)
{
    struct id_node *at = map->room ? map->buckets[place(id, map->room)] : NULL;
    while (at && memcmp(&at->id, id, sizeof *id) != 0)
        at = at->next;
    return at;
}

static void grow(struct id_map *map)
{
    const uint32_t room = map->room ? map->room * 2 : 64;
    struct id_node **buckets = mem_new(room, sizeof *buckets);
    for (uint32_t i = 0; i < map->room; i++) {
        for (struct id_node *at = map->buckets[i], *next; at; at = next) {
            next = at->next;
            struct id_node **bucket = &buckets[place(&at->id, room)];
            at->next = *bucket;
            *bucket = at;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->room = room;
}

void id_map_put(struct id_map *map, struct id_node *node)
{
    if (map->count >= map->room)
        grow(map);
    struct id_node **bucket = &map->buckets[place(&node->id, map->room)];
    node->next = *bucket;
    *bucket = node;
    map->count++;
}

void id_map_remove(struct id_map *map, struct id_node *node)
{
    struct id_node **at = &map->buckets[place(&node->id, map->room)];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    map->count--;
}

void id_map_clear(struct id_map *map, void (*end)(void *payload, struct id_node *node), void *payload)
{
    for (uint32_t i = 0; i < map->room; i++) {
        for (struct id_node *at = map->buckets[i], *next; at; at = next) {
            next = at->next;
            end(payload, at);
        }
    }
    free(map->buckets);
    *map = (struct id_map){0};
}
