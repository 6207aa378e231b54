/* The headers that we know by name. http1.h has the table. */
#include "http1.h"

const unsigned char HTTP1_HEADER_FLAGS[HEADER_IDS] = {
#define HTTP1_HEADER_FLAG(id, name, flags) [id] = (flags),
    HTTP1_HEADER_TABLE(HTTP1_HEADER_FLAG)
#undef HTTP1_HEADER_FLAG
};

static const struct view HEADER_NAMES[HEADER_IDS] = {
#define HTTP1_HEADER_VIEW(id, name, flags) [id] = {(name), sizeof(name) - 1},
    HTTP1_HEADER_TABLE(HTTP1_HEADER_VIEW)
#undef HTTP1_HEADER_VIEW
};

/* Bit n: the header with id n has a name of this length. Filled before main, constant afterwards, as what follows. */
static uint64_t ids_of_length[HTTP1_KNOWN_NAME_MAX + 1];
_Static_assert(HEADER_IDS <= 64, "one bit per header");

/* A name in words of eight bytes, the last of which may overlap the one before. `letters` has 0x20 for each letter: a
 * byte of a foreign name with that bit set is the letter exactly when it is that letter, in either case. */
enum { WORDS = (HTTP1_KNOWN_NAME_MAX + 7) / 8 };
static struct name_words {
    uint64_t word, letters;
} names[HEADER_IDS][WORDS];

static inline uint64_t word_at(const char *bytes, size_t length, size_t at)
{
    uint64_t word = 0;
    if (length >= sizeof word) {
        memcpy(&word, bytes + (at + sizeof word <= length ? at : length - sizeof word), sizeof word);
        return word;
    }
    for (size_t i = 0; i < length; i++)
        word = word << 8 | (unsigned char)bytes[i];
    return word;
}

__attribute__((constructor)) static void index_headers(void)
{
    for (int id = 1; id < HEADER_IDS; id++) {
        const struct view name = HEADER_NAMES[id];
        char letters[HTTP1_KNOWN_NAME_MAX];
        for (size_t i = 0; i < name.length; i++)
            letters[i] = name.bytes[i] >= 'a' && name.bytes[i] <= 'z' ? 0x20 : 0;
        for (size_t at = 0; at < name.length; at += sizeof(uint64_t))
            names[id][at / sizeof(uint64_t)] =
                (struct name_words){word_at(name.bytes, name.length, at), word_at(letters, name.length, at)};
        ids_of_length[name.length] |= (uint64_t)1 << id;
    }
}

/* Equal but for case; `id` has a name of this length. */
static bool same_name(int id, struct view name)
{
    const struct name_words *known = names[id];
    for (size_t at = 0; at < name.length; at += sizeof(uint64_t), known++)
        if ((word_at(name.bytes, name.length, at) | known->letters) != known->word)
            return false;
    return true;
}

/* Equal but for case, and for '_' where `known` has '-'. */
static bool looks_alike(const char *known, struct view name)
{
    for (size_t i = 0; i < name.length; i++) {
        const char c = name.bytes[i] >= 'A' && name.bytes[i] <= 'Z' ? (char)(name.bytes[i] | 0x20) : name.bytes[i];
        if (c != known[i] && (c != '_' || known[i] != '-'))
            return false;
    }
    return true;
}

enum http1_header_id http1_header_find(struct view name, bool *look_alike)
{
    *look_alike = false;
    const uint64_t all = name.length <= HTTP1_KNOWN_NAME_MAX ? ids_of_length[name.length] : 0;
    for (uint64_t ids = all; ids; ids &= ids - 1)
        if (same_name(__builtin_ctzll(ids), name))
            return (enum http1_header_id)__builtin_ctzll(ids);
    if (!all || !memchr(name.bytes, '_', name.length))
        return HEADER_OTHER;
    for (uint64_t ids = all; ids && !*look_alike; ids &= ids - 1)
        *look_alike = looks_alike(HEADER_NAMES[__builtin_ctzll(ids)].bytes, name);
    return HEADER_OTHER;
}
