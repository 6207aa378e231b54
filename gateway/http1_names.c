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

/* Bit n: the header with id n has a name of this length. Filled before main, constant afterwards. */
static uint64_t ids_of_length[40];
_Static_assert(HEADER_IDS <= 64, "one bit per header");

__attribute__((constructor)) static void index_headers(void)
{
    for (int id = 1; id < HEADER_IDS; id++)
        ids_of_length[HEADER_NAMES[id].length] |= (uint64_t)1 << id;
}

/* Equal but for case, and for '_' where `known` has '-'. */
static bool same_name(const char *known, struct view name, bool *look_alike)
{
    *look_alike = false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.bytes[i] >= 'A' && name.bytes[i] <= 'Z' ? (char)(name.bytes[i] | 0x20) : name.bytes[i];
        if (c == known[i])
            continue;
        if (c != '_' || known[i] != '-')
            return false;
        *look_alike = true;
    }
    return true;
}

enum http1_header_id http1_header_find(struct view name, bool *look_alike)
{
    *look_alike = false;
    if (name.length >= sizeof ids_of_length / sizeof ids_of_length[0])
        return HEADER_OTHER;
    for (uint64_t ids = ids_of_length[name.length]; ids; ids &= ids - 1) {
        int id = __builtin_ctzll(ids);
        if (same_name(HEADER_NAMES[id].bytes, name, look_alike))
            return *look_alike ? HEADER_OTHER : (enum http1_header_id)id;
    }
    *look_alike = false;
    return HEADER_OTHER;
}
