/* audience.h - whose /user/queue/events is open on this instance: asked by the listener's thread for every record that
 * names people, changed by the loop's thread. Threads: all functions are thread-safe. */
#ifndef MADANG_CHAT_AUDIENCE_H
#define MADANG_CHAT_AUDIENCE_H

#include "uuid.h"

#include <stdbool.h>

struct audience;
struct audience *audience_open(void);
void audience_release(struct audience **audience);
void audience_add(struct audience *audience, const struct uuid *user_id);
void audience_remove(struct audience *audience, const struct uuid *user_id);
/* Nobody is here: nothing has to be looked at. */
bool audience_is_empty(const struct audience *audience);
bool audience_has(struct audience *audience, const struct uuid *user_id);
/* `users`: ids joined by ','. Is one of them here? */
bool audience_has_one_of(struct audience *audience, const char *users);

#endif
