#include "api.h"

#include "api_common.h"
#include "problems.h"
#include "store_rooms.h"

static bool may_have_members(struct request *req, const char **room_id, struct err *err)
{
    struct room_access access;
    *room_id = http_param_uuid(req, "id", err);
    if (!*room_id || !store_room_access(app_of(req)->db, *room_id, req->identity, &access, err))
        return false;
    return !room_kind_is_open(access.kind) ||
           err_set(err, &ERR_NOT_FOR_OPEN_ROOM, "a room for everybody has no members");
}

/* POST /api/chat/rooms/:id/members {user_ids[]} -> the room. Who is in already stays in. */
bool members_add(struct request *req, struct reply *reply, struct err *err)
{
    struct chat_event event;
    struct members_wish wish;
    const char *room_id;
    if (req->asked)
        return change_answered(req, &event, err) && reply_room(req, reply, event.room_id, 200, err);
    if (!may_have_members(req, &room_id, err) || !JSON_DECODE(req->arena, req->body, MEMBERS_WISH_FIELDS, &wish, err) ||
        !wish_user_ids(req->arena, &wish.user_ids, caller_of(req), "/user_ids", err) ||
        !people_may_join(req, &wish.user_ids, err))
        return false;
    const struct command command = {
        .kind = COMMAND_ADD,
        .room_id = room_id,
        .user_id = caller_of(req),
        .user_ids = wish.user_ids,
    };
    return change_ask(req, &command, err);
}

/* DELETE /api/chat/rooms/:id/members/:user_id -> 204: `me` (or one's own id) leaves, the manager removes others. */
bool member_remove(struct request *req, struct reply *reply, struct err *err)
{
    struct chat_event event;
    const char *room_id;
    if (req->asked)
        return change_answered(req, &event, err) && reply_empty(reply, 204);
    const char *target =
        strcmp(http_param(req, "user_id"), "me") == 0 ? caller_of(req) : http_param_uuid(req, "user_id", err);
    if (!target || !may_have_members(req, &room_id, err))
        return false;
    const bool leaves = strcmp(target, caller_of(req)) == 0;
    const struct command command = {
        .kind = leaves ? COMMAND_LEAVE : COMMAND_REMOVE,
        .room_id = room_id,
        .user_id = caller_of(req),
        .target = leaves ? NULL : target,
    };
    return change_ask(req, &command, err);
}
