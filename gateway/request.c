/* The request's way: from the client's bytes to the channel. exchange.h has the contract. */
#include "accesslog.h"
#include "cache.h"
#include "exchange.h"
#include "forward.h"
#include "guard.h"
#include "problems.h"
#include "stats.h"
#include "tunnel.h"

#include <stdio.h>

enum { CHUNK_LINE_BYTES = 20 };

/* ---- starting ---- */

static void describe(struct exchange *x)
{
    const struct http1_request *request = &x->loop->request;
    x->parsed = true;
    x->method = request->method;
    x->http10 = request->minor == 0;
    x->keep_alive = request->keep_alive && !atomic_load_explicit(&x->loop->gateway->draining, memory_order_relaxed);
    x->websocket = request->websocket;
    x->idempotent = (request->method != HTTP1_POST && request->method != HTTP1_PATCH) ||
                    http1_header(&request->headers, HEADER_IDEMPOTENCY_KEY);
    const struct http1_header *language = http1_header(&request->headers, HEADER_ACCEPT_LANGUAGE);
    x->korean = language && language->value.length >= 2 &&
                view_equals_nocase((struct view){language->value.bytes, 2}, VIEW("ko"));
    if (x->loop->gateway->access_log)
        accesslog_target(x->target, sizeof x->target, request->path, request->query);
    if (request->chunked)
        http1_body_start(&x->request_body, HTTP1_BODY_CHUNKED, 0);
    else
        http1_body_start(&x->request_body, HTTP1_BODY_LENGTH,
                         request->content_length > 0 ? request->content_length : 0);
    x->chunk_request = request->chunked;
    x->request_done = http1_body_done(&x->request_body);
    x->awaits_continue = request->expect_continue;
    x->window_start_ms = x->loop->now_ms;
}

/* The request goes to a service. */
void exchange_send_on(struct exchange *x)
{
    struct client *client = x->client;
    x->counted = true;
    x->loop->in_flight++;
    if (x->awaits_continue && !client->in) {
        static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";
        client_send(client, CONTINUE, sizeof CONTINUE - 1);
    }
    x->awaits_continue = false;
    client_arm(client);
    if (!x->request_done) /* small bodies have come with the head, and leave with it */
        exchange_pull(x);
    if (client->exchange == x && !client->broken)
        exchange_connect(x);
}

void exchange_begin(struct client *client, struct view rest)
{
    struct exchange *x = exchange_new(client);
    if (rest.length)
        buffer_add(&client->loop->buffers, &client->in, rest.bytes, rest.length);
    describe(x);
    forward_identify(x);
    struct err err;
    const bool admitted = guard_admit(x, &err);
    if ((x->method == HTTP1_POST || x->method == HTTP1_PATCH) && !x->user_id[0])
        x->idempotent = false; /* services keep keys of people only: of nobody's a repeat is done twice */
    if (!admitted || (x->route && !forward_request(x, &err)))
        exchange_refuse(x, &err);
    else if (!guard_answer(x) && !cache_answer(x))
        exchange_send_on(x);
}

/* An exchange without a request that could be read, to answer and end with. */
static struct exchange *exchange_for_nothing(struct client *client)
{
    struct http1_headers *headers = &client->loop->request.headers;
    struct exchange *x = exchange_new(client);
    headers->count = 0;
    memset(headers->first, 0, sizeof headers->first);
    x->request_done = true;
    forward_identify(x);
    return x;
}

static const struct problem *problem_of(enum http1_fault fault)
{
    static const struct problem *const BY_STATUS[] = {&ERR_BAD_REQUEST,       &ERR_URI_TOO_LONG,    &ERR_EXPECTATION,
                                                      &ERR_HEADERS_TOO_LARGE, &ERR_NOT_IMPLEMENTED, &ERR_VERSION};
    for (size_t i = 0; i < sizeof BY_STATUS / sizeof BY_STATUS[0]; i++)
        if (BY_STATUS[i]->status == http1_fault_status(fault))
            return BY_STATUS[i];
    return &ERR_BAD_REQUEST;
}

void exchange_refuse_head(struct client *client, enum http1_fault fault)
{
    struct exchange *x = exchange_for_nothing(client);
    loop_stats_add(client->loop, STAT_BAD_REQUESTS);
    struct err err;
    err_set(&err, problem_of(fault), "%s", http1_fault_words(fault));
    exchange_refuse(x, &err);
}

void exchange_late_head(struct client *client)
{
    struct err err;
    struct exchange *x = exchange_for_nothing(client);
    client->head_since_ms = 0;
    buffer_give(&client->loop->buffers, &client->in);
    err_set(&err, &ERR_REQUEST_TIMEOUT, "the head of the request did not arrive in time");
    exchange_refuse(x, &err);
}

/* ---- its body ---- */

static void add(struct exchange *x, const void *bytes, size_t length)
{
    buffer_add(&x->loop->buffers, &x->request, bytes, length);
}

/* A service that has begun to answer before the body's end: no second answer fits into it. */
static bool cut_answer(struct exchange *x)
{
    if (x->response_started)
        x->client->broken = true;
    return x->response_started;
}

