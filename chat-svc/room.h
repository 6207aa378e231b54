/* room.h - the rules of rooms: who may do what, and what then follows. Pure: no clock, no store, no Kafka.
 *
 * room_apply() takes one command: it either refuses (false; the scene is unchanged) or changes the scene and appends
 * what is to be told to scene->events: one of them, with `answers`, is for whoever waits. What was done before is no
 * refusal: the answer then is a verdict 200 with the message or the room. README.md ("The owner") has the rules in
 * words. */
#ifndef MADANG_CHAT_ROOM_H
#define MADANG_CHAT_ROOM_H

#include "scene.h"

/* at_ms: when the command was written to the log; `source`: the number that its events carry. */
bool room_apply(struct scene *scene, const struct command *command, int64_t at_ms, size_t source, struct err *err);

/* The refusal as an event. */
void room_refuse(struct scene *scene, const struct command *command, int64_t at_ms, size_t source,
                 const struct err *err);

#endif
