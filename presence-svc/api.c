#include "api.h"

#include "app.h"
#include "store.h"

enum { IDS_MAX = 100, FRIENDS_MAX = 1000 };

static void print_list(struct reply *reply, const struct presence_list *list, size_t count)
{
    json_open(&reply->body, "items", '[');
    for (size_t i = 0; i < count; i++)
        codec_item(&reply->body, &list->items[i]);
    json_close(&reply->body, ']');
}

/* ?online=true: only those who are. */
static bool query_online(struct request *req, bool *online, struct err *err)
{
    const char *text = http_query(req, "online");
    *online = text && strcmp(text, "true") == 0;
    return !text || *online || strcmp(text, "false") == 0 || err_add_field(err, "online", "true or false");
}

/* GET /api/presence/friends -> {items, next_cursor}: all friends, a thousand at a time. */
bool presence_friends(struct request *req, struct reply *reply, struct err *err)
{
    const struct presence_app *app = req->app;
    const char *cursor = http_query(req, "cursor");
    struct presence_list list;
    struct uuid after;
    char after_text[UUID_TEXT_BYTES];
    int64_t limit;
    bool online;
    if (cursor && !uuid_parse(cursor, &after))
        return err_add_field(err, "cursor", "not a cursor of this list");
    if (cursor)
        uuid_format(&after, after_text);
    if (!http_query_i64(req, "limit", FRIENDS_MAX, 1, FRIENDS_MAX, &limit, err) || !query_online(req, &online, err) ||
        !store_friends(app->db, req->arena, req->identity->user_id, cursor ? after_text : NULL, online, limit + 1,
                       &list, err))
        return false;
    const bool more = list.count > (size_t)limit;
    const size_t count = more ? (size_t)limit : list.count;
    json_open(&reply->body, NULL, '{');
    print_list(reply, &list, count);
    json_text(&reply->body, "next_cursor", more ? list.items[count - 1].user_id : NULL);
    json_close(&reply->body, '}');
    return true;
}

/* "a,b,c" -> UUIDs in lower case. */
static bool query_ids(struct request *req, struct texts *ids, struct err *err)
{
    const char *at = http_query(req, "ids");
    if (!at || !*at)
        return err_add_field(err, "ids", "1 to %d ids, separated by commas", IDS_MAX);
    ids->items = arena_alloc(req->arena, IDS_MAX * sizeof *ids->items);
    ids->count = 0;
    for (;; at++) {
        char text[UUID_TEXT_BYTES] = "";
        struct uuid uuid;
        const size_t length = strcspn(at, ",");
        if (ids->count == IDS_MAX)
            return err_add_field(err, "ids", "at most %d", IDS_MAX);
        if (length == UUID_TEXT_BYTES - 1)
            memcpy(text, at, length);
        if (!uuid_parse(text, &uuid))
            return err_add_field(err, "ids", "each must be a UUID");
        char *id = arena_alloc(req->arena, UUID_TEXT_BYTES);
        uuid_format(&uuid, id);
        ids->items[ids->count++] = id;
        at += length;
        if (!*at)
            return true;
    }
}

/* GET /api/presence?ids= -> {items}: those of them who are my friends. */
bool presence_list(struct request *req, struct reply *reply, struct err *err)
{
    const struct presence_app *app = req->app;
    struct presence_list list;
    struct texts ids;
    if (!query_ids(req, &ids, err) ||
        !store_friends_among(app->db, req->arena, req->identity->user_id, &ids, &list, err))
        return false;
    json_open(&reply->body, NULL, '{');
    print_list(reply, &list, list.count);
    json_close(&reply->body, '}');
    return true;
}

static bool reply_settings(struct reply *reply, const struct presence *presence)
{
    json_open(&reply->body, NULL, '{');
    json_bool(&reply->body, "visible", presence->visible);
    json_bool(&reply->body, "show_last_seen", presence->show_last_seen);
    json_close(&reply->body, '}');
    return true;
}

/* GET /api/presence/settings -> {visible, show_last_seen}; both true for who never chose. */
bool settings_get(struct request *req, struct reply *reply, struct err *err)
{
    const struct presence_app *app = req->app;
    struct presence presence;
    return store_settings(app->db, req->identity->user_id, &presence, err) && reply_settings(reply, &presence);
}

/* PUT /api/presence/settings {visible, show_last_seen} -> the same. */
bool settings_put(struct request *req, struct reply *reply, struct err *err)
{
    const struct presence_app *app = req->app;
    struct settings_wish wish;
    struct presence presence;
    return JSON_DECODE(req->arena, req->body, SETTINGS_FIELDS, &wish, err) &&
           store_change_settings(app->db, req->arena, req->identity->user_id, &wish, &presence, err) &&
           reply_settings(reply, &presence);
}
