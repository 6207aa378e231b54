#include "api.h"

#include "app.h"
#include "hub.h"
#include "page.h"
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
    struct notice_page notices;
    struct page page; /* its cursor's number: the seq; 0 begins at the newest */
    bool unread;
    if (!page_read(req, 'n', INT64_MAX, &page, err) || !read_flag(req, "unread", &unread, err) ||
        !store_list(app->db, req->arena, req->identity->user_id, unread, page.after.number, page.limit, &notices, err))
        return false;
    page_open(&reply->body);
    for (size_t i = 0; i < notices.count; i++)
        codec_notice(&reply->body, &notices.items[i]);
    const struct cursor last = {.kind = 'n', .number = notices.more ? notices.items[notices.count - 1].seq : 0};
    page_close(&reply->body, notices.more ? &last : NULL);
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
