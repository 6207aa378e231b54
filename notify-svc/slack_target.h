/* slack_target.h - where in Slack a notice of a kind goes. A kind without a row goes to its user, if linked. */
#ifndef MADANG_NOTIFY_SLACK_TARGET_H
#define MADANG_NOTIFY_SLACK_TARGET_H

#include "channels.h"
#include "pg.h"

/* One delivery for all of a request's users: a conversation of the whole group. */
bool slack_target_is_group(const char *kind);

struct slack_target_wish {
    const char *kind;
    const char *const *user_ids; /* the group, or one user; none when the request is to a channel */
    size_t user_count;
    const char *slack; /* to.slack of the request: an id or webhook:<name>; NULL */
};
/* *address (slack_text.h) from the arena, NULL: nothing to send, *reason says why (static text). */
bool slack_target_find(struct pg_tx *tx, struct arena *arena, const struct slack_config *config,
                       const struct slack_target_wish *wish, const char **address, const char **reason,
                       struct err *err);

#endif
