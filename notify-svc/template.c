#include "template.h"

#include "str.h"
#include "utf8.h"

#include <strings.h>

const char *args_find(const struct args *args, const char *name)
{
    for (size_t i = 0; i < args->count; i++)
        if (strcmp(args->items[i].name, name) == 0)
            return args->items[i].value;
    return NULL;
}

const char *args_missing(const struct args *args, const struct kind *kind)
{
    for (size_t i = 0; i < KIND_ARGS_MAX && kind->args[i]; i++) {
        const char *value = args_find(args, kind->args[i]);
        if (!value || !*value)
            return kind->args[i];
    }
    return NULL;
}

/* Controls (C0, DEL, C1), the line and paragraph separators, and what turns the direction of writing. */
static bool is_space(uint32_t code)
{
    return code <= ' ' || (code >= 0x7f && code <= 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

struct writer {
    struct str out;
    size_t points, points_max;
};

static void put(struct writer *writer, const char *bytes, size_t length)
{
    if (writer->points < writer->points_max)
        str_add_bytes(&writer->out, bytes, length);
    else if (writer->points == writer->points_max)
        str_add(&writer->out, "…");
    writer->points++;
}

/* Up to `most` code points of text on one line. */
static void put_text(struct writer *writer, const char *text, size_t length, size_t most)
{
    bool space = false;
    size_t step, points = 0;
    uint32_t code;
    for (size_t i = 0; i < length && (step = utf8_decode(text + i, length - i, &code)) > 0; i += step) {
        if (points == most) {
            put(writer, "…", strlen("…"));
            return;
        }
        if (is_space(code)) {
            if (!space)
                put(writer, " ", 1);
            points += !space;
            space = true;
            continue;
        }
        space = false;
        points++;
        put(writer, text + i, step);
    }
}

/* `name` of `length` bytes is "arg" or "arg|what to say when it is missing or empty". */
static void put_arg(struct writer *writer, const struct args *args, const char *name, size_t length)
{
    const char *bar = memchr(name, '|', length);
    const size_t own = bar ? (size_t)(bar - name) : length;
    for (size_t i = 0; i < args->count; i++) {
        const char *value = args->items[i].value;
        if (*value && strlen(args->items[i].name) == own && memcmp(args->items[i].name, name, own) == 0) {
            put_text(writer, value, strlen(value), ARG_POINTS_MAX);
            return;
        }
    }
    if (bar)
        put_text(writer, bar + 1, length - own - 1, ARG_POINTS_MAX);
}

const char *template_fill(struct arena *arena, const char *pattern, const struct args *args, size_t points_max)
{
    struct writer writer = {.points_max = points_max - 1}; /* one for the ellipsis */
    str_init(&writer.out);
    while (*pattern) {
        const size_t plain = strcspn(pattern, "{"), name = strcspn(pattern + plain, "}");
        put_text(&writer, pattern, plain, SIZE_MAX);
        pattern += plain;
        if (!*pattern)
            break;
        put_arg(&writer, args, pattern + 1, name - 1);
        pattern += name + (pattern[name] == '}');
    }
    const char *text = arena_bytes(arena, writer.out.bytes ? writer.out.bytes : "", writer.out.length);
    str_free(&writer.out);
    return text;
}

const char *template_language(const char *locale)
{
    return !locale || !*locale || strncasecmp(locale, "ko", 2) == 0 ? "ko" : "en";
}
