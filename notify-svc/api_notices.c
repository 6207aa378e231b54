#include "api.h"

#include "app.h"
#include "hub.h"
#include "store.h"
#include "wake.h"

static bool read_flag(struct request *req, const char *name, bool *flag, struct err *err)
{
    const char *text = http_query(req, name);
    *flag = text && strcmp(text, "true") == 0;
    return !text || *flag || strcmp(text, "false") == 0 || err_add_field(err, name, "true or false");
}

/* GET /api/notifications?unread=true -> page of notices, newest first. */
bool notices_list(struct request *req, struct reply *reply, struct err *err)
{
    const struct notify_app *app = req->app;
    const char *cursor = http_query(req, "cursor");
    struct notice_page page;
    int64_t limit, before = 0;
    bool unread;
    if ((cursor && !cursor_read(cursor, &before, err)) || !http_query_i64(req, "limit", 20, 1, 100, &limit, err) ||
        !read_flag(req, "unread", &unread, err))
        return false;
    if (!store_list(app->db, req->arena, req->identity->user_id, unread, before, limit, &page, err))
        return false;
    json_open(&reply->body, NULL, '{');
    json_open(&reply->body, "items", '[');
    for (size_t i = 0; i < page.count; i++)
        codec_notice(&reply->body, &page.items[i]);
    json_close(&reply->body, ']');
    char next[CURSOR_TEXT_BYTES];
    if (page.more)
        cursor_print(page.items[page.count - 1].seq, next);
    json_text(&reply->body, "next_cursor", page.more ? next : NULL);
    json_close(&reply->body, '}');
    return true;
}

static bool reply_unread(struct reply *reply, int64_t unread)
{
    json_open(&reply->body, NULL, '{');
    json_i64(&reply->body, "unread", unread);
    json_close(&reply->body, '}');
    return true;
}

/* GET /api/notifications/count -> {unread}. */
bool notices_count(struct request *req, struct reply *reply, struct err *err)
{
    const struct notify_app *app = req->app;
    int64_t unread;
    return store_unread(app->db, req->identity->user_id, &unread, err) && reply_unread(reply, unread);
}

/* POST /api/notifications/read {up_to} or {ids[]} -> {unread}. What is not one's own, or not there, changes nothing. */
bool notices_read(struct request *req, struct reply *reply, struct err *err)
{
    const struct notify_app *app = req->app;
    const char *me = req->identity->user_id;
    struct read_wish wish;
    int64_t unread;
    bool changed;
    if (!codec_read_wish(req->arena, req->body, &wish, err) ||
        !store_mark_read(app->db, me, &wish, &unread, &changed, err))
        return false;
    if (changed) {
        hub_wake(app->hub, &me, 1);
        wake_publish(app->redis, app->config->service.instance, &me, 1);
    }
    return reply_unread(reply, unread);
}
