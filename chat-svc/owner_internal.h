/* owner_internal.h - for tests and benchmarks of the owner. */
#ifndef MADANG_CHAT_OWNER_INTERNAL_H
#define MADANG_CHAT_OWNER_INTERNAL_H

#include "owner.h"

/* Events go to another topic than chat.events; the text is lent. */
void owner_tell_on(struct owner *owner, const char *topic);
/* While mute its events stay in events_out, as if Kafka's queue were full. */
void owner_mute(struct owner *owner, bool mute);

#endif
