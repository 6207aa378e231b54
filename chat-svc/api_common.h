/* api_common.h - what several handlers need: for api_*.c only.
 *
 * Every change of a room is a command to its owner. A handler that makes one runs twice:
 *     if (!req->asked) { ... decode, check ...; return change_ask(req, &command, err); }     // no worker waits
 *     return change_answered(req, &event, err) && ... the reply from the event ...; */
#ifndef MADANG_CHAT_API_COMMON_H
#define MADANG_CHAT_API_COMMON_H

#include "app.h"
#include "codec.h"
#include "front.h"
#include "http.h"
#include "page.h"

static inline const struct chat_app *app_of(const struct request *req)
{
    return req->app;
}
static inline const char *caller_of(const struct request *req)
{
    return req->identity->user_id;
}

/* Sends the command and ends this run: always false. */
bool change_ask(struct request *req, const struct command *command, struct err *err);
/* What came of it. False for a refusal, and (unavailable) when no verdict came in time. */
bool change_answered(struct request *req, struct chat_event *event, struct err *err);

/* The room of the path; ERR_NOT_FOUND unless it is the caller's or everybody's. Makes the caller's own row of people
 * when it is missing. */
bool room_of_path(struct request *req, const char **room_id, struct err *err);
/* Likewise with the sequence of a message; ERR_NOT_FOUND for what is no sequence. */
bool message_of_path(struct request *req, const char **room_id, int64_t *seq, struct err *err);

/* May these people be in a room with the caller: they exist, and are friends (unless the setting says otherwise)
 * without a block. Copies come a moment later than the events they are made of, so what is missing is waited for, a
 * second at most (the handler runs again). */
bool people_may_join(struct request *req, const struct texts *user_ids, struct err *err);

/* 200 or another status, and the room as the caller sees it. */
bool reply_room(struct request *req, struct reply *reply, const char *room_id, int status, struct err *err);

#endif
