/* slack_text.h - texts and addresses as Slack needs them. Pure functions.
 * Address of a delivery: "webhook:<name>", a conversation's id, or people: one or more of `id`, `e-mail`, `Name <id>`,
 * `Name <e-mail>`, `Name <>` (nobody knows an address), comma-separated. */
#ifndef MADANG_NOTIFY_SLACK_TEXT_H
#define MADANG_NOTIFY_SLACK_TEXT_H

#include "arena.h"
#include "str.h"

enum { SLACK_ID_BYTES_MAX = 24 };

/* U..., W...: a person's id. C..., G..., D...: a conversation's. */
bool slack_is_user_id(const char *text);
bool slack_is_channel_id(const char *text);

enum { SLACK_TEXT_MAX = 3500 /* code points of a notice; Slack shows 4000 */, SLACK_PEOPLE_MAX = 100 };

/* With & < > escaped, so that nobody's name becomes a link or a call to everybody; at most `max` code points. */
void slack_add_escaped(struct str *out, const char *text, size_t max);
/* Title in bold above the body. */
void slack_add_notice(struct str *out, const char *title, const char *body);

/* One of the people of an address. */
struct slack_target_person {
    const char *name;  /* may be "" */
    const char *where; /* id, e-mail, or "" */
};
/* Appends one; `where` without comma or angle brackets. */
void slack_address_add(struct str *address, const char *name, const char *where);
/* At most SLACK_PEOPLE_MAX, from the arena. */
struct slack_target_person *slack_address_people(struct arena *arena, const char *address, size_t *count);

#endif
