/* kinds.h - every kind of notice in one table: where it goes unless somebody says otherwise, where it may go, how long
 * it is worth sending, which args it needs, and what it says in Korean and English. A new kind is a row. Pure; the
 * table is constant.
 *
 * Templates: "{name}" stands for an arg, inserted as text (template.h). "{from.nickname}" is a member of the arg
 * `from`. */
#ifndef MADANG_NOTIFY_KINDS_H
#define MADANG_NOTIFY_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The order of CHANNEL_NAMES. Stored in table choices: never renumbered. */
enum channel_bit {
    CHANNEL_INBOX = 1,
    CHANNEL_PUSH = 2,
    CHANNEL_EMAIL = 4,
    CHANNEL_SMS = 8,
    CHANNEL_SLACK = 16,
};
enum { CHANNELS = 5, KIND_ARGS_MAX = 6 };
extern const char *const CHANNEL_NAMES[CHANNELS + 1]; /* "inbox", ...; NULL-ended */

/* The bit of a channel's name; 0: no such channel. */
unsigned channel_bit_of(const char *name);

struct words {
    const char *title, *body;
};

struct kind {
    const char *name;  /* NULL ends the table */
    unsigned normally; /* channels of a request that names none */
    unsigned possible; /* channels it may take at all */
    bool locked;       /* about the account's safety: users can't switch it off, quiet hours don't hold it */
    bool secret;       /* its text is blanked once it was sent */
    int64_t worth_s;   /* sending is given up after this */
    const char *args[KIND_ARGS_MAX + 1]; /* must be there, as non-empty text or a number; NULL-ended */
    struct words ko, en;
};

extern const struct kind KINDS[];

const struct kind *kind_find(const char *name); /* NULL: unknown */

#endif
