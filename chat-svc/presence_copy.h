/* presence_copy.h - who is online: this instance's copy of the compacted topic presence.changes, in memory, heard from
 * the start. The truth is for the push decision (owner.c); what other people may see is `online && visible`.
 * Thread-safe. */
#ifndef MADANG_CHAT_PRESENCE_COPY_H
#define MADANG_CHAT_PRESENCE_COPY_H

#include "kafka.h"
#include "uuid.h"

struct presence;
struct presence_state {
    bool online, visible, show_last_seen;
    int64_t last_seen_ms; /* 0: never */
    int64_t n;
};

struct presence *presence_open(void);
void presence_release(struct presence **presence);
/* Takes one record; false when it is old, doubled or not readable. `was` (may be NULL) gets the state before. */
bool presence_take(struct presence *presence, const struct kafka_record *record, char user_id[UUID_TEXT_BYTES],
                   struct presence_state *was, struct presence_state *now);
struct presence_state presence_of(const struct presence *presence, const char *user_id);
bool presence_online(const struct presence *presence, const char *user_id);

#endif
