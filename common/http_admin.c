#include "http_internal.h"

#include "json.h"
#include "mem.h"
#include "service.h"

enum { ADMIN_WORKERS = 2, ADMIN_QUEUE = 32, ADMIN_CONNECTIONS = 64 }; /* two: a slow check must not hide /healthz */

struct admin {
    const struct ready_check *checks;
    const char *profile;
    struct route routes[];
};

static const struct admin *admin_of(const struct request *req)
{
    return req->exchange->server->owned;
}

/* Alive: a loop and a worker turn. Never asks a store. */
static bool tell_health(struct request *req, struct reply *reply, struct err *err)
{
    (void)req, (void)err;
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "status", "ok");
    json_close(&reply->body, '}');
    return true;
}

static bool tell_ready(struct request *req, struct reply *reply, struct err *err)
{
    const struct admin *admin = admin_of(req);
    AUTO_STR checks;
    str_init(&checks);
    bool ready = !service_stopping();
    (void)err;
    json_open(&checks, NULL, '{');
    json_bool(&checks, "running", ready);
    for (const struct ready_check *check = admin->checks; check && check->name; check++) {
        bool ok = check->check(check->payload);
        json_bool(&checks, check->name, ok);
        ready = ready && ok;
    }
    json_close(&checks, '}');
    json_open(&reply->body, NULL, '{');
    json_bool(&reply->body, "ready", ready);
    json_text(&reply->body, "profile", admin->profile);
    json_raw(&reply->body, "checks", checks.bytes);
    json_close(&reply->body, '}');
    reply->status = ready ? 200 : 503;
    return true;
}

/* The checks stand here too, so that an alarm can name the one that fails. */
static bool tell_metrics(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    metrics_print(&reply->body);
    str_add(&reply->body, "# HELP madang_ready What /readyz says of each check\n# TYPE madang_ready gauge\n");
    str_printf(&reply->body, "madang_ready{check=\"running\"} %d\n", !service_stopping());
    for (const struct ready_check *check = admin_of(req)->checks; check && check->name; check++)
        str_printf(&reply->body, "madang_ready{check=\"%s\"} %d\n", check->name, check->check(check->payload));
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return true;
}

static const struct route ADMIN_ROUTES[] = {
    {.method = "GET", .path = "/healthz", .handler = tell_health},
    {.method = "GET", .path = "/readyz", .handler = tell_ready},
    {.method = "GET", .path = "/metrics", .handler = tell_metrics},
};

struct http_server *admin_server_start(const char *listen, const struct ready_check *checks, const struct route *more,
                                       const void *app, const char *profile, struct err *err)
{
    size_t own = ARRAY_LENGTH(ADMIN_ROUTES), count = 0;
    while (more && more[count].method)
        count++;
    AUTO_FREE struct admin *admin = mem_new(1, sizeof *admin + (own + count + 1) * sizeof admin->routes[0]);
    admin->checks = checks;
    admin->profile = profile;
    memcpy(admin->routes, ADMIN_ROUTES, sizeof ADMIN_ROUTES);
    if (count)
        memcpy(admin->routes + own, more, count * sizeof *more);
    struct http_options options = {.listen = listen,
                                   .routes = admin->routes,
                                   .app = app,
                                   .workers = ADMIN_WORKERS,
                                   .queue = ADMIN_QUEUE,
                                   .connections_max = ADMIN_CONNECTIONS};
    return http_server_start_owning(&options, (void **)&admin, err);
}
