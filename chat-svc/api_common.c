#include "api_common.h"

#include "problems.h"
#include "records.h"
#include "store_rooms.h"

/* ---- changes ---- */

bool change_ask(struct request *req, const struct command *command, struct err *err)
{
    const struct chat_app *app = app_of(req);
    const struct origin origin = {req->request_id, req->traceparent};
    char corr[PENDING_CORR_BYTES];
    /* First the place in the table, then the command: its verdict may be faster than we are. */
    return pending_begin(app->pending, req, corr, err) && front_send(app, command, corr, &origin, err) &&
           pending_wait(app->pending, req, (int)app->config->verdict_ms);
}

bool change_answered(struct request *req, struct chat_event *event, struct err *err)
{
    if (!req->answer.bytes)
        return err_set_retry(err, &ERR_UNAVAILABLE, 1, "no verdict yet; it may still be done: repeating is safe");
    return event_decode(req->arena, req->answer, event, err) && front_verdict(event, err);
}

/* ---- what the path names ---- */

bool room_of_path(struct request *req, const char **room_id, struct err *err)
{
    struct room_access access;
    *room_id = http_param_uuid(req, "id", err);
    return *room_id && store_room_access(app_of(req)->db, *room_id, req->identity, &access, err);
}

static bool read_seq(const char *text, int64_t *seq)
{
    int64_t value = 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || value > INT64_MAX / 10 - 1)
            return false;
        value = value * 10 + (*at - '0');
    }
    *seq = value;
    return value > 0;
}

bool message_of_path(struct request *req, const char **room_id, int64_t *seq, struct err *err)
{
    if (!room_of_path(req, room_id, err))
        return false;
    return read_seq(http_param(req, "seq"), seq) || err_set(err, &ERR_NOT_FOUND, "no such message");
}

/* ---- other people ---- */

/* What this standing is refused with; NULL: it is fine. */
static const struct problem *refusal_of(enum standing standing, bool friends_only)
{
    switch (standing) {
    case STANDING_FRIEND:
        return NULL;
    case STANDING_KNOWN:
        return friends_only ? &ERR_NOT_FRIENDS : NULL;
    case STANDING_BLOCKED:
        return &ERR_BLOCKED;
    case STANDING_PROMISED:
        return &ERR_NOT_YET;
    case STANDING_UNKNOWN:
        break;
    }
    return &ERR_NOT_FOUND;
}

static bool refuse(const struct problem *problem, const char *user_id, struct err *err)
{
    if (problem == &ERR_NOT_YET)
        return err_set_retry(err, problem, 1, "%s is not here yet", user_id);
    return err_set(err, problem, problem == &ERR_NOT_FOUND ? "there is no user %s" : "user %s", user_id);
}

bool people_may_join(struct request *req, const struct texts *user_ids, struct err *err)
{
    const struct chat_app *app = app_of(req);
    enum standing *standings;
    if (!store_standings(app->db, req->arena, caller_of(req), user_ids, &standings, err))
        return false;
    bool wait = false;
    for (size_t i = 0; i < user_ids->count; i++) {
        const struct problem *problem = refusal_of(standings[i], app->config->friends_only);
        if (!problem)
            continue;
        /* An old account that is unknown will not come; all else may be on its way. */
        const bool may_come = standings[i] != STANDING_UNKNOWN || account_is_young(user_ids->items[i]);
        if (!may_come || req->waited_ms >= RECORD_WAIT_MS)
            return refuse(problem, user_ids->items[i], err);
        wait = true;
    }
    return !wait || http_try_again(req, RECORD_LOOK_MS);
}

/* ---- replies ---- */

bool reply_room(struct request *req, struct reply *reply, const char *room_id, int status, struct err *err)
{
    struct seen_room seen;
    if (!store_room(app_of(req)->db, req->arena, room_id, caller_of(req), &seen, err))
        return false;
    reply->status = status;
    codec_room_seen(&reply->body, NULL, &seen.room, &seen.view);
    return true;
}
