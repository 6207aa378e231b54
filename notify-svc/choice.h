/* choice.h - what a user wants to be told and where: the rules, without any storage. Pure functions. */
#ifndef MADANG_NOTIFY_CHOICE_H
#define MADANG_NOTIFY_CHOICE_H

#include "errors.h"
#include "kinds.h"

/* The channels that settings speak of. SMS is for codes only. */
enum { CHANNELS_CHOSEN = CHANNEL_INBOX | CHANNEL_PUSH | CHANNEL_EMAIL | CHANNEL_SLACK };

struct choice {
    const struct kind *kind;
    unsigned named;  /* channels the user spoke of */
    unsigned wanted; /* those of them that are on */
};

/* Where a notice goes: `asked` (of the request; 0: the kind's own channels), then the user's choice, then what is
 * possible. */
unsigned choice_channels(const struct kind *kind, unsigned asked, const struct choice *choice);

/* Puts `change` over `now`. kind_locked: another value than the default of a locked kind. bad_input: switching on what
 * the kind can't do. Channels that the kind can't do and that stay off are forgotten. */
bool choice_change(struct choice *now, const struct choice *change, struct err *err);

struct quiet_hours {
    char from[6], to[6]; /* "22:00" */
    char time_zone[64];  /* a name of the time zone database; "" : no quiet hours */
};
/* True for "00:00" to "23:59". */
bool quiet_time_valid(const char *text);
/* Looks like a name of the time zone database: the letters only; whether there is such a zone is the database's to say.
 */
bool quiet_zone_plausible(const char *text);

#endif
