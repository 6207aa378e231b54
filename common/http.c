#include "http_internal.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "service.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 4096,
    CONNECTION_MEMORY =
        40 * 1024,     /* bounds a request's line and headers; above 32 kB it is mapped, and goes back at the close */
    IDLE_SECONDS = 75, /* of a connection; longer than the gateway keeps one */
    BODY_SECONDS = 15, /* without a byte of an announced body */
    BACKLOG = 1024,
    STOP_MS = 10000,
    STOP_BODY_MS = 2000, /* of it for bodies that are not complete */
    STOP_LOOK_MS = 20,
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

static void exchange_free(struct http_exchange *exchange)
{
    str_free(&exchange->body);
    str_free(&exchange->uri);
    str_free(&exchange->reply.body);
    arena_release(&exchange->arena);
    free(exchange);
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
    if (server->spare_count >= HTTP_SPARE_EXCHANGES || exchange->uri.capacity > KEPT_URI_BYTES) {
        exchange_free(exchange);
        return;
    }
    str_free(&exchange->reply.body);
    if (exchange->body.capacity > KEPT_BODY_BYTES)
        str_free(&exchange->body);
    str_clear(&exchange->body);
    str_clear(&exchange->uri);
    arena_reset(exchange->arena);
    exchange->connection = NULL;
    exchange->peer = NULL;
    exchange->state = EXCHANGE_NEW;
    exchange->counted = exchange->working = exchange->reading = exchange->refused = exchange->declared =
        exchange->again = false;
    exchange->first_run_ms = 0;
    exchange->discarded = 0;
    exchange->compiled = NULL;
    exchange->reply = (struct reply){0};
    exchange->query_count = 0;
    exchange->request_id[0] = exchange->allow[0] = '\0';
    exchange->next = server->spare;
    server->spare = exchange;
    server->spare_count++;
}

/* ---- the four looks at a request; all on the loop thread ---- */

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
    (void)MHD_set_connection_option(exchange->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)IDLE_SECONDS);
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
    server->in_flight++;
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

static void tell_overload(struct http_server *server)
{
    int64_t now_ms = clock_monotonic_ms();
    if (server->overloaded)
        metric_add(server->overloaded, 1);
    if (now_ms - server->overloaded_logged_ms < 1000)
        return;
    server->overloaded_logged_ms = now_ms;
    log_event(LOG_WARN, "overloaded", LOG_I64("queue", server->options.queue));
}

