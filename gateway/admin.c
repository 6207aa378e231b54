#include "admin.h"

#include "json.h"
#include "log.h"
#include "mem.h"
#include "stats.h"

#include <stdlib.h>

static bool registry_page(struct request *req, struct reply *reply, struct err *err);
static bool registry_wish(struct request *req, struct reply *reply, struct err *err);

const struct route ADMIN_ROUTES[] = {
    {"GET", "/registry", AUTH_OPEN, registry_page, 0},
    {"POST", "/registry/drain", AUTH_OPEN, registry_wish, 0},
    {0},
};

bool admin_ready_registry(void *payload)
{
    struct gateway *gateway = payload;
    return registry_watch_ready(gateway->watch) || *gateway->config->upstreams;
}

bool admin_ready_tokens(void *payload)
{
    return auth_feed_ready(((struct gateway *)payload)->feed);
}

bool admin_ready_traffic(void *payload)
{
    return !atomic_load(&((struct gateway *)payload)->draining);
}

/* ---- /registry ---- */

static const char *const STATES[] = {
    [INSTANCE_UP] = "up", [INSTANCE_DRAINING] = "draining", [INSTANCE_SUSPECT] = "suspect"};

static int by_name(const void *a, const void *b)
{
    const struct registry_entry *x = &(*(const struct instance *const *)a)->entry;
    const struct registry_entry *y = &(*(const struct instance *const *)b)->entry;
    int order = strcmp(x->service, y->service);
    return order ? order : strcmp(x->instance, y->instance);
}

/* Failed or 5xx, in percent of the requests since the gateway knows the instance. */
static double error_percent(const struct instance_view *view)
{
    return view->requests ? 100.0 * (double)(view->failures + view->errors) / (double)view->requests : 0;
}

static void json_instance(struct str *out, const struct registry_entry *entry, const struct instance_view *view)
{
    char rate[24];
    (void)snprintf(rate, sizeof rate, "%.2f", error_percent(view));
    json_open(out, NULL, '{');
    json_text(out, "instance", entry->instance);
    json_text(out, "address", entry->address);
    json_text(out, "version", entry->version);
    json_text(out, "state", STATES[entry->state]);
    json_i64(out, "weight", entry->weight);
    if (entry->started_ms)
        json_time(out, "started_at", entry->started_ms);
    json_i64(out, "in_flight", view->in_flight);
    json_i64(out, "connections", view->connections);
    json_i64(out, "requests", view->requests);
    json_i64(out, "failures", view->failures);
    json_i64(out, "errors", view->errors);
    json_raw(out, "error_percent", rate);
    json_text(out, "breaker", view->breaker);
    json_close(out, '}');
}

