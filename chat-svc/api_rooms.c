#include "api.h"

#include "api_common.h"
#include "crypto.h"
#include "idempotency.h"
#include "problems.h"
#include "store_rooms.h"

/* ---- opening ---- */

static bool ask_for_room(struct request *req, const char *room_id, const struct room_wish *wish,
                         const struct texts *others, struct err *err)
{
    const struct command command = {
        .kind = COMMAND_CREATE,
        .room_id = room_id,
        .user_id = caller_of(req),
        .room_kind = wish->kind,
        .user_ids = *others,
        .title = wish->title,
    };
    return change_ask(req, &command, err);
}

/* The pair's room id is taken here, whoever asks first; the owner makes the room once and shows it again to who had
 * left it. What a room that exists already may be used for is the owner's to say. */
static bool open_dm(struct request *req, const struct room_wish *wish, struct err *err)
{
    struct pg_pool *db = app_of(req)->db;
    const char *others_list[] = {wish->user_id};
    const struct texts others = {others_list, 1};
    char room_id[UUID_TEXT_BYTES];
    bool exists;
    if (!wish->user_id)
        return err_add_field(err, "/user_id", "needed for a dm");
    if (wish->user_ids.count > 0)
        return err_add_field(err, "/user_ids", "a dm has user_id");
    if (wish->title)
        return err_add_field(err, "/title", "a dm has none");
    if (strcmp(wish->user_id, caller_of(req)) == 0)
        return err_set(err, &ERR_SELF, "you can't open a room with yourself");
    return store_dm_exists(db, caller_of(req), wish->user_id, &exists, err) &&
           (exists || people_may_join(req, &others, err)) &&
           store_dm_room(db, caller_of(req), wish->user_id, room_id, err) &&
           ask_for_room(req, room_id, wish, &others, err);
}

/* With an Idempotency-Key the room's id is that of the first request with this key. */
static bool group_id(struct request *req, char room_id[UUID_TEXT_BYTES], struct err *err)
{
    const char *key;
    char fingerprint[SHA256_HEX_BYTES];
    uuid_new(room_id);
    if (!idempotency_key(req, &key, err))
        return false;
    crypto_sha256_hex(req->body.bytes, req->body.length, fingerprint);
    return !key || store_room_key(app_of(req)->db, caller_of(req), key, fingerprint, room_id, err);
}

static bool open_group(struct request *req, struct reply *reply, struct room_wish *wish, struct err *err)
{
    char room_id[UUID_TEXT_BYTES];
    struct seen_room seen;
    struct err none = {0};
    if (wish->user_id)
        return err_add_field(err, "/user_id", "a group has user_ids");
    wish->title = wish_title(req->arena, wish->title, err);
    if (!wish->title || !wish_user_ids(req->arena, &wish->user_ids, caller_of(req), "/user_ids", err))
        return false;
    if (wish->user_ids.count < GROUP_MEMBERS_MIN - 1)
        return err_add_field(err, "/user_ids", "at least %d other people", GROUP_MEMBERS_MIN - 1);
    if (!group_id(req, room_id, err))
        return false;
    if (http_header(req, "Idempotency-Key") &&
        store_room(app_of(req)->db, req->arena, room_id, caller_of(req), &seen, &none))
        return reply_room(req, reply, room_id, 201, err);
    return people_may_join(req, &wish->user_ids, err) && ask_for_room(req, room_id, wish, &wish->user_ids, err);
}

static bool room_opened(struct request *req, struct reply *reply, struct err *err)
{
    struct chat_event event;
    struct seen_room seen;
    if (!change_answered(req, &event, err) ||
        !store_room(app_of(req)->db, req->arena, event.room_id, caller_of(req), &seen, err))
        return false;
    /* A group was asked for again with its key: the same answer. A DM that exists: 200. */
    const bool is_new = event.kind == EVENT_CREATED || seen.room.kind != ROOM_DM;
    reply->status = is_new ? 201 : 200;
    codec_room_seen(&reply->body, NULL, &seen.room, &seen.view);
    return true;
}

/* POST /api/chat/rooms {kind: dm, user_id} -> 201 the room, 200 the one that there is; {kind: group, user_ids, title?}
 * -> 201. */
