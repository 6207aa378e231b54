#include "lookup.h"

#include <string.h>

enum { FIRST_SIZE = 64 };

struct slot {
    uint64_t hash;
    struct lookup_key key;
    void *value; /* NULL: empty */
};

struct lookup {
    struct arena *arena;
    struct slot *slots;
    size_t size, count; /* size is a power of two, at most half full */
};

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; text && *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3U;
    return (hash ^ 0xff) * 0x100000001b3U;
}

static uint64_t hash_of(const struct lookup_key *key)
{
    uint64_t hash = hash_text(0xcbf29ce484222325U, key->a);
    hash = key->b ? hash_text(hash, key->b) : hash;
    hash = key->c ? hash_text(hash, key->c) : hash;
    hash = (hash ^ (uint64_t)key->n) * 0xff51afd7ed558ccdU;
    return hash ^ (hash >> 33);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_key(const struct lookup_key *a, const struct lookup_key *b)
{
    return a->n == b->n && same(a->a, b->a) && same(a->b, b->b) && same(a->c, b->c);
}

/* The slot of the key, or the empty one where it belongs. */
static struct slot *find(const struct lookup *lookup, uint64_t hash, const struct lookup_key *key)
{
    for (size_t at = hash & (lookup->size - 1);; at = (at + 1) & (lookup->size - 1)) {
        struct slot *slot = &lookup->slots[at];
        if (!slot->value || (slot->hash == hash && same_key(&slot->key, key)))
            return slot;
    }
}

static void grow(struct lookup *lookup)
{
    const struct slot *old = lookup->slots;
    const size_t old_size = lookup->size;
    lookup->size = old_size ? old_size * 4 : FIRST_SIZE;
    lookup->slots = arena_alloc(lookup->arena, lookup->size * sizeof *lookup->slots);
    for (size_t i = 0; i < old_size; i++)
        if (old[i].value)
            *find(lookup, old[i].hash, &old[i].key) = old[i];
}

struct lookup *lookup_open(struct arena *arena)
{
    struct lookup *lookup = ARENA_NEW(arena, lookup);
    lookup->arena = arena;
    grow(lookup);
    return lookup;
}

void *lookup_get(const struct lookup *lookup, struct lookup_key key)
{
    return find(lookup, hash_of(&key), &key)->value;
}

bool lookup_add(struct lookup *lookup, struct lookup_key key, void *value)
{
    const uint64_t hash = hash_of(&key);
    struct slot *slot = find(lookup, hash, &key);
    if (slot->value)
        return false;
    *slot = (struct slot){hash, key, value};
    if (++lookup->count * 2 > lookup->size)
        grow(lookup);
    return true;
}

void lookup_put(struct lookup *lookup, struct lookup_key key, void *value)
{
    (void)lookup_add(lookup, key, value);
}
