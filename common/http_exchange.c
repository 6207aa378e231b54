#include "http_internal.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <strings.h>

enum {
    BODY_SECONDS = 15, /* without a byte of an announced body */
    KEPT_BODY_BYTES = 16 * 1024,
    KEPT_URI_BYTES = 4 * 1024,
};

/* ---- exchanges: made by the loop thread, used again and again ---- */

static struct http_exchange *exchange_take(struct http_server *server)
{
    struct http_exchange *exchange = server->spare;
    if (exchange) {
        server->spare = exchange->next;
        server->spare_count--;
    } else {
        exchange = MEM_NEW(http_exchange);
        exchange->server = server;
        exchange->arena = arena_open(HTTP_ARENA_MAX);
        str_init(&exchange->uri);
    }
    return exchange;
}

void http_exchange_free(struct http_exchange *exchange)
{
    str_free(&exchange->body);
    str_free(&exchange->uri);
    str_free(&exchange->reply.body);
    str_free(&exchange->answer);
    str_free(&exchange->answer_read);
    arena_release(&exchange->arena);
    free(exchange);
}

void http_spare_shrink(struct http_server *server, int keep)
{
    while (server->spare_count > keep) {
        struct http_exchange *exchange = server->spare;
        server->spare = exchange->next;
        server->spare_count--;
        http_exchange_free(exchange);
    }
}

static void exchange_give_back(struct http_server *server, struct http_exchange *exchange)
{
    server->body_bytes -= exchange->body.length;
    server->in_flight -= exchange->counted;
    server->reading -= exchange->reading;
    server->working -= exchange->working; /* the client went away before the answer was fetched */
    if (exchange->response)
        MHD_destroy_response(exchange->response);
    exchange->response = NULL;
    exchange->stream = NULL;
    if (server->spare_count >= HTTP_SPARE_MAX || exchange->uri.capacity > KEPT_URI_BYTES) {
        http_exchange_free(exchange);
        return;
    }
    str_free(&exchange->reply.body);
    str_free(&exchange->answer);
    str_free(&exchange->answer_read);
    if (exchange->body.capacity > KEPT_BODY_BYTES)
        str_free(&exchange->body);
    str_clear(&exchange->body);
    str_clear(&exchange->uri);
    arena_reset(exchange->arena);
    exchange->connection = NULL;
    exchange->peer = NULL;
    exchange->state = EXCHANGE_NEW;
    exchange->counted = exchange->working = exchange->reading = exchange->refused = exchange->declared =
        exchange->again = exchange->authorized = exchange->identified = exchange->answered = exchange->parked =
            exchange->on_loop = exchange->handing_over = exchange->workers_only = false;
    exchange->first_run_ms = 0;
    exchange->discarded = 0;
    exchange->compiled = NULL;
    exchange->reply = (struct reply){0};
    exchange->query_count = 0;
    exchange->request_id[0] = exchange->allow[0] = exchange->parent_span[0] = '\0';
    exchange->next = server->spare;
    server->spare = exchange;
    server->spare_count++;
}

/* ---- the four looks at a request; all on the loop thread ---- */

/* The exchange is over when its header is on the way: a stream keeps no more than it needs. For HEAD there is no stream
 * to come. */
static enum MHD_Result begin_stream(struct http_exchange *exchange, void **place)
{
    struct http_server *server = exchange->server;
    struct MHD_Connection *connection = exchange->connection;
    bool reads = strcmp(exchange->req.method, "HEAD") != 0;
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)exchange->status, exchange->response);
    if (result == MHD_YES && reads)
        http_stream_attach(exchange->stream, server, connection);
    exchange_give_back(server, exchange);
    *place = NULL;
    return result;
}

static enum MHD_Result send_answer(struct http_exchange *exchange)
{
    if (!exchange->response)
        return MHD_NO;
    return MHD_queue_response(exchange->connection, (unsigned)exchange->status, exchange->response);
}

static enum MHD_Result refuse_now(struct http_exchange *exchange)
{
    http_request_identify(exchange);
    http_answer_build(exchange, false);
    exchange->state = EXCHANGE_ANSWERED;
    return send_answer(exchange);
}

struct framing {
    const char *encoding, *length;
    int encodings, lengths;
};

static enum MHD_Result take_framing(void *payload, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct framing *framing = payload;
    (void)kind;
    if (strcasecmp(name, "Content-Length") == 0) {
        framing->length = value;
        framing->lengths++;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        framing->encoding = value;
        framing->encodings++;
    }
    return MHD_YES;
}

/* What two readers could frame differently is refused, as the gateway does. */
static bool check_framing(struct http_exchange *exchange, struct err *err)
{
    struct framing framing = {0};
    (void)MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, take_framing, &framing);
    unsigned long long length = framing.length ? strtoull(framing.length, NULL, 10) : 0;
    exchange->declared = framing.encodings || length > 0;
    if (framing.encodings + framing.lengths > 1 ||
        (framing.encodings && strcasecmp(framing.encoding, "chunked") != 0)) {
        exchange->declared = true; /* whatever follows is not read */
        return err_set(err, &ERR_BAD_INPUT, "The length of the body is not clear");
    }
    if (exchange->compiled && length > exchange->body_max)
        return err_set(err, &ERR_TOO_LARGE, "At most %zu bytes are taken here", exchange->body_max);
    return true;
}

static bool find_route(struct http_exchange *exchange, struct err *err)
{
    const char *raw = exchange->uri.bytes;
    if (!http_path_parse(&exchange->path, raw, strcspn(raw, "?"), err))
        return false;
    exchange->compiled =
        router_find(exchange->server->router, exchange->req.method, &exchange->path, exchange->allow, err);
    return exchange->compiled != NULL;
}

