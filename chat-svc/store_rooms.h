/* store_rooms.h - what handlers read of rooms and people, and the few rows that they write themselves (members.muted,
 * dm_pairs, room_keys, the caller's own row of people). All else is the owner's. Ownership: results lie in the arena.
 */
#ifndef MADANG_CHAT_STORE_ROOMS_H
#define MADANG_CHAT_STORE_ROOMS_H

#include "codec.h"
#include "page.h"
#include "pg.h"
#include "token.h"

/* Makes the caller's row of people from the token when the account's event has not come yet. */
bool store_own_row(struct pg_pool *db, const struct identity *caller, struct err *err);

struct room_access {
    enum room_kind kind;
    bool closed;
    int64_t last_seq;
};
/* ERR_NOT_FOUND unless the caller is a member or the room is everybody's. Makes the caller's own row too. */
bool store_room_access(struct pg_pool *db, const char *room_id, const struct identity *caller,
                       struct room_access *access, struct err *err);

/* How others stand to the caller, by the copies that are here. */
enum standing {
    STANDING_FRIEND,
    STANDING_KNOWN,    /* there, but no friend */
    STANDING_BLOCKED,  /* one of the two blocks the other */
    STANDING_PROMISED, /* a friend whose account has not come yet: certainly there */
    STANDING_UNKNOWN,
};
/* One per id, in their order. */
bool store_standings(struct pg_pool *db, struct arena *arena, const char *me, const struct texts *user_ids,
                     enum standing **out, struct err *err);

/* The one DM of two people: taken by whoever asks first. `exists`: the room was made already. */
bool store_dm_room(struct pg_pool *db, const char *me, const char *other, char room_id[UUID_TEXT_BYTES],
                   struct err *err);
/* ERR_NOT_FOUND when the two never had one. */
bool store_dm_exists(struct pg_pool *db, const char *me, const char *other, bool *exists, struct err *err);
/* The room that an Idempotency-Key stands for (24 h): `room_id` holds a new id and gets the first one given.
 * ERR_KEY_REUSED for another body. */
bool store_room_key(struct pg_pool *db, const char *me, const char *key, const char *fingerprint,
                    char room_id[UUID_TEXT_BYTES], struct err *err);
bool store_room_keys_sweep(struct pg_pool *db, struct err *err);

/* ERR_NOT_FOUND for who is no member. */
bool store_mute(struct pg_pool *db, const char *room_id, const char *me, bool muted, struct err *err);

/* Rooms as one viewer sees them. */
struct seen_room {
    struct room room;
    struct room_view view;
    int64_t active_us; /* order of lists: (active_us, id), falling */
};
/* ERR_NOT_FOUND for others' and unknown rooms. */
bool store_room(struct pg_pool *db, struct arena *arena, const char *room_id, const char *me, struct seen_room *out,
                struct err *err);
/* The viewer's rooms of these kinds (open kinds: all that are not closed), the last active first, at most `limit` after
 * `after` (NULL: from the top). Three statements, whatever the length. */
bool store_rooms(struct pg_pool *db, struct arena *arena, const char *me, const bool kinds[ROOM_KINDS],
                 const struct cursor *after, int64_t limit, struct seen_room **out, size_t *count, struct err *err);

/* Unread of the viewer's rooms that have any, and in all; hidden ones left out. */
struct unread_room {
    const char *room_id;
    int64_t unread;
};
bool store_unread(struct pg_pool *db, struct arena *arena, const char *me, struct unread_room **out, size_t *count,
                  struct err *err);
/* Of one room; ERR_NOT_FOUND for who is no member. */
bool store_unread_in(struct pg_pool *db, const char *room_id, const char *me, int64_t *unread, struct err *err);

#endif
