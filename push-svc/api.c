#include "api.h"

#include "app.h"
#include "device.h"
#include "store.h"

/* The address itself is never shown: who has it can be sent to. */
static void print_device(struct str *out, const struct listed_device *device, const char *session_id)
{
    json_open(out, NULL, '{');
    json_text(out, "device_id", device->device_id);
    json_text(out, "platform", device->platform);
    json_text(out, "kind", device->is_subscription ? "subscription" : "token");
    if (device->name)
        json_text(out, "name", device->name);
    json_bool(out, "current", strcmp(device->session_id, session_id) == 0);
    json_time(out, "created_at", device->times.created_ms);
    json_time(out, "updated_at", device->times.put_ms);
    json_close(out, '}');
}

/* GET /api/push/devices -> {items, next_cursor: null}, the last one put first. There are never more than one page. */
bool devices_list(struct request *req, struct reply *reply, struct err *err)
{
    const struct push_app *app = req->app;
    AUTO(pg_result) rows = store_list_devices(app->db, req->identity->user_id, err);
    if (!rows)
        return false;
    json_open(&reply->body, NULL, '{');
    json_open(&reply->body, "items", '[');
    for (int row = 0; row < pg_rows(rows); row++) {
        const struct listed_device device = store_listed_device(rows, row);
        print_device(&reply->body, &device, req->identity->session_id);
    }
    json_close(&reply->body, ']');
    json_text(&reply->body, "next_cursor", NULL);
    json_close(&reply->body, '}');
    return true;
}

/* PUT /api/push/devices/:device_id {platform, token or subscription, name?} -> 200 and the device, now of this session.
 */
bool device_put(struct request *req, struct reply *reply, struct err *err)
{
    const struct push_app *app = req->app;
    struct device device;
    struct device_times times;
    const struct device_put put = {.caller = req->identity, .device = &device, .most = app->config->devices_max};
    if (!device_read(req->arena, &app->reach, http_param(req, "device_id"), req->body, &device, err) ||
        !store_put_device(app->db, &put, &times, err))
        return false;
    const struct listed_device shown = {.device_id = device.device_id,
                                        .platform = device.platform,
                                        .name = device.name,
                                        .session_id = req->identity->session_id,
                                        .is_subscription = device.is_subscription,
                                        .times = times};
    print_device(&reply->body, &shown, req->identity->session_id);
    return true;
}

/* DELETE /api/push/devices/:device_id -> 204; 404. */
bool device_delete(struct request *req, struct reply *reply, struct err *err)
{
    const struct push_app *app = req->app;
    return store_delete_device(app->db, req->identity->user_id, http_param(req, "device_id"), err) &&
           reply_empty(reply, 204);
}

/* GET /api/push/vapid-key -> {key}: what a browser gives to pushManager.subscribe(). */
bool vapid_key_get(struct request *req, struct reply *reply, struct err *err)
{
    const struct push_app *app = req->app;
    (void)err;
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "key", app->vapid_public);
    json_close(&reply->body, '}');
    reply_header(reply, "Cache-Control", "public, max-age=300");
    return true;
}
