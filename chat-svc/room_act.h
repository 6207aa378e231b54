/* room_act.h - one command on its way through the rules: shared by room.c (rooms and members) and room_messages.c. */
#ifndef MADANG_CHAT_ROOM_ACT_H
#define MADANG_CHAT_ROOM_ACT_H

#include "room.h"

struct act {
    struct scene *scene;
    const struct command *command;
    int64_t at_ms;
    size_t source;
    struct chat_room *room;          /* NULL only where it is made */
    const struct chat_person *asker; /* NULL: the server */
    struct seat *seat;               /* of the asker; NULL in open rooms and for the server */
    struct err *err;
};

/* Appends an event of the room with its next rev; the answer of the command unless it is a mere consequence. */
struct chat_event *act_tell(struct act *act, enum event_kind kind, bool answers);
/* The answer when nothing changed: a verdict 200. */
struct chat_event *act_answer(struct act *act);
/* A system line: the next message of the room, from the server. */
void act_line(struct act *act, const char *type, const char *const *user_ids, size_t count);
/* The room's next message; its event is the caller's to tell. */
struct chat_message *act_new_message(struct act *act, struct message *shown);

/* room_messages.c */
bool act_send(struct act *act);
bool act_edit(struct act *act);
bool act_delete(struct act *act);
bool act_react(struct act *act);
bool act_unreact(struct act *act);

#endif