static void print_json(struct gateway *gateway, const struct instance **sorted, size_t count, struct str *out)
{
    json_open(out, NULL, '{');
    json_bool(out, "stale", registry_watch_stale(gateway->watch));
    json_open(out, "services", '[');
    for (size_t i = 0; i < count;) {
        const char *service = sorted[i]->entry.service;
        json_open(out, NULL, '{');
        json_text(out, "service", service);
        json_open(out, "instances", '[');
        for (; i < count && strcmp(sorted[i]->entry.service, service) == 0; i++) {
            struct instance_view view;
            stats_view(gateway, &sorted[i]->entry, &view);
            json_instance(out, &sorted[i]->entry, &view);
        }
        json_close(out, ']');
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
}

static void html_text(struct str *out, const char *text)
{
    for (; *text; text++) {
        static const char *const NAMES[] = {['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;"};
        unsigned char c = (unsigned char)*text;
        if (c < ARRAY_LENGTH(NAMES) && NAMES[c])
            str_add(out, NAMES[c]);
        else
            str_add_char(out, (char)c);
    }
}

static void html_cell(struct str *out, const char *class, const char *text)
{
    str_printf(out, "<td class=\"%s\">", class);
    html_text(out, text);
    str_add(out, "</td>");
}

/* Names come from Redis: only what needs no escape in a URL gets a button. */
static bool plain_name(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

static void html_button(const struct registry_entry *entry, struct str *out)
{
    const bool drains = entry->state == INSTANCE_DRAINING;
    str_add(out, "<td>");
    if (plain_name(entry->service) && plain_name(entry->instance))
        str_printf(out,
                   "<form method=\"post\" "
                   "action=\"/registry/drain?service=%s&amp;instance=%s&amp;on=%d\"><button>%s</button></form>",
                   entry->service, entry->instance, !drains, drains ? "take back" : "drain");
    str_add(out, "</td>");
}

static void html_row(struct gateway *gateway, const struct registry_entry *entry, struct str *out)
{
    struct instance_view view;
    stats_view(gateway, entry, &view);
    str_add(out, "<tr>");
    html_cell(out, "", entry->service);
    html_cell(out, "", entry->instance);
    html_cell(out, "", entry->address);
    html_cell(out, "", entry->version);
    html_cell(out, STATES[entry->state], STATES[entry->state]);
    str_printf(out, "<td class=\"n\">%lld</td><td class=\"n\">%lld</td><td class=\"n\">%.2f %%</td>",
               (long long)view.in_flight, (long long)view.requests, error_percent(&view));
    html_cell(out, view.breaker, view.breaker);
    html_button(entry, out);
    str_add(out, "</tr>\n");
}

static void print_html(struct gateway *gateway, const struct instance **sorted, size_t count, struct str *out)
{
    str_add(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"5\">"
                 "<title>Madang registry</title><style>body{font:14px system-ui,sans-serif;margin:2em}"
                 "table{border-collapse:collapse}th,td{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left}"
                 ".n{text-align:right}.up,.closed{color:#080}.draining,.half-open{color:#a60}.suspect,.open{color:#c00}"
                 "</style><h1>Registry</h1>");
    if (registry_watch_stale(gateway->watch))
        str_add(out,
                "<p class=\"suspect\">Redis is away or lost most instances at once: this is the last good table.</p>");
    str_add(out, "<table><tr><th>service<th>instance<th>address<th>version<th>state<th>in flight<th>requests<th>errors"
                 "<th>breaker<th></tr>\n");
    for (size_t i = 0; i < count; i++)
        html_row(gateway, &sorted[i]->entry, out);
    str_add(out, "</table></html>\n");
}

static bool registry_page(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    struct gateway *gateway = (struct gateway *)req->app; /* its parts are thread-safe */
    struct instance_list *list = instances_get(gateway->instances);
    const struct instance **sorted = mem_new(list->count, sizeof(void *));
    for (size_t i = 0; i < list->count; i++)
        sorted[i] = &list->items[i];
    qsort(sorted, list->count, sizeof(void *), by_name);
    const char *accept = http_header(req, "Accept"), *format = http_query(req, "format");
    bool html = accept && strstr(accept, "text/html") && !(format && strcmp(format, "json") == 0);
    if (html)
        reply->content_type = "text/html; charset=utf-8";
    (html ? print_html : print_json)(gateway, sorted, list->count, &reply->body);
    free(sorted);
    instance_list_release(&list);
    return true;
}

/* A page of another origin that somebody on the inner network has open must not press the button. */
static bool same_origin(const struct request *req)
{
    const char *origin = http_header(req, "Origin"), *host = http_header(req, "Host");
    const char *from = origin ? strstr(origin, "://") : NULL;
    return !origin || (from && host && strcmp(from + 3, host) == 0);
}

/* POST /registry/drain?service=&instance=&on=1|0: an operator's wish; the instance says draining within 2 s, and works
 * on until it is stopped or the wish is taken back. */
static bool registry_wish(struct request *req, struct reply *reply, struct err *err)
{
    struct gateway *gateway = (struct gateway *)req->app;
    const char *service = http_query(req, "service"), *instance = http_query(req, "instance"),
               *on = http_query(req, "on");
    const bool wanted = on && strcmp(on, "1") == 0;
    bool known = false;
    if (!same_origin(req))
        return err_set(err, &ERR_FORBIDDEN, "from another page");
    if (!service || !instance || !on || (!wanted && strcmp(on, "0") != 0))
        return err_set(err, &ERR_BAD_INPUT, "service, instance and on=1 or on=0 are needed");
    struct instance_list *list = instances_get(gateway->instances);
    for (size_t i = 0; i < list->count; i++)
        known |=
            strcmp(list->items[i].entry.service, service) == 0 && strcmp(list->items[i].entry.instance, instance) == 0;
    instance_list_release(&list);
    if (!known)
        return err_set(err, &ERR_NOT_FOUND, "no such instance");
    if (!registry_ask_drain(gateway->config->service.redis_url, service, instance, wanted, err))
        return false;
    log_event(LOG_WARN, wanted ? "drain_asked" : "drain_taken_back", LOG_TEXT("service", service),
              LOG_TEXT("instance", instance), LOG_TEXT("client.ip", req->client_address));
    reply_header(reply, "Location", "/registry");
    return reply_empty(reply, 303);
}
