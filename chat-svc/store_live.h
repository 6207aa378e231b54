/* store_live.h - what sockets ask of PostgreSQL: a user's rooms and friends at connect, catch-up at SUBSCRIBE, unread.
 * Each is one or two statements. Ownership: results lie in the arena. */
#ifndef MADANG_CHAT_STORE_LIVE_H
#define MADANG_CHAT_STORE_LIVE_H

#include "arena.h"
#include "pg.h"
#include "wire.h"

struct live_room {
    const char *room_id;
    enum room_kind kind;
    int64_t last_seq, read_seq, rev;
    bool muted, hidden;
};
struct live_user {
    struct live_room *rooms; /* where the user is a member */
    size_t room_count;
    const char **friends; /* neither side blocks the other */
    size_t friend_count;
};
bool store_live_user(struct pg_pool *db, struct arena *arena, const char *user_id, struct live_user *user,
                     struct err *err);

/* May the user read this room, and what was missed. after < 0: nothing is replayed by sequence; rev < 0: none by
 * revision. At most `limit` messages; when more were missed, or they are not kept any more, reload is true and none are
 * given. ERR_NOT_FOUND for others' and unknown rooms. */
struct catch_up {
    enum room_kind kind;
    int64_t last_seq, rev, read_seq; /* of the room and the user at this moment: one snapshot with the messages */
    bool reload;
    struct caught {
        int64_t seq, rev;
        bool changed;        /* older than `after`, changed since `rev`: edited, deleted or reacted to */
        const char *message; /* JSON, as in events */
    } * messages;            /* by seq */
    size_t count;
};
bool store_catch_up(struct pg_pool *db, struct arena *arena, const char *room_id, const char *user_id, int64_t after,
                    int64_t rev, int limit, struct catch_up *out, struct err *err);

/* Unread of many users at once, for those whose numbers may have moved: only rooms that are not hidden. */
struct unread_row {
    const char *user_id, *room_id;
    int64_t unread;
};
/* One row per (user, room) of the pairs given, in their order; 0 where the user is no member. */
bool store_unread_of(struct pg_pool *db, struct arena *arena, const char *const *user_ids, const char *const *room_ids,
                     size_t count, struct unread_row **out, struct err *err);

#endif
