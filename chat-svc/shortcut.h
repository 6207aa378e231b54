/* shortcut.h - when an event may go to the sockets of the instance that owns its room right after the commit, without
 * the way over chat.events (docs/decisions/015).
 *
 * Two ways lead to a subscription then. It takes revs in order and drops doubles, so none of this is needed for
 * what people see to be right: an event that came too early would make the subscription catch up from PostgreSQL. The
 * shortcut keeps that from happening: it is shut as long as an event that did not take it is still on its way back to
 * us. What took it says so in its header `given`, and is skipped unparsed when we hear it. Threads: all functions. */
#ifndef MADANG_CHAT_SHORTCUT_H
#define MADANG_CHAT_SHORTCUT_H

#include "wire.h"

#include <stddef.h>

enum { SHORTCUT_PATIENCE_MS = 5000 };

struct shortcut;
struct shortcut *shortcut_open(const char *start_id); /* of this process: pending_start_id */
void shortcut_release(struct shortcut **shortcut);

/* What an event can do to sockets besides being told in order: whoever joins or leaves does so once, in the order of
 * the log. So only these kinds take the shortcut. */
bool shortcut_takes(enum event_kind kind);

/* Nothing of ours is on its way. */
bool shortcut_is_free(struct shortcut *shortcut, int64_t now_ms);
/* So many events go the long way; they carry the header below. What does not come back in SHORTCUT_PATIENCE_MS is
 * forgotten: it was not sent, or the listener lost its place. */
void shortcut_owe(struct shortcut *shortcut, size_t count, int64_t now_ms);
const char *shortcut_header(const struct shortcut *shortcut, bool given);

/* A record of chat.events with this header was heard: true when our sockets have it already. */
bool shortcut_has(const struct shortcut *shortcut, const char *header);
/* These headers' events are on their way to the loop: NULL and those of others are fine. */
void shortcut_heard(struct shortcut *shortcut, const char *header);

#endif
