/* codec.h - Room and Message of the API as JSON, and what the bodies of requests may hold.
 * codec_message() is the one printer of messages: events, pages, search and catch-up all show the same members.
 * Ownership: texts are lent; printers append to `out`. Threads: pure functions. */
#ifndef MADANG_CHAT_CODEC_H
#define MADANG_CHAT_CODEC_H

#include "json.h"
#include "uuid.h"
#include "wire.h"

/* ---- messages ---- */

struct message {
    const char *room_id, *id;
    int64_t seq, rev;
    const char *client_id;                         /* NULL: a system line */
    const char *sender_id, *nickname, *avatar_url; /* sender_id NULL: the server; names "" when unknown */
    const char *kind, *content;
    const char *file_id;   /* NULL: none */
    int64_t reply_to;      /* 0: none */
    const char *reactions; /* JSON {emoji: how many} */
    int64_t edited_ms;     /* 0: never */
    bool deleted;
    int64_t at_ms;
};

/* What is not stored with it: how many have not read it, and what one viewer did. Events and catch-up tell only the
 * first. */
struct message_view {
    int64_t unread_by;         /* members whose mark is behind it; < 0: not told (rooms without marks) */
    struct texts my_reactions; /* items NULL: not told */
};

/* With what `view` (may be NULL) tells at the end. */
void codec_message(struct str *out, const char *name, const struct message *message, const struct message_view *view);
/* A message that an event brought as JSON (an object, printed by codec_message), with what `view` tells besides. */
void codec_message_seen(struct str *out, const char *shared, const struct message_view *view);

/* ---- rooms ---- */

struct person {
    const char *id, *nickname, *avatar_url;
};

struct member {
    struct person person;
    bool manager;
};

struct room {
    const char *id;
    enum room_kind kind;
    const char *title; /* "": made of the members' nicknames when shown */
    int64_t member_count, last_seq, created_ms;
    bool closed;
};

/* What one viewer sees of a room besides. */
struct room_view {
    const char *viewer_id;
    const struct member *members;       /* of open rooms: none */
    size_t member_count;                /* of those listed: at most ROOM_MEMBERS_SHOWN */
    const struct message *last_message; /* NULL: none */
    int64_t read_seq;
    bool muted;
};

enum { ROOM_MEMBERS_SHOWN = 100 };

/* {id, kind, title, member_count, last_seq, created_at, closed}: for events, the same for every viewer. */
void codec_room(struct str *out, const char *name, const struct room *room);
/* Room of the API. */
void codec_room_seen(struct str *out, const char *name, const struct room *room, const struct room_view *view);

/* ---- bodies of requests ---- */

struct room_wish {
    const char *kind, *user_id, *title;
    struct texts user_ids;
};
extern const struct field ROOM_WISH_FIELDS[];

struct title_wish {
    const char *title; /* NULL: not given, or null */
    bool title_seen;
};
extern const struct field TITLE_WISH_FIELDS[];

struct mute_wish {
    bool muted;
};
extern const struct field MUTE_WISH_FIELDS[];

struct members_wish {
    struct texts user_ids;
};
extern const struct field MEMBERS_WISH_FIELDS[];

/* Also the body of the socket's SEND to /app/rooms.{id}.messages. */
struct message_wish {
    const char *client_id, *kind, *content, *file_id;
    int64_t reply_to;
};
extern const struct field MESSAGE_WISH_FIELDS[];

struct edit_wish {
    const char *content;
};
extern const struct field EDIT_WISH_FIELDS[];

struct read_wish {
    int64_t seq;
};
extern const struct field READ_WISH_FIELDS[];

/* Rules that a table can't say. All name the wrong field. */
/* NFC; at most CONTENT_MAX code points; not blank unless `may_be_empty`. NULL on failure. */
const char *wish_content(struct arena *arena, const char *content, bool may_be_empty, struct err *err);
/* The message of kind text (or none) has content; image, video and file name a file and may have words; system is
 * nobody's. Sets kind and content as they go into the command. */
bool wish_message(struct arena *arena, struct message_wish *wish, struct err *err);
/* Without edge white space; NFC; at most TITLE_MAX. "" for NULL. NULL on failure. */
const char *wish_title(struct arena *arena, const char *title, struct err *err);
/* Each is a UUID, lower-cased; none is `me` (ERR_SELF) or doubled (doubles are dropped). `pointer` names the list in
 * err. */
bool wish_user_ids(struct arena *arena, struct texts *user_ids, const char *me, const char *pointer, struct err *err);
/* One reaction: 1 to EMOJI_MAX code points without control characters and white space, NFC. NULL on failure. */
const char *wish_emoji(struct arena *arena, const char *emoji, struct err *err);

#endif
