/* template.h - a template and args -> text. "{name}" becomes the arg's text and nothing else: an arg is never read as a
 * template or a format. Inserted text is bounded and on one line (white space and control characters become one space),
 * so that nobody can add a header to a mail or a line to a title. Pure functions; results come from the arena. */
#ifndef MADANG_NOTIFY_TEMPLATE_H
#define MADANG_NOTIFY_TEMPLATE_H

#include "arena.h"
#include "kinds.h"

enum {
    ARGS_MAX = 32,
    ARG_POINTS_MAX = 200,   /* code points of an inserted arg */
    TITLE_POINTS_MAX = 100, /* of the whole */
    BODY_POINTS_MAX = 1000,
};

/* The args of a request, flat: {"from": {"id": "x"}} is the arg "from.id". */
struct args {
    struct arg {
        const char *name, *value; /* valid UTF-8 */
    } items[ARGS_MAX];
    size_t count;
};

const char *args_find(const struct args *args, const char *name); /* NULL: not there */
/* The first arg that the kind needs and that is missing or empty; NULL when all are there. */
const char *args_missing(const struct args *args, const struct kind *kind);

/* At most `points_max` code points; what is longer ends in an ellipsis. An arg that is not there inserts nothing, or
 * what stands behind the bar: "{device_name|a device}". */
const char *template_fill(struct arena *arena, const char *pattern, const struct args *args, size_t points_max);

/* "ko" or "en" of any locale name; Korean when nothing is known. */
const char *template_language(const char *locale);
static inline const struct words *kind_words(const struct kind *kind, const char *language)
{
    return language[0] == 'e' ? &kind->en : &kind->ko;
}

#endif
