#include "http_internal.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "trace.h"

#include <stdio.h>

/* The statuses that have a child of their own in each route's counters. */
static const short COUNTED[HTTP_COUNTED] = {200, 201, 202, 204, 302, 304, 400, 401, 403, 404, 405, 406,
                                            409, 410, 412, 413, 415, 422, 428, 429, 500, 502, 503, 504};
static const char *const METHODS[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", NULL};

bool http_metrics_open(struct http_server *server)
{
    const char *prefix = server->options.metrics_prefix;
    char name[128];
    if (!prefix)
        return false;
    (void)snprintf(name, sizeof name, "%s_http_requests_total", prefix);
    server->requests = metric_counter(name, "Requests by route template, method and status.", "route,method,code");
    (void)snprintf(name, sizeof name, "%s_http_request_duration_seconds", prefix);
    server->seconds = metric_histogram(name, "From the last byte of the header to the reply.", "route,method");
    (void)snprintf(name, sizeof name, "%s_http_overloaded_total", prefix);
    server->overloaded = METRIC_CHILD(metric_counter(name, "Requests refused because a queue was full.", NULL));
    for (size_t i = 0; i < server->router->count; i++) {
        struct compiled_route *route = &server->router->routes[i];
        route->seconds = METRIC_CHILD(server->seconds, route->route->path, route->route->method);
    }
    return true;
}

/* Clients choose methods freely; label values come from a fixed set. */
static const char *method_label(const char *method)
{
    for (size_t i = 0; METHODS[i]; i++) {
        if (strcmp(METHODS[i], method) == 0)
            return METHODS[i];
    }
    return "other";
}

static struct metric_child *counter_make(struct http_exchange *exchange, const char *path)
{
    char code[12];
    (void)snprintf(code, sizeof code, "%d", exchange->status);
    return METRIC_CHILD(exchange->server->requests, path, method_label(exchange->req.method), code);
}

static struct metric_child *counter_of(struct http_exchange *exchange)
{
    struct compiled_route *route = exchange->compiled;
    if (!route || strcmp(route->route->method, exchange->req.method) != 0) /* HEAD on a GET route */
        return counter_make(exchange, route ? route->route->path : "none");
    for (size_t i = 0; i < HTTP_COUNTED; i++) {
        if (COUNTED[i] != exchange->status)
            continue;
        struct metric_child *child = atomic_load_explicit(&route->counted[i], memory_order_acquire);
        if (!child) {
            child = counter_make(exchange, route->route->path);
            atomic_store_explicit(&route->counted[i], child, memory_order_release);
        }
        return child;
    }
    return counter_make(exchange, route->route->path);
}

static void add_span(const struct http_exchange *exchange, int64_t took_us)
{
    char name[128], status[12];
    const char *route = exchange->compiled ? exchange->compiled->route->path : "none";
    (void)snprintf(name, sizeof name, "%s %s", method_label(exchange->req.method), route);
    (void)snprintf(status, sizeof status, "%d", exchange->status);
    trace_add(&(struct trace_span){.name = name,
                                   .kind = TRACE_SERVER,
                                   .traceparent = exchange->traceparent,
                                   .parent = *exchange->parent_span ? exchange->parent_span : NULL,
                                   .start_us = clock_now_us() - took_us,
                                   .took_us = took_us,
                                   .failed = exchange->status >= 500,
                                   .attributes = {{"http.request.method", method_label(exchange->req.method)},
                                                  {"http.route", route},
                                                  {"http.response.status_code", status},
                                                  {"request.id", exchange->request_id}}});
}

static void count_and_log(struct http_exchange *exchange, bool ok)
{
    struct http_server *server = exchange->server;
    int64_t took_us = clock_monotonic_us() - exchange->arrived_us;
    if (trace_wants(exchange->traceparent))
        add_span(exchange, took_us);
    if (server->requests)
        metric_add(counter_of(exchange), 1);
    if (exchange->compiled && exchange->compiled->seconds)
        metric_observe_us(exchange->compiled->seconds, took_us);
    const struct err *err = &exchange->err;
    enum log_level level = !ok && exchange->status >= 500 ? err->problem->level : LOG_DEBUG;
    if (ok || err->problem != &ERR_OVERLOADED) /* overload is told once a second, by http_exchange.c */
        log_event(
            level, "http_request", LOG_TEXT("http.request.method", exchange->req.method),
            LOG_TEXT("url.path", exchange->compiled ? exchange->compiled->route->path : exchange->path.text),
            LOG_I64("http.response.status_code", exchange->status), LOG_I64("event.duration", took_us * 1000),
            LOG_TEXT("client.ip", exchange->client_address), LOG_TEXT("error.type", ok ? NULL : err->problem->code),
            LOG_TEXT("error.message", ok ? NULL : err->message), LOG_TEXT("error.detail", ok ? NULL : err->detail));
}

static void print_problem(struct http_exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    struct err *err = &exchange->err;
    if (!err->problem)
        err_set_internal(err, &ERR_INTERNAL, "a handler failed without a problem");
    reply->status = err->problem->status;
    reply->header_count = 0;
    str_clear(&reply->body);
    problem_print(&reply->body, err, exchange->req.korean, exchange->request_id);
    reply->content_type = "application/problem+json";
}

static void add(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        log_event(LOG_ERROR, "reply_header_dropped", LOG_TEXT("header", name));
}

static void add_problem_headers(struct http_exchange *exchange, struct MHD_Response *response)
{
    const struct err *err = &exchange->err;
    char seconds[16];
    add(response, "Content-Language", exchange->req.korean ? "ko" : "en");
    if (err->retry_after_s > 0) {
        (void)snprintf(seconds, sizeof seconds, "%d", err->retry_after_s);
        add(response, "Retry-After", seconds);
    } else if (exchange->status == 503) {
        add(response, "Retry-After", "1");
    }
    if (exchange->status == 401)
        add(response, "WWW-Authenticate",
            err->problem == &ERR_TOKEN_MISSING ? "Bearer" : "Bearer error=\"invalid_token\"");
    if (exchange->status == 405)
        add(response, "Allow", exchange->allow);
}

static void add_headers(struct http_exchange *exchange, struct MHD_Response *response, bool ok)
{
    const struct reply *reply = &exchange->reply;
    bool cached = false, last = atomic_load_explicit(&exchange->server->draining, memory_order_relaxed);
    for (size_t i = 0; i < reply->header_count; i++) {
        add(response, reply->headers[i].name, reply->headers[i].value);
        cached = cached || strcmp(reply->headers[i].name, "Cache-Control") == 0;
    }
    if (!cached)
        add(response, "Cache-Control", "no-store");
    add(response, "X-Request-Id", exchange->request_id);
    if (!ok)
        add_problem_headers(exchange, response);
    if (exchange->stream)
        add(response, "X-Accel-Buffering", "no");
    if (last || exchange->discarded || exchange->stream)
        add(response, "Connection", "close");
}

static void build_stream(struct http_exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    struct http_stream *stream = TAKE(reply->stream);
    str_free(&reply->body);
    exchange->response = http_stream_response(stream);
    if (!exchange->response)
        return;
    exchange->stream = stream;
    add(exchange->response, "Content-Type", reply->content_type ? reply->content_type : "text/event-stream");
    add_headers(exchange, exchange->response, true);
}

void http_answer_build(struct http_exchange *exchange, bool ok)
{
    struct reply *reply = &exchange->reply;
    if (!ok)
        print_problem(exchange);
    exchange->status = reply->status ? reply->status : 200;
    count_and_log(exchange, ok);
    if (ok && reply->stream) {
        build_stream(exchange);
        return;
    }
    bool typed = reply->body.length || reply->content_type;
    bool bodiless = exchange->status == 204 || exchange->status == 304;
    if (bodiless)
        str_clear(&reply->body);
    /* libmicrohttpd frees the bytes; without any it must not get a pointer to free later */
    struct MHD_Response *response =
        reply->body.length
            ? MHD_create_response_from_buffer(reply->body.length, reply->body.bytes, MHD_RESPMEM_MUST_FREE)
            : MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    if (response && reply->body.length)
        reply->body = (struct str){0};
    str_free(&reply->body);
    exchange->response = response;
    if (!response)
        return; /* out of memory: the connection is closed */
    if (typed && !bodiless)
        add(response, "Content-Type", reply->content_type ? reply->content_type : "application/json");
    add_headers(exchange, response, ok);
}
