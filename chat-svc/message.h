/* message.h - kinds of messages and counts of reactions. codec.h prints messages.
 * Threads: pure functions. */
#ifndef MADANG_CHAT_MESSAGE_H
#define MADANG_CHAT_MESSAGE_H

#include "arena.h"

#include <stdbool.h>

/* Kinds that people send: text, image, video, file. "system" is the server's. */
bool message_kind_is_known(const char *kind);
bool message_kind_has_file(const char *kind);
/* Does a file of this content type go with the kind? */
bool message_kind_takes(const char *kind, const char *content_type);

/* The reactions with `emoji` counted up or down by one; *kinds: how many different ones there are then. A count of 0
 * leaves. */
const char *message_count_reaction(struct arena *arena, const char *reactions, const char *emoji, int change,
                                   int *kinds);

#endif