/* The request is complete: to a worker, or refused here. */
static enum MHD_Result dispatch(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    body_end(exchange);
    if (!exchange->refused && http_work_full(server)) {
        tell_overload(server);
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

static enum MHD_Result on_request(void *payload, struct MHD_Connection *connection, const char *url, const char *method,
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
        return send_answer(exchange);
    case EXCHANGE_WORKING:
        break;
    }
    return MHD_NO;
}

static void *on_uri(void *payload, const char *uri, struct MHD_Connection *connection)
{
    struct http_exchange *exchange = exchange_take(payload);
    (void)connection;
    str_add(&exchange->uri, uri);
    return exchange;
}

static void on_completed(void *payload, struct MHD_Connection *connection, void **place,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection, (void)code;
    if (*place)
        exchange_give_back(payload, *place);
    *place = NULL;
}

static void on_connection(void *payload, struct MHD_Connection *connection, void **context,
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

/* Paths and queries stay as they came: http_path.c decodes them, and refuses what this library would let pass. */
static size_t keep_escapes(void *payload, struct MHD_Connection *connection, char *text)
{
    (void)payload, (void)connection;
    return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *payload, const char *format, va_list args)
{
    char text[200];
    (void)payload;
    if (!log_enabled(LOG_DEBUG))
        return;
    (void)vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_DEBUG, "microhttpd", LOG_TEXT("message", text));
}

/* ---- the loop ---- */

/* MHD's epoll set stands in ours, and MHD_run() never waits: its own loop stalls (0.9.75) when the number of ready
 * sockets is a multiple of 128. */
static int loop_timeout_ms(struct http_server *server, int due_ms)
{
    MHD_UNSIGNED_LONG_LONG mhd_ms;
    int wait_ms = due_ms;
    if (MHD_get_timeout(server->daemon, &mhd_ms) == MHD_YES && (wait_ms < 0 || mhd_ms < (unsigned)wait_ms))
        wait_ms = mhd_ms > 60000 ? 60000 : (int)mhd_ms;
    if (atomic_load(&server->stopping) && (wait_ms < 0 || wait_ms > STOP_LOOK_MS))
        wait_ms = STOP_LOOK_MS;
    return wait_ms;
}

/* True when the loop may end: nothing is in flight, or the time is over and no worker holds a request. */
static bool loop_stopped(struct http_server *server, int64_t *until_ms)
{
    if (!atomic_load_explicit(&server->stopping, memory_order_relaxed))
        return false;
    int64_t now_ms = clock_monotonic_ms();
    if (!*until_ms) {
        MHD_socket listener = MHD_quiesce_daemon(server->daemon);
        if (listener != MHD_INVALID_SOCKET)
            (void)close(listener);
        *until_ms = now_ms + STOP_MS;
    }
    bool patient = now_ms < *until_ms - STOP_MS + STOP_BODY_MS;
    if (server->in_flight == (patient ? 0 : server->reading))
        return true;
    if (now_ms < *until_ms)
        return false;
    if (!atomic_exchange(&server->hurried, true))
        log_event(LOG_WARN, "http_stop_slow", LOG_I64("in_flight", server->in_flight));
    return server->working == 0;
}

/* Says that it sleeps before it looks a last time for work, so that no waker is missed. */
static void loop_wait(struct http_server *server)
{
    struct epoll_event events[2];
    int wait_ms = loop_timeout_ms(server, http_work_due(server));
    if (wait_ms == 0)
        return;
    atomic_store(&server->asleep, true);
    if (!atomic_load(&server->answered)) {
        int count = epoll_wait(server->epoll_fd, events, 2, loop_timeout_ms(server, http_work_due(server)));
        for (int i = 0; i < count; i++) {
            eventfd_t times;
            if (events[i].data.fd == server->wake_fd)
                (void)eventfd_read(server->wake_fd, &times);
        }
    }
    atomic_store(&server->asleep, false);
}

static void *loop(void *payload)
{
    struct http_server *server = payload;
    int64_t until_ms = 0;
    while (!loop_stopped(server, &until_ms)) {
        loop_wait(server);
        http_work_resume(server);
        (void)MHD_run(server->daemon);
        http_work_flush(server);
    }
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    return NULL;
}

/* ---- start and stop ---- */

static int listen_on(const char *address, int *port, struct err *err)
{
    char host[64], service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    if (!service_split_address(address, host, port, err))
        return -1;
    (void)snprintf(service, sizeof service, "%d", *port);
    int reason = getaddrinfo(host, service, &hints, &found);
    if (reason) {
        err_set(err, &ERR_BAD_INPUT, "LISTEN: %s: %s", address, gai_strerror(reason));
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
              bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    reason = errno;
    freeaddrinfo(found);
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (ok && getsockname(fd, (struct sockaddr *)&bound, &size) == 0) {
        bool six = bound.ss_family == AF_INET6;
        *port = ntohs(six ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port);
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    err_set(err, &ERR_UNAVAILABLE, "LISTEN: can't listen on %s: %s", address, strerror(reason));
    return -1;
}

static bool watch(struct http_server *server, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return fd >= 0 && epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool daemon_start(struct http_server *server, int listener, struct err *err)
{
    int most = server->options.connections_max ? server->options.connections_max : CONNECTIONS_MAX;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, server,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, server, MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_URI_LOG_CALLBACK,
        on_uri, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, server, MHD_OPTION_CONNECTION_LIMIT, (unsigned)most,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!server->daemon) {
        (void)close(listener);
        return err_set_internal(err, &ERR_INTERNAL, "libmicrohttpd does not start on %s", server->options.listen);
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!info || !watch(server, info->epoll_fd) || !watch(server, server->wake_fd))
        return err_set_internal(err, &ERR_INTERNAL, "no descriptors for the HTTP loop");
    return true;
}

static int64_t read_queue(void *payload)
{
    return ((struct http_server *)payload)->queued;
}

static int64_t read_waiting(void *payload)
{
    return ((struct http_server *)payload)->waiting_count;
}

static int64_t read_in_flight(void *payload)
{
    return ((struct http_server *)payload)->in_flight;
}

static void gauges_open(struct http_server *server)
{
    static const struct {
        const char *name, *help;
        int64_t (*read)(void *payload);
    } GAUGES[] = {{"queue_length", "Requests that wait for a worker.", read_queue},
                  {"waiting", "Requests that will run again.", read_waiting},
                  {"in_flight", "Requests under way.", read_in_flight}};
    for (size_t i = 0; i < ARRAY_LENGTH(GAUGES); i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "%s_http_%s", server->options.metrics_prefix, GAUGES[i].name);
        metric_gauge_read(name, GAUGES[i].help, GAUGES[i].read, server);
    }
}

static bool check_options(const struct http_options *options, struct err *err)
{
    for (const struct route *route = options->routes; route->method; route++) {
        if (route->who != AUTH_OPEN && !options->tokens)
            return err_set_internal(err, &ERR_INTERNAL, "route %s asks for a token, and nothing checks one",
                                    route->path);
    }
    return options->workers > 0 && options->queue > 0
               ? true
               : err_set_internal(err, &ERR_INTERNAL, "workers and queue: at least 1");
}

struct http_server *http_server_start_owning(const struct http_options *options, void **owned, struct err *err)
{
    AUTO(http_server) server = MEM_NEW(http_server);
    server->options = *options;
    server->owned = TAKE(*owned);
    server->epoll_fd = server->wake_fd = -1;
    (void)pthread_mutex_init(&server->lock, NULL);
    (void)pthread_cond_init(&server->ready, NULL);
    if (!check_options(options, err) || !http_networks_parse(&server->gateways, options->gateway_addresses, err))
        return NULL;
    server->router = router_open(options->routes, err);
    int listener = server->router ? listen_on(options->listen, &server->port, err) : -1;
    if (listener < 0 || !daemon_start(server, listener, err))
        return NULL;
    if (http_metrics_open(server))
        gauges_open(server);
    if (!http_work_start(server, err))
        return NULL;
    int reason = pthread_create(&server->loop, NULL, loop, server);
    if (reason) {
        err_set_internal(err, &ERR_INTERNAL, "can't start the HTTP loop: %s", strerror(reason));
        return NULL;
    }
    server->loop_runs = true;
    return TAKE(server);
}

struct http_server *http_server_start(const struct http_options *options, struct err *err)
{
    void *nothing = NULL;
    return http_server_start_owning(options, &nothing, err);
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_drain(struct http_server *server)
{
    atomic_store(&server->draining, true);
}

void http_server_release(struct http_server **place)
{
    struct http_server *server = *place;
    if (!server)
        return;
    *place = NULL;
    http_server_drain(server);
    atomic_store(&server->stopping, true);
    if (server->loop_runs) {
        http_server_wake(server);
        (void)pthread_join(server->loop, NULL);
    }
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    http_work_stop(server);
    metric_forget(server);
    while (server->spare) {
        struct http_exchange *exchange = server->spare;
        server->spare = exchange->next;
        exchange_free(exchange);
    }
    if (server->epoll_fd >= 0)
        (void)close(server->epoll_fd);
    if (server->wake_fd >= 0)
        (void)close(server->wake_fd);
    router_release(&server->router);
    (void)pthread_cond_destroy(&server->ready);
    (void)pthread_mutex_destroy(&server->lock);
    free(server->owned);
    free(server);
}
