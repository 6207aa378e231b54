/* config.h - a table of settings -> a struct, read once from the environment.
 * Defaults work on localhost; --help prints the table; a wrong or missing one stops the start with its name.
 * A secret may come as NAME or, from a file, as NAME_FILE; it is never printed.
 * Ownership: the strings live as long as the process. */
#ifndef MADANG_CONFIG_H
#define MADANG_CONFIG_H

#include "errors.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum setting_kind {
    SETTING_KIND_TEXT,   /* const char * ; "" when unset without default */
    SETTING_KIND_I64,    /* int64_t within min..max */
    SETTING_KIND_BOOL,   /* bool: on/off, true/false, yes/no, 1/0 */
    SETTING_KIND_SECRET, /* const char *, NAME or NAME_FILE */
};

struct setting {
    const char *name;
    enum setting_kind kind;
    size_t offset;
    const char *default_text; /* NULL: required */
    int64_t min, max;
    const char *help;
};

#define SETTING_TEXT(type, member, name, default_text, help)                                                           \
    {                                                                                                                  \
        name, SETTING_KIND_TEXT, offsetof(type, member), default_text, 0, 0, help                                      \
    }
#define SETTING_REQUIRED(type, member, name, help)                                                                     \
    {                                                                                                                  \
        name, SETTING_KIND_TEXT, offsetof(type, member), NULL, 0, 0, help                                              \
    }
#define SETTING_I64(type, member, name, default_text, min, max, help)                                                  \
    {                                                                                                                  \
        name, SETTING_KIND_I64, offsetof(type, member), default_text, min, max, help                                   \
    }
#define SETTING_BOOL(type, member, name, default_text, help)                                                           \
    {                                                                                                                  \
        name, SETTING_KIND_BOOL, offsetof(type, member), default_text, 0, 0, help                                      \
    }
#define SETTING_SECRET(type, member, name, help)                                                                       \
    {                                                                                                                  \
        name, SETTING_KIND_SECRET, offsetof(type, member), NULL, 0, 0, help                                            \
    }
#define SETTING_SECRET_OPTIONAL(type, member, name, help)                                                              \
    {                                                                                                                  \
        name, SETTING_KIND_SECRET, offsetof(type, member), "", 0, 0, help                                              \
    }

/* Reads every setting of a {0}-ended table into `out`. On failure the message names the setting. */
bool config_load(const struct setting *table, void *out, struct err *err);
void config_print_help(const struct setting *table, FILE *file);

#endif
