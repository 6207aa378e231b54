#include "http_internal.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "service.h"

#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 4096,
    CONNECTION_MEMORY = 40 * 1024, /* bounds line and headers; more than 32 kB is mapped, and goes back at the close */
    BACKLOG = 1024,
    STOP_MS = 10000,
    STOP_BODY_MS = 2000, /* of it for bodies that are not complete */
    STOP_LOOK_MS = 20,
    QUIET_MS = 2000,
    EVENTS = 64,
};

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
    http_streams_end(server, !patient);
    bool streaming = patient && server->streams;
    if (!streaming && server->in_flight == (patient ? 0 : server->reading))
        return true;
    if (now_ms < *until_ms)
        return false;
    if (!atomic_exchange(&server->hurried, true))
        log_event(LOG_WARN, "http_stop_slow", LOG_I64("in_flight", server->in_flight));
    return server->working == 0;
}

/* After a rush: gives the memory of many exchanges back to the system, once it has been quiet for a while. */
static void give_memory_back(struct http_server *server)
{
    if (server->in_flight)
        return;
    server->peak = 0;
    http_spare_shrink(server, HTTP_SPARE_EXCHANGES);
    (void)malloc_trim(0);
}

static bool has_news(struct http_server *server)
{
    return atomic_load(&server->answered) || atomic_load(&server->stirred) || atomic_load(&server->ready_count) ||
           (atomic_load(&server->draining) && !server->streams_ended);
}

/* Says that it sleeps before it looks a last time for work, so that no waker is missed. */
static void loop_wait(struct http_server *server)
{
    struct epoll_event events[EVENTS];
    int wait_ms = loop_timeout_ms(server, http_work_due(server));
    if (wait_ms == 0)
        return;
    atomic_store(&server->asleep, true);
    if (!has_news(server)) {
        bool rush = server->peak > HTTP_SPARE_EXCHANGES;
        wait_ms = loop_timeout_ms(server, http_work_due(server));
        wait_ms = rush && (wait_ms < 0 || wait_ms > QUIET_MS) ? QUIET_MS : wait_ms;
        int count = epoll_wait(server->epoll_fd, events, EVENTS, wait_ms);
        if (rush && count == 0)
            give_memory_back(server);
        for (int i = 0; i < count; i++) {
            eventfd_t times;
            if (events[i].data.ptr == &server->wake_fd)
                (void)eventfd_read(server->wake_fd, &times);
            else if (events[i].data.ptr) /* not libmicrohttpd's set */
                http_stream_left(events[i].data.ptr);
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
        if (atomic_load_explicit(&server->draining, memory_order_relaxed) && !server->streams_ended) {
            server->streams_ended = true;
            http_streams_end(server, false);
        }
        http_work_run_ready(server);
        http_work_resume(server);
        http_streams_resume(server);
        (void)MHD_run(server->daemon);
        http_work_flush(server);
    }
    http_streams_end(server, true);
    http_streams_resume(server); /* none may be suspended now */
    MHD_stop_daemon(server->daemon);
    http_streams_resume(server); /* frees what was stirred last */
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
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } bound = {.six = {0}};
    socklen_t size = sizeof bound;
    if (ok && getsockname(fd, &bound.any, &size) == 0) {
        *port = ntohs(bound.any.sa_family == AF_INET6 ? bound.six.sin6_port : bound.four.sin_port);
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    err_set(err, &ERR_UNAVAILABLE, "LISTEN: can't listen on %s: %s", address, strerror(reason));
    return -1;
}

static bool watch(struct http_server *server, int fd, void *who)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
    return fd >= 0 && epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool daemon_start(struct http_server *server, int listener, struct err *err)
{
    int most = server->options.connections_max ? server->options.connections_max : CONNECTIONS_MAX;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, http_on_request,
        server, MHD_OPTION_EXTERNAL_LOGGER, on_log, server, MHD_OPTION_LISTEN_SOCKET, listener,
        MHD_OPTION_URI_LOG_CALLBACK, http_on_uri, server, MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, http_on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, server,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)most, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!server->daemon) {
        (void)close(listener);
        return err_set_internal(err, &ERR_INTERNAL, "libmicrohttpd does not start on %s", server->options.listen);
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!info || !watch(server, info->epoll_fd, NULL) || !watch(server, server->wake_fd, &server->wake_fd))
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

static int64_t read_streams(void *payload)
{
    return ((struct http_server *)payload)->stream_count;
}

static void gauges_open(struct http_server *server)
{
    static const struct {
        const char *name, *help;
        int64_t (*read)(void *payload);
    } GAUGES[] = {{"queue_length", "Requests that wait for a worker.", read_queue},
                  {"waiting", "Requests that will run again.", read_waiting},
                  {"in_flight", "Requests under way.", read_in_flight},
                  {"streams", "Replies that go on.", read_streams}};
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
    server->router = router_open(options->routes, options->quick, err);
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
    if (server->wake_fd >= 0)
        http_server_wake(server);
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
    http_spare_shrink(server, 0);
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
