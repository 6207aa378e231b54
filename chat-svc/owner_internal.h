/* owner_internal.h - for tests and benchmarks of the owner. */
#ifndef MADANG_CHAT_OWNER_INTERNAL_H
#define MADANG_CHAT_OWNER_INTERNAL_H

#include "owner.h"

/* Events go to another topic than chat.events, or are given up earlier; the text is lent. */
void owner_tell_on(struct owner *owner, const char *topic, int within_ms);

#endif
