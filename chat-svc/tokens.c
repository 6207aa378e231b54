#include "tokens.h"

#include "text.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

enum {
    LETTERS_MAX = 8192
}; /* of the folded text, which can be far longer than what was written: later ones are not found */

/* FNV-1a, then a last mixing: hashes of neighbours must not be neighbours. Stored, so never to be changed. */
static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3U;
    return hash;
}

static uint64_t mixed(uint64_t hash)
{
    hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdU;
    hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53U;
    return hash ^ (hash >> 33);
}

static int compare(const void *a, const void *b)
{
    const int64_t first = *(const int64_t *)a, second = *(const int64_t *)b;
    return (first > second) - (first < second);
}

int64_t *tokens_of(struct arena *arena, const char *room_id, const char *text, size_t *count)
{
    const char *folded = text_fold(arena, text);
    const size_t length = folded ? strlen(folded) : 0;
    const uint64_t room = hash_bytes(0xcbf29ce484222325U, room_id, strlen(room_id));
    int64_t *tokens = arena_alloc(arena, ((length < LETTERS_MAX ? length : LETTERS_MAX) + 1) * sizeof *tokens);
    size_t made = 0, previous = 0, distinct = 0;
    uint32_t code = 0;
    for (size_t at = 0; at < length && made < LETTERS_MAX;) {
        const size_t size = utf8_decode(folded + at, length - at, &code);
        if (size == 0)
            break;
        if (at > 0)
            tokens[made++] = (int64_t)mixed(hash_bytes(room, folded + previous, at + size - previous));
        previous = at;
        at += size;
    }
    qsort(tokens, made, sizeof *tokens, compare);
    for (size_t i = 0; i < made; i++)
        if (i == 0 || tokens[i] != tokens[i - 1])
            tokens[distinct++] = tokens[i];
    *count = distinct;
    return tokens;
}
