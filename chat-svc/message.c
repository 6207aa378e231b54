#include "message.h"

#include "json.h"
#include "mem.h"

#include <cjson/cJSON.h>

/* ---- kinds ---- */

static const struct {
    const char *name;
    const char *types; /* of its file, from the beginning; NULL: it has none */
} KINDS[] = {
    {"text", NULL},
    {"image", "image/"},
    {"video", "video/"},
    {"file", ""},
};

static int find_kind(const char *kind)
{
    for (size_t i = 0; kind && i < ARRAY_LENGTH(KINDS); i++)
        if (strcmp(KINDS[i].name, kind) == 0)
            return (int)i;
    return -1;
}

bool message_kind_is_known(const char *kind)
{
    return find_kind(kind) >= 0;
}

bool message_kind_has_file(const char *kind)
{
    const int found = find_kind(kind);
    return found >= 0 && KINDS[found].types;
}

bool message_kind_takes(const char *kind, const char *content_type)
{
    const int found = find_kind(kind);
    return found >= 0 && KINDS[found].types &&
           strncmp(content_type, KINDS[found].types, strlen(KINDS[found].types)) == 0;
}

/* ---- reactions ---- */

static void tree_release(cJSON **tree)
{
    cJSON_Delete(*tree);
}

const char *message_count_reaction(struct arena *arena, const char *reactions, const char *emoji, int change,
                                   int *kinds)
{
    __attribute__((cleanup(tree_release))) cJSON *tree = cJSON_Parse(reactions ? reactions : "{}");
    AUTO_STR out;
    bool found = false;
    str_init(&out);
    *kinds = 0;
    json_open(&out, NULL, '{');
    for (const cJSON *item = tree ? tree->child : NULL; item; item = item->next) {
        const bool this_one = strcmp(item->string, emoji) == 0;
        const int64_t count = (int64_t)item->valuedouble + (this_one ? change : 0);
        found = found || this_one;
        if (count <= 0)
            continue;
        json_i64(&out, item->string, count);
        ++*kinds;
    }
    if (!found && change > 0) {
        json_i64(&out, emoji, change);
        ++*kinds;
    }
    json_close(&out, '}');
    return arena_bytes(arena, out.bytes, out.length);
}
