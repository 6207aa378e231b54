/* keymap.h - from (id, tag) to a place in a list: open addressing, for what one batch touches. Grows by doubling; never
 * shrinks; keymap_clear keeps its memory. Threads: one. */
#ifndef MADANG_ORDER_KEYMAP_H
#define MADANG_ORDER_KEYMAP_H

#include "uuid.h"

#include <stddef.h>
#include <stdint.h>

struct keymap_cell {
    struct uuid id;
    uint64_t tag;
    uint32_t value; /* place + 1; 0: empty */
};

struct keymap {
    struct keymap_cell *cells;
    size_t size, count; /* size: a power of two, or 0 */
};

enum { KEYMAP_NONE = -1 };

/* The place, or KEYMAP_NONE. */
int64_t keymap_find(const struct keymap *map, const struct uuid *id, uint64_t tag);
/* The place that is known already, or `place`, which it is from now on. */
uint32_t keymap_put(struct keymap *map, const struct uuid *id, uint64_t tag, uint32_t place);
void keymap_clear(struct keymap *map);
void keymap_free(struct keymap *map);

#endif
