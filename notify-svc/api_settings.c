#include "api.h"

#include "app.h"
#include "store.h"

/* GET /api/notifications/settings -> {kinds, quiet_hours}: what holds for every kind. */
bool settings_get(struct request *req, struct reply *reply, struct err *err)
{
    const struct notify_app *app = req->app;
    struct settings settings;
    if (!store_settings(app->db, req->identity->user_id, &settings, err))
        return false;
    codec_settings(&reply->body, &settings);
    return true;
}

/* PUT /api/notifications/settings {kinds?, quiet_hours?} -> what holds then; what is not named stays. kind_locked. */
bool settings_put(struct request *req, struct reply *reply, struct err *err)
{
    const struct notify_app *app = req->app;
    const struct origin origin = {req->request_id, req->traceparent};
    struct settings wish, after;
    if (!codec_settings_wish(req->arena, req->body, &wish, err) ||
        !store_change_settings(app->db, req->arena, req->identity->user_id, &wish, &origin, &after, err))
        return false;
    codec_settings(&reply->body, &after);
    return true;
}
