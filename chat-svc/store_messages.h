/* store_messages.h - what handlers read of messages, each in one statement. All that changes them is the owner's.
 * Ownership: results lie in the arena. */
#ifndef MADANG_CHAT_STORE_MESSAGES_H
#define MADANG_CHAT_STORE_MESSAGES_H

#include "codec.h"
#include "pg.h"

struct seen_message {
    struct message message;
    struct message_view view;
};

/* A page by sequence: those before `edge` newest first, or those after it oldest first; `limit` at most. ERR_NOT_FOUND
 * for others' and unknown rooms. */
struct history_wish {
    const char *room_id, *viewer_id;
    bool forwards;
    int64_t edge; /* itself not given */
    int64_t limit;
};
bool store_history(struct pg_pool *db, struct arena *arena, const struct history_wish *wish, struct seen_message **out,
                   size_t *count, struct err *err);

/* The viewer's own reactions to a message; ERR_NOT_FOUND when the room is not theirs or has no such message. */
bool store_my_reactions(struct pg_pool *db, struct arena *arena, const char *room_id, int64_t seq,
                        const char *viewer_id, struct texts *emojis, struct err *err);

#endif