/* A time limit of its own: a client that leaves in the middle of a body is not noticed by this version of the library
 * when its last bytes and its good-bye arrive together. */
static enum MHD_Result body_begin(struct http_exchange *exchange)
{
    exchange->reading = true;
    exchange->server->reading++;
    (void)MHD_set_connection_option(exchange->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)BODY_SECONDS);
    return MHD_YES;
}

static void body_end(struct http_exchange *exchange)
{
    if (!exchange->reading)
        return;
    exchange->reading = false;
    exchange->server->reading--;
    (void)MHD_set_connection_option(exchange->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)HTTP_IDLE_SECONDS);
}

static enum MHD_Result begin(struct http_exchange *exchange, struct MHD_Connection *connection, const char *method)
{
    struct http_server *server = exchange->server;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    exchange->connection = connection;
    exchange->peer = info->socket_context;
    exchange->arrived_us = clock_monotonic_us();
    exchange->req = (struct request){.method = method, .arrived_ms = exchange->arrived_us / 1000};
    exchange->counted = true;
    exchange->state = EXCHANGE_READING;
    if (++server->in_flight > server->peak)
        server->peak = server->in_flight;
    err_clear(&exchange->err);
    bool found = find_route(exchange, &exchange->err);
    if (found)
        exchange->body_max = exchange->compiled->route->body_max ? exchange->compiled->route->body_max : HTTP_BODY_MAX;
    struct err framing = {0};
    bool framed = check_framing(exchange, &framing);
    if (!framed && (found || framing.problem != &ERR_TOO_LARGE))
        exchange->err = framing;
    bool reading = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (found && framed && reading && exchange->declared)
        framed = err_set(&exchange->err, &ERR_BAD_INPUT, "%s takes no body", method);
    exchange->refused = !found || !framed;
    if (!exchange->declared)
        return MHD_YES;
    /* With a body to come, an early answer ends the connection: nobody reads what is refused. */
    return exchange->refused ? refuse_now(exchange) : body_begin(exchange);
}

/* A chunked body turned out too large: no answer can be given before its end, so some more is read and dropped. */
static void refuse_rest(struct http_exchange *exchange)
{
    exchange->server->body_bytes -= exchange->body.length;
    str_free(&exchange->body);
    exchange->refused = true;
}

static enum MHD_Result take_body(struct http_exchange *exchange, const char *bytes, size_t *size)
{
    struct http_server *server = exchange->server;
    size_t length = *size;
    *size = 0;
    if (!exchange->refused && exchange->body.length + length > exchange->body_max) {
        err_set(&exchange->err, &ERR_TOO_LARGE, "At most %zu bytes are taken here", exchange->body_max);
        refuse_rest(exchange);
    } else if (!exchange->refused && server->body_bytes + length > HTTP_BODIES_MAX) {
        err_set_retry(&exchange->err, &ERR_OVERLOADED, 1, "Too many bodies are on their way");
        refuse_rest(exchange);
    }
    if (exchange->refused) {
        exchange->discarded += length;
        return exchange->discarded > HTTP_DISCARD_MAX ? MHD_NO : MHD_YES;
    }
    str_add_bytes(&exchange->body, bytes, length);
    server->body_bytes += length;
    return MHD_YES;
}

void http_tell_overload(struct http_server *server)
{
    int64_t now_ms = clock_monotonic_ms();
    if (server->overloaded)
        metric_add(server->overloaded, 1);
    if (now_ms - server->overloaded_logged_ms < 1000)
        return;
    server->overloaded_logged_ms = now_ms;
    log_event(LOG_WARN, "overloaded", LOG_I64("queue", server->options.queue));
}

/* The request is complete: to whoever runs its handler, or refused here. What is quick needs no place in a queue. */
static enum MHD_Result dispatch(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    body_end(exchange);
    if (!exchange->refused && !exchange->compiled->quick && http_work_full(server)) {
        http_tell_overload(server);
        err_set_retry(&exchange->err, &ERR_OVERLOADED, 1, "The queue is full");
        exchange->refused = true;
    }
    if (exchange->refused)
        return refuse_now(exchange);
    exchange->state = EXCHANGE_WORKING;
    exchange->working = true;
    server->working++;
    MHD_suspend_connection(exchange->connection); /* before a worker can resume it */
    http_work_push(server, exchange);
    return MHD_YES;
}

enum MHD_Result http_on_request(void *payload, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *bytes, size_t *size, void **place)
{
    struct http_exchange *exchange = *place;
    (void)payload, (void)url, (void)version;
    switch (exchange->state) {
    case EXCHANGE_NEW:
        return begin(exchange, connection, method);
    case EXCHANGE_READING:
        return *size ? take_body(exchange, bytes, size) : dispatch(exchange);
    case EXCHANGE_ANSWERED:
        exchange->server->working--;
        exchange->working = false;
        return exchange->stream ? begin_stream(exchange, place) : send_answer(exchange);
    case EXCHANGE_WORKING:
        break;
    }
    return MHD_NO;
}

void *http_on_uri(void *payload, const char *uri, struct MHD_Connection *connection)
{
    struct http_exchange *exchange = exchange_take(payload);
    (void)connection;
    str_add(&exchange->uri, uri);
    return exchange;
}

void http_on_completed(void *payload, struct MHD_Connection *connection, void **place,
                       enum MHD_RequestTerminationCode code)
{
    (void)connection, (void)code;
    if (*place)
        exchange_give_back(payload, *place);
    *place = NULL;
}

void http_on_connection(void *payload, struct MHD_Connection *connection, void **context,
                        enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = payload;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        free(*context);
        *context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct http_peer *peer = MEM_NEW(http_peer);
    http_peer_set(peer, &server->gateways, info->client_addr);
    *context = peer;
}
