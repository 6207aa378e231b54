/* message.h - one message as the API and the events show it: one function writes it everywhere, so every reader sees
 * the same members. Ownership: a struct message lends its texts. Threads: pure functions. */
#ifndef MADANG_CHAT_MESSAGE_H
#define MADANG_CHAT_MESSAGE_H

#include "arena.h"
#include "str.h"

#include <stdint.h>

struct message {
    const char *room_id, *id;
    int64_t seq, rev;
    const char *client_id;                /* NULL: a system line */
    const char *sender_id;                /* NULL: a system line */
    const char *nickname, *avatar_url;    /* of the sender; NULL is shown as "" */
    const char *kind, *content;           /* "" once deleted */
    const char *file_id;                  /* NULL: none */
    int64_t reply_to;                     /* 0: none */
    const char *reactions;                /* JSON object {emoji: how many}; NULL: {} */
    int64_t unread_by;                    /* members whose mark is behind it; -1: not told (rooms for everybody) */
    int64_t at_ms, edited_ms, deleted_ms; /* 0: not */
};

/* Appends the Message of the API; `name` NULL where the appender needs none. */
void message_json(struct str *out, const char *name, const struct message *message);

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
