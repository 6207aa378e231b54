/* owner_push.h - who gets a push for a new message: members but for the sender, who are not muted, not online, have not
 * withdrawn, and do not block the sender. */
#ifndef MADANG_CHAT_OWNER_PUSH_H
#define MADANG_CHAT_OWNER_PUSH_H

#include "outbox.h"
#include "scene.h"

struct presence;

/* Adds a push.requests event to the outbox for each; in rooms for everybody there are none. */
bool owner_push(struct pg_tx *tx, const struct scene *scene, const struct presence *presence, struct err *err);

#endif
