#include "keymap.h"

#include "mem.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 256 };

static uint64_t hash_of(const struct uuid *id, uint64_t tag)
{
    uint64_t high, low;
    memcpy(&high, id->bytes, sizeof high);
    memcpy(&low, id->bytes + 8, sizeof low);
    uint64_t hash = (high ^ (low * 0x9e3779b97f4a7c15U)) + tag * 0xbf58476d1ce4e5b9U;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9U;
    return hash ^ (hash >> 31);
}

static struct keymap_cell *cell_of(const struct keymap *map, const struct uuid *id, uint64_t tag)
{
    for (size_t at = hash_of(id, tag);; at++) {
        struct keymap_cell *cell = &map->cells[at & (map->size - 1)];
        if (!cell->value || (cell->tag == tag && memcmp(&cell->id, id, sizeof *id) == 0))
            return cell;
    }
}

int64_t keymap_find(const struct keymap *map, const struct uuid *id, uint64_t tag)
{
    if (!map->size)
        return KEYMAP_NONE;
    const struct keymap_cell *cell = cell_of(map, id, tag);
    return cell->value ? (int64_t)cell->value - 1 : KEYMAP_NONE;
}

static void grow(struct keymap *map)
{
    const struct keymap old = *map;
    map->size = old.size ? old.size * 2 : FIRST_SIZE;
    map->cells = mem_new(map->size, sizeof *map->cells);
    for (size_t i = 0; i < old.size; i++)
        if (old.cells[i].value)
            *cell_of(map, &old.cells[i].id, old.cells[i].tag) = old.cells[i];
    free(old.cells);
}

uint32_t keymap_put(struct keymap *map, const struct uuid *id, uint64_t tag, uint32_t place)
{
    if (map->count * 2 >= map->size)
        grow(map);
    struct keymap_cell *cell = cell_of(map, id, tag);
    if (!cell->value) {
        *cell = (struct keymap_cell){*id, tag, place + 1};
        map->count++;
    }
    return cell->value - 1;
}

void keymap_clear(struct keymap *map)
{
    if (map->count)
        memset(map->cells, 0, map->size * sizeof *map->cells);
    map->count = 0;
}

void keymap_free(struct keymap *map)
{
    free(map->cells);
    *map = (struct keymap){0};
}
