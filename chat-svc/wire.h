/* wire.h - the two forms that chat-svc speaks on Kafka: commands (chat.inbound) and events (chat.events). Both are
 * keyed by the room, so a room's commands have one order and its events have one order.
 *
 * A command is a wish: the room's owner (owner.c) applies it and answers with an event that carries the same header
 * `corr`. An event with `rev` is a change of the room: rev is gapless per room, doubles are dropped by (room, rev). An
 * event without rev is a verdict for whoever waits: a refusal, or a repeat of what was done before. Receivers ignore
 * members they do not know. Ownership: texts of decoded structs lie in the arena given. Threads: pure functions. The
 * decoders are fuzzed. */
#ifndef MADANG_CHAT_WIRE_H
#define MADANG_CHAT_WIRE_H

#include "arena.h"
#include "errors.h"
#include "json.h"
#include "str.h"

#include <stdint.h>

#define SEQ_MAX INT64_C(9007199254740991) /* 2^53 - 1: what every reader of JSON holds exactly */

enum {
    CONTENT_MAX = 4000,     /* code points of a message */
    OPEN_CONTENT_MAX = 200, /* in global and company rooms */
    OPEN_KEPT = 100,        /* messages that stay in them */
    OPEN_BURST = 5,         /* messages of one person in them ... */
    OPEN_BURST_MS = 10000,  /* ... in this time */
    GROUP_MEMBERS_MIN = 3,  /* the creator included */
    GROUP_MEMBERS_MAX = 100,
    TITLE_MAX = 100,
    CLIENT_ID_MAX = 64,
    EMOJI_MAX = 16,       /* code points of one reaction */
    EMOJI_KINDS_MAX = 20, /* different reactions of one message */
    EDIT_HOURS = 24,
    MARKS_MAX = 1000,           /* of one read command, and moves of one read event */
    COMMAND_BYTES_MAX = 131072, /* payloads that are longer are nobody's */
    EVENT_BYTES_MAX = 262144,
};

/* ---- rooms ---- */

#define ROOM_EVERYBODY "00000000-0000-7000-8000-000000000001" /* the one global room; made by the first migration */

enum room_kind { ROOM_DM, ROOM_GROUP, ROOM_GLOBAL, ROOM_COMPANY, ROOM_MEETUP, ROOM_KINDS };
const char *room_kind_name(enum room_kind kind);
bool room_kind_parse(const char *name, enum room_kind *kind);
/* Everybody's: no members, marks, unread or push. */
static inline bool room_kind_is_open(enum room_kind kind)
{
    return kind == ROOM_GLOBAL || kind == ROOM_COMPANY;
}

/* ---- commands: chat.inbound ---- */

enum command_kind {
    COMMAND_CREATE, /* room_kind, user_ids (the others), title?; the room id was chosen by the sender of the command */
    COMMAND_ADD,    /* user_ids */
    COMMAND_REMOVE, /* target */
    COMMAND_LEAVE,  /* a DM is hidden, a group is left */
    COMMAND_TITLE,  /* title */
    COMMAND_SEND,   /* client_id, message_id, message_kind, content, file_id?, reply_to? */
    COMMAND_EDIT,   /* seq, content */
    COMMAND_DELETE, /* seq */
    COMMAND_REACT,  /* seq, emoji */
    COMMAND_UNREACT,
    COMMAND_READ,  /* marks: one by a person's own wish; many from an instance for those whose open sockets it served */
    COMMAND_CLOSE, /* the server's: a company's round is over */
    COMMANDS
};
const char *command_kind_name(enum command_kind kind); /* "create", "add", ... */

struct mark {
    const char *user_id;
    int64_t seq;
};

struct command {
    enum command_kind kind;
    const char *id; /* of the record; read only */
    const char *room_id;
    const char *user_id; /* who asks; NULL: the server itself (no friendship or membership is asked for) */
    /* as the kind says; NULL and 0 when absent */
    const char *room_kind, *title;
    struct texts user_ids;
    const char *target;
    const char *client_id, *message_id, *message_kind, *content, *file_id, *emoji;
    int64_t reply_to, seq;
    struct mark *marks;
    size_t mark_count;
};

/* Appends the payload of the record. */
void command_encode(struct str *out, const struct command *command);
/* ERR_BAD_INPUT for what no command can be: such a record is poison. */
bool command_decode(struct arena *arena, struct view payload, struct command *command, struct err *err);

/* ---- events: chat.events ---- */

enum event_kind {
    EVENT_CREATED,  /* room, user_ids: all members */
    EVENT_JOINED,   /* user_ids: the new ones; room; by */
    EVENT_LEFT,     /* user_ids: those who are no members any more; by; manager? (the new one) */
    EVENT_ROOM,     /* room: title changed, closed */
    EVENT_MESSAGE,  /* message */
    EVENT_EDITED,   /* message as it is now */
    EVENT_DELETED,  /* message as it is now: deleted true, content "" */
    EVENT_REACTION, /* message as it is now, by, emoji, added */
    EVENT_READ,     /* reads: whose marks moved, from and to */
    EVENT_VERDICT,  /* no rev: status and code and detail of a refusal, or status 200 with message or room: done before,
                       or nothing to do */
    EVENTS
};
const char *event_kind_name(enum event_kind kind); /* "created", ... */

struct read_move {
    const char *user_id;
    int64_t from, to;
};

struct chat_event {
    enum event_kind kind;
    const char *room_id, *room_kind;
    int64_t rev; /* 0: a verdict */
    const char *at;
    const char *by;      /* who did it; NULL: the server */
    const char *manager; /* EVENT_LEFT: who manages the room from now on; NULL: as before */
    struct texts user_ids;
    const char
        *room; /* JSON: {id, kind, title, member_count, last_seq, created_at, closed} the same for every viewer */
    const char *message;   /* JSON: Message of the API, the same for every viewer */
    int64_t seq;           /* of the message that the event is about; 0: none */
    const char *sender_id; /* of that message; NULL: system */
    const char *emoji;
    bool added;
    struct read_move *reads;
    size_t read_count;
    /* verdicts */
    int64_t status;
    int64_t retry_after_s;     /* of a 429; 0: none */
    const char *code, *detail; /* code: stable problem code (problems.h) */
    int64_t last_seq;          /* of the room after the event: what unread is counted from */
};

void event_encode(struct str *out, const struct chat_event *event);
bool event_decode(struct arena *arena, struct view payload, struct chat_event *event, struct err *err);

#endif
