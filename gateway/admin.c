#include "admin.h"

#include "json.h"
#include "log.h"
#include "mem.h"
#include "stats.h"

#include <stdlib.h>

static bool registry_page(struct request *req, struct reply *reply, struct err *err);
static bool registry_question(struct request *req, struct reply *reply, struct err *err);
static bool registry_wish(struct request *req, struct reply *reply, struct err *err);

const struct route ADMIN_ROUTES[] = {
    {"GET", "/registry", AUTH_OPEN, registry_page, 0},
    {"GET", "/registry/drain", AUTH_OPEN, registry_question, 0},
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
    char rate[24], latency[32];
    (void)snprintf(rate, sizeof rate, "%.2f", error_percent(view));
    (void)snprintf(latency, sizeof latency, "%.3f", (double)view->latency_us / 1000);
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
    json_raw(out, "latency_ms", latency);
    json_text(out, "breaker", view->breaker);
    json_i64(out, "threads", view->threads);
    json_close(out, '}');
}

static void print_json(struct gateway *gateway, const struct instance **sorted, size_t count, struct str *out)
{
    json_open(out, NULL, '{');
    json_bool(out, "stale", registry_watch_stale(gateway->watch));
    json_i64(out, "threads", gateway->loop_count);
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
        str_printf(out, "<a class=\"button\" href=\"/registry/drain?service=%s&amp;instance=%s&amp;on=%d\">%s</a>",
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
    str_printf(out, "<td class=\"n\">%d</td><td class=\"n\">%lld</td><td class=\"n\">%lld</td>", entry->weight,
               (long long)view.in_flight, (long long)view.requests);
    if (view.answers)
        str_printf(out, "<td class=\"n\">%.1f ms</td>", (double)view.latency_us / 1000);
    else
        html_cell(out, "n", "-");
    str_printf(out, "<td class=\"n\">%.2f %%</td>", error_percent(&view));
    html_cell(out, view.breaker, view.breaker);
    html_button(entry, out);
    str_add(out, "</tr>\n");
}

static void html_begin(struct str *out, bool refreshed)
{
    str_add(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    if (refreshed)
        str_add(out, "<meta http-equiv=\"refresh\" content=\"5\">");
    str_add(
        out,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><link rel=\"icon\" href=\"data:,\">"
        "<title>Madang registry</title><style>body{font:14px system-ui,sans-serif;margin:2em;color:#222}"
        "table{border-collapse:collapse}th,td{padding:.4em .8em;border-bottom:1px solid #ddd;text-align:left;"
        "white-space:nowrap}.n{text-align:right;font-variant-numeric:tabular-nums}.up,.closed{color:#070}"
        ".draining,.half-open{color:#850}.suspect,.open{color:#b00}"
        ".button,button{display:inline-block;font:inherit;color:inherit;background:#f4f4f4;border:1px solid #bbb;"
        "border-radius:4px;padding:.2em .8em;text-decoration:none;cursor:pointer}form{display:inline}"
        "</style><h1>Registry</h1>\n");
}

static void print_html(struct gateway *gateway, const struct instance **sorted, size_t count, struct str *out)
{
    html_begin(out, true);
    if (registry_watch_stale(gateway->watch))
        str_add(out,
                "<p class=\"suspect\">Redis is away or lost most instances at once: this is the last good table.</p>");
    str_add(out, "<table><tr><th>service<th>instance<th>address<th>version<th>state<th class=\"n\">weight"
                 "<th class=\"n\">in flight<th class=\"n\">requests<th class=\"n\">latency<th class=\"n\">errors"
                 "<th>breaker<th></tr>\n");
    for (size_t i = 0; i < count; i++)
        html_row(gateway, &sorted[i]->entry, out);
    str_add(out,
            "</table><p>As this gateway sees them since it started; latency is the mean of the last requests, until "
            "an answer begins.</p></html>\n");
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

/* What both routes of /registry/drain are asked: service, instance, on=1|0. */
struct wish {
    const char *service, *instance;
    bool on;
    struct registry_entry entry;
    int others; /* of that service, that are up */
};

static bool wish_read(const struct request *req, struct wish *wish, struct err *err)
{
    struct gateway *gateway = (struct gateway *)req->app; /* its parts are thread-safe */
    const char *on = http_query(req, "on");
    bool known = false;
    *wish = (struct wish){.service = http_query(req, "service"),
                          .instance = http_query(req, "instance"),
                          .on = on && strcmp(on, "1") == 0};
    if (!wish->service || !wish->instance || !on || (!wish->on && strcmp(on, "0") != 0))
        return err_set(err, &ERR_BAD_INPUT, "service, instance and on=1 or on=0 are needed");
    struct instance_list *list = instances_get(gateway->instances);
    for (size_t i = 0; i < list->count; i++) {
        const struct registry_entry *entry = &list->items[i].entry;
        if (strcmp(entry->service, wish->service) != 0)
            continue;
        if (strcmp(entry->instance, wish->instance) == 0) {
            wish->entry = *entry;
            known = true;
        } else if (entry->state == INSTANCE_UP) {
            wish->others++;
        }
    }
    instance_list_release(&list);
    return known || err_set(err, &ERR_NOT_FOUND, "no such instance");
}

/* GET /registry/drain: nothing happens before somebody says yes. */
static bool registry_question(struct request *req, struct reply *reply, struct err *err)
{
    struct wish wish;
    struct str *out = &reply->body;
    if (!wish_read(req, &wish, err))
        return false;
    if (!plain_name(wish.service) || !plain_name(wish.instance))
        return err_set(err, &ERR_BAD_INPUT, "a name that no daemon has");
    reply->content_type = "text/html; charset=utf-8";
    html_begin(out, false);
    str_printf(out, "<p>%s <b>%s</b> of %s (%s)?</p>", wish.on ? "Drain" : "Take back", wish.entry.instance,
               wish.entry.service, wish.entry.address);
    str_add(out, wish.on ? "<p>It finishes what it has and gets nothing new, until it is taken back or stopped.</p>"
                         : "<p>It gets requests again.</p>");
    if (wish.on && !wish.others)
        str_add(out,
                "<p class=\"suspect\">No other instance of this service is up: requests still go to this one.</p>");
    str_printf(out,
               "<form method=\"post\" action=\"/registry/drain?service=%s&amp;instance=%s&amp;on=%d\">"
               "<button>%s</button></form> <a class=\"button\" href=\"/registry\">no</a></html>\n",
               wish.entry.service, wish.entry.instance, wish.on, wish.on ? "drain" : "take back");
    return true;
}

/* POST /registry/drain: an operator's wish; the instance says draining within 2 s, and works on until it is stopped or
 * the wish is taken back. */
static bool registry_wish(struct request *req, struct reply *reply, struct err *err)
{
    struct gateway *gateway = (struct gateway *)req->app;
    struct wish wish;
    if (!same_origin(req))
        return err_set(err, &ERR_FORBIDDEN, "from another page");
    if (!wish_read(req, &wish, err) ||
        !registry_ask_drain(gateway->config->service.redis_url, wish.service, wish.instance, wish.on, err))
        return false;
    log_event(LOG_WARN, wish.on ? "drain_asked" : "drain_taken_back", LOG_TEXT("service", wish.service),
              LOG_TEXT("instance", wish.instance), LOG_TEXT("client.ip", req->client_address));
    reply_header(reply, "Location", "/registry");
    return reply_empty(reply, 303);
}