static bool refuse_body(struct exchange *x, enum http1_fault fault)
{
    struct err err;
    if (cut_answer(x))
        return false;
    err_set(&err, &ERR_BAD_REQUEST, "%s", http1_fault_words(fault));
    loop_stats_add(x->loop, STAT_BAD_REQUESTS);
    x->keep_alive = false;
    exchange_refuse(x, &err);
    return false;
}

static bool refuse_large(struct exchange *x)
{
    struct err err;
    if (cut_answer(x))
        return false;
    err_set(&err, &ERR_TOO_LARGE, "at most %lld bytes are taken here", (long long)x->route->body_max);
    x->keep_alive = false;
    exchange_refuse(x, &err);
    return false;
}

/* Decodes `in` into x->request. False: refused, and x is gone. */
static bool take_body(struct exchange *x, struct view *in)
{
    char *content = x->loop->out;
    size_t length = 0;
    while (in->length && !x->request_done) {
        struct view data;
        enum http1_fault fault;
        enum http1_result result = http1_body_next(&x->request_body, in, &data, &fault);
        if (result == HTTP1_BAD)
            return refuse_body(x, fault);
        memcpy(content + length, data.bytes, data.length);
        length += data.length;
        x->request_done = result == HTTP1_DONE;
    }
    x->body_bytes += (int64_t)length;
    x->window_bytes += (int64_t)length;
    x->bytes_in += (int64_t)length;
    if (x->body_bytes > x->route->body_max)
        return refuse_large(x);
    if (length && x->chunk_request) {
        char line[CHUNK_LINE_BYTES];
        add(x, line, (size_t)snprintf(line, sizeof line, "%zx\r\n", length));
        add(x, content, length);
        add(x, "\r\n", 2);
    } else if (length) {
        add(x, content, length);
    }
    if (x->request_done && x->chunk_request)
        add(x, "0\r\n\r\n", 5);
    return true;
}

/* One portion from the client. False: nothing there, or x is gone. */
static bool pull_once(struct exchange *x)
{
    struct client *client = x->client;
    struct loop *loop = x->loop;
    if (client->in) {
        struct view in = buffer_view(client->in);
        if (in.length > LOOP_READ_BYTES)
            in.length = LOOP_READ_BYTES;
        size_t portion = in.length;
        if (!take_body(x, &in))
            return false;
        buffer_consume(&loop->buffers, &client->in, portion - in.length);
        return true;
    }
    if (!client->readable)
        return false;
    long n = client_read(client, loop->in, LOOP_READ_BYTES);
    if (n == -1)
        return false;
    if (n <= 0) {
        client->broken = true;
        return false;
    }
    struct view in = {loop->in, (size_t)n};
    if (!take_body(x, &in))
        return false;
    if (in.length)
        buffer_add(&loop->buffers, &client->in, in.bytes, in.length);
    return true;
}

void exchange_pull(struct exchange *x)
{
    struct client *client = x->client;
    if (x->tunnel) {
        tunnel_from_client(x);
        return;
    }
    for (int portions = 0; !x->request_done && !client->broken; portions++) {
        if (portions == PORTIONS_PER_TURN) {
            client_queue(client);
            break;
        }
        if (buffer_length(x->request) - x->sent >= REPLAY_BYTES) {
            exchange_push(x);
            if (client->exchange != x || buffer_length(x->request) - x->sent >= REPLAY_BYTES)
                return; /* the service is slower than the client: so is the client now */
        }
        if (!pull_once(x))
            break;
    }
    if (client->exchange != x || client->broken)
        return;
    if (x->request_done)
        client_arm(client);
    exchange_push(x);
}

void exchange_push(struct exchange *x)
{
    struct channel *channel = x->channel;
    if (!channel || channel->connecting)
        return;
    struct loop *loop = x->loop;
    while (channel->writable && buffer_length(x->request) > x->sent) {
        struct view all = buffer_view(x->request);
        long n = channel_write(channel, all.bytes + x->sent, all.length - x->sent);
        if (n < 0) { /* an answer may have come before the end: reading tells */
            channel->writable = false;
            channel->readable = channel->hung_up = true;
            break;
        }
        x->sent += (size_t)n;
    }
    if (x->sent && (!x->replayable || x->body_bytes > REPLAY_BYTES)) {
        buffer_consume(&loop->buffers, &x->request, x->sent);
        x->sent = 0;
        x->replayable = false;
    }
    if (!x->response_started)
        timer_set(&loop->wheel, &channel->timer, loop->now_ms + x->route->timeout_ms);
}

void exchange_body_late(struct exchange *x)
{
    const struct gateway_config *config = x->loop->gateway->config;
    bool waiting = buffer_length(x->request) - x->sent < REPLAY_BYTES; /* for the client, not for the service */
    if (waiting && (!x->window_bytes || x->window_bytes * 1000 < config->body_rate * config->body_idle_ms)) {
        if (x->response_started) {
            x->client->broken = true;
            return;
        }
        struct err err;
        err_set(&err, &ERR_REQUEST_TIMEOUT, "the body of the request did not arrive in time");
        x->keep_alive = false;
        exchange_refuse(x, &err);
        return;
    }
    x->window_start_ms = x->loop->now_ms;
    x->window_bytes = 0;
    client_arm(x->client);
}