bool room_create(struct request *req, struct reply *reply, struct err *err)
{
    struct room_wish wish;
    if (req->asked)
        return room_opened(req, reply, err);
    if (!JSON_DECODE(req->arena, req->body, ROOM_WISH_FIELDS, &wish, err) ||
        !store_own_row(app_of(req)->db, req->identity, err))
        return false;
    return strcmp(wish.kind, "dm") == 0 ? open_dm(req, &wish, err) : open_group(req, reply, &wish, err);
}

/* ---- reading ---- */

/* ?kind=global,company; without it the kinds that have members. */
static bool read_kinds(struct request *req, bool kinds[ROOM_KINDS], struct err *err)
{
    const char *text = http_query(req, "kind");
    for (enum room_kind kind = 0; kind < ROOM_KINDS; kind++)
        kinds[kind] = !text && !room_kind_is_open(kind);
    while (text) {
        const size_t length = strcspn(text, ",");
        enum room_kind kind;
        if (!room_kind_parse(arena_bytes(req->arena, text, length), &kind))
            return err_add_field(err, "kind", "a list of dm, group, meetup, global, company");
        kinds[kind] = true;
        text = text[length] == ',' ? text + length + 1 : NULL;
    }
    return true;
}

/* GET /api/chat/rooms -> page, the last active first. */
bool room_list(struct request *req, struct reply *reply, struct err *err)
{
    bool kinds[ROOM_KINDS];
    struct page page;
    struct seen_room *rooms;
    size_t count;
    if (!read_kinds(req, kinds, err) || !page_read(req, 'r', CURSOR_US_MAX, &page, err) ||
        !store_rooms(app_of(req)->db, req->arena, caller_of(req), kinds, page_after(&page), page.limit + 1, &rooms,
                     &count, err))
        return false;
    const size_t shown = count > (size_t)page.limit ? (size_t)page.limit : count;
    struct cursor last = {.kind = 'r'};
    page_open(&reply->body);
    for (size_t i = 0; i < shown; i++) {
        codec_room_seen(&reply->body, NULL, &rooms[i].room, &rooms[i].view);
        last.number = rooms[i].active_us;
        memcpy(last.id, rooms[i].room.id, sizeof last.id);
    }
    page_close(&reply->body, count > shown ? &last : NULL);
    return true;
}

/* GET /api/chat/rooms/:id -> the room. */
bool room_view(struct request *req, struct reply *reply, struct err *err)
{
    const char *room_id = http_param_uuid(req, "id", err);
    return room_id && reply_room(req, reply, room_id, 200, err);
}

/* ---- changing ---- */

/* PATCH /api/chat/rooms/:id {title?} -> the room; null and "" bring back the title made of nicknames. */
bool room_change(struct request *req, struct reply *reply, struct err *err)
{
    struct chat_event event;
    struct title_wish wish;
    const char *room_id;
    if (req->asked)
        return change_answered(req, &event, err) && reply_room(req, reply, event.room_id, 200, err);
    if (!room_of_path(req, &room_id, err) || !JSON_DECODE(req->arena, req->body, TITLE_WISH_FIELDS, &wish, err))
        return false;
    if (!wish.title_seen)
        return reply_room(req, reply, room_id, 200, err);
    const struct command command = {
        .kind = COMMAND_TITLE,
        .room_id = room_id,
        .user_id = caller_of(req),
        .title = wish_title(req->arena, wish.title, err),
    };
    return command.title && change_ask(req, &command, err);
}

/* PUT /api/chat/rooms/:id/mute {muted} -> the room. The one column of members that is not the owner's: it tells nobody
 * but oneself. */
bool room_mute(struct request *req, struct reply *reply, struct err *err)
{
    struct mute_wish wish;
    struct room_access access;
    const char *room_id = http_param_uuid(req, "id", err);
    if (!room_id || !store_room_access(app_of(req)->db, room_id, req->identity, &access, err))
        return false;
    if (room_kind_is_open(access.kind))
        return err_set(err, &ERR_NOT_FOR_OPEN_ROOM, "a room for everybody pushes nothing");
    return JSON_DECODE(req->arena, req->body, MUTE_WISH_FIELDS, &wish, err) &&
           store_mute(app_of(req)->db, room_id, caller_of(req), wish.muted, err) &&
           reply_room(req, reply, room_id, 200, err);
}
