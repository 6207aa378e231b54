/* lookup.h - a hash table in an arena: what one batch has loaded, found again by its key. It only grows; it dies with
 * the arena. Ownership: keys and values are lent. Threads: one at a time. */
#ifndef MADANG_CHAT_LOOKUP_H
#define MADANG_CHAT_LOOKUP_H

#include "arena.h"

#include <stdbool.h>
#include <stdint.h>

struct lookup_key { /* texts may be NULL, which equals only NULL */
    const char *a, *b, *c;
    int64_t n;
};
#define KEY(...) ((struct lookup_key){.a = __VA_ARGS__})

struct lookup;
struct lookup *lookup_open(struct arena *arena);
void *lookup_get(const struct lookup *lookup, struct lookup_key key);       /* NULL: not there */
void lookup_put(struct lookup *lookup, struct lookup_key key, void *value); /* value is not NULL; the key must be new */
/* Puts the value and says true when the key is new. */
bool lookup_add(struct lookup *lookup, struct lookup_key key, void *value);

#endif
