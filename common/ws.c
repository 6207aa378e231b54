#include "ws_internal.h"

#include "clock.h"
#include "http.h"
#include "http_internal.h"
#include "log.h"
#include "mem.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    POSTS_MAX = 65536,
    HEADER_BYTES_MAX = 8192,  /* of one upgrade request */
    HEADER_SECONDS = 10,      /* to send it */
    HANDSHAKES_MAX = 1024,    /* at a time; more wait */
    OTHER_DESCRIPTORS = 8192, /* of the process, beside its sockets */
    ACCEPTS_A_TURN = 64,
    PROTOCOLS_MAX = 8,
    FLUSH_HOLD_US = 10000, /* what is due within this time may leave in one write */
    STOP_SECONDS = 5,
};

/* ---- the handshake: callbacks of libwebsockets ---- */

static bool copy_header(struct lws *wsi, enum lws_token_indexes token, char *out, int size)
{
    out[0] = '\0';
    return lws_hdr_total_length(wsi, token) < size && lws_hdr_copy(wsi, out, size, token) >= 0;
}

static void copy_request_id(struct lws *wsi, bool believed, char out[65])
{
    static const char NAME[] = "x-request-id:";
    int length = lws_hdr_custom_length(wsi, NAME, sizeof NAME - 1);
    out[0] = '\0';
    if (!believed || length <= 0 || length >= 65 || lws_hdr_custom_copy(wsi, out, 65, NAME, sizeof NAME - 1) < 0)
        out[0] = '\0';
    if (out[strspn(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")])
        out[0] = '\0';
}

/* Answers with a problem and hangs up. */
static int refuse(struct ws_server *server, struct lws *wsi, const struct err *err, const char *request_id)
{
    AUTO_STR body = {0}, reply = {0};
    problem_print(&body, err, false, request_id);
    const int status = err->problem ? err->problem->status : 500;
    str_printf(
        &reply,
        "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %zu\r\nConnection: close\r\n",
        status, status == 503 ? "Service Unavailable" : "Refused", body.length);
    if (err->retry_after_s > 0 || status == 503)
        str_printf(&reply, "Retry-After: %d\r\n", err->retry_after_s > 0 ? err->retry_after_s : 1);
    if (status == 426)
        str_add(&reply, "Upgrade: websocket\r\n");
    str_printf(&reply, "Cache-Control: no-store\r\n\r\n%s", body.bytes);
    metric_add(server->m_refused, 1);
    AUTO_FREE unsigned char *bytes = mem_new(1, LWS_PRE + reply.length);
    memcpy(bytes + LWS_PRE, reply.bytes, reply.length);
    (void)lws_write(wsi, bytes + LWS_PRE, reply.length, LWS_WRITE_HTTP_HEADERS);
    return -1;
}

static const char *subprotocol_of(const struct ws_server *server, struct lws *wsi, bool *offered)
{
    char list[256];
    *offered = lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) > 0;
    if (!*offered)
        return "";
    if (!copy_header(wsi, WSI_TOKEN_PROTOCOL, list, sizeof list))
        return NULL;
    char *rest = list;
    for (char *name; (name = strtok_r(rest, ", \t",
                                      &rest));) /* the client's order: libwebsockets answers with the first it knows */
        for (const char *const *known = server->options.subprotocols; known && *known; known++)
            if (strcmp(*known, name) == 0)
                return *known;
    return NULL;
}

static bool check_upgrade(struct ws_server *server, struct lws *wsi, const char *kind, struct err *err)
{
    char version[16], key[64], path[256];
    if (strcasecmp(kind, "websocket") != 0)
        return err_set(err, &ERR_BAD_INPUT, "Only WebSockets are spoken here");
    if (!copy_header(wsi, WSI_TOKEN_GET_URI, path, sizeof path) || strcmp(path, server->path) != 0)
        return err_set(err, &ERR_NOT_FOUND, "No socket here");
    if (!copy_header(wsi, WSI_TOKEN_VERSION, version, sizeof version) || strcmp(version, "13") != 0)
        return err_set(err, &ERR_BAD_INPUT, "Sec-WebSocket-Version must be 13");
    if (!copy_header(wsi, WSI_TOKEN_KEY, key, sizeof key) || strlen(key) != 24)
        return err_set(err, &ERR_BAD_INPUT, "Sec-WebSocket-Key is not 16 bytes in base64");
    if (!lws_hdr_total_length(wsi, WSI_TOKEN_HOST))
        return err_set(err, &ERR_BAD_INPUT, "Host is missing");
    if (atomic_load(&server->draining))
        return err_set(err, &ERR_UNAVAILABLE, "This instance is stopping");
    if (server->connections >= server->options.connections_max)
        return err_set_retry(err, &ERR_OVERLOADED, 5, "Too many sockets");
    return true;
}

static int confirm_upgrade(struct ws_server *server, struct lws *wsi, const char *kind)
{
    struct err err = {0};
    struct http_peer peer = {0};
    struct http_networks believed;
    struct sockaddr_storage address = {.ss_family = AF_INET};
    socklen_t size = sizeof address;
    (void)getpeername(lws_get_socket_fd(wsi), (struct sockaddr *)&address, &size);
    if (http_networks_parse(&believed, server->gateways, &err))
        http_peer_set(&peer, &believed, (struct sockaddr *)&address);
    char query[4096], authorization[4096], forwarded[512], request_id[65], client[INET6_ADDRSTRLEN];
    copy_request_id(wsi, peer.believed, request_id);
    if (!check_upgrade(server, wsi, kind, &err))
        return refuse(server, wsi, &err, request_id);
    if (!copy_header(wsi, WSI_TOKEN_HTTP_URI_ARGS, query, sizeof query) ||
        !copy_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, authorization, sizeof authorization) ||
        !copy_header(wsi, WSI_TOKEN_X_FORWARDED_FOR, forwarded, sizeof forwarded)) {
        err_set(&err, &ERR_BAD_INPUT, "A header is too long");
        return refuse(server, wsi, &err, request_id);
    }
    http_peer_client(&peer, &believed, *forwarded ? forwarded : NULL, client);
    bool offered;
    const char *subprotocol = subprotocol_of(server, wsi, &offered);
    if (!subprotocol) {
        err_set(&err, &ERR_BAD_INPUT, "None of the subprotocols is spoken here");
        return refuse(server, wsi, &err, request_id);
    }
    const struct ws_upgrade upgrade = {.path = server->path,
                                       .query = query,
                                       .authorization = authorization,
                                       .client_address = client,
                                       .request_id = request_id,
                                       .subprotocol = subprotocol};
    struct ws_connection *connection = ws_connection_new(server, NULL);
    if (!server->options.open(server->options.app, connection, &upgrade, &connection->user, &err)) {
        connection->opened = false;
        ws_connection_gone(connection);
        return refuse(server, wsi, &err, request_id);
    }
    lws_set_opaque_user_data(wsi, connection);
    return 0;
}

static int answer_plain_http(struct ws_server *server, struct lws *wsi)
{
    struct err err = {0};
    err_set(&err, &ERR_BAD_INPUT, "Only WebSockets are spoken here");
    return refuse(server, wsi, &err, "");
}

static int established(struct lws *wsi)
{
    struct ws_connection *connection = lws_get_opaque_user_data(wsi);
    if (!connection || lws_partial_buffered(wsi))
        return -1; /* the 101 did not fit into an empty socket: hopeless */
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    /* From here on every byte is ours, both ways (ws_io.c). */
    (void)lws_rx_flow_control(wsi, LWS_RXFLOW_REASON_APPLIES_DISABLE | LWS_RXFLOW_REASON_USER_BOOL |
                                       LWS_RXFLOW_REASON_FLAG_PROCESS_NOW);
    ws_connection_start(connection, wsi, lws_get_socket_fd(wsi));
    return 0;
}

static void gone(struct lws *wsi)
{
    struct ws_connection *connection = lws_get_opaque_user_data(wsi);
    lws_set_opaque_user_data(wsi, NULL);
    if (connection)
        ws_connection_gone(connection);
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    (void)user, (void)length;
    struct lws_context *context = wsi ? lws_get_context(wsi) : NULL;
    struct ws_server *server = context ? lws_context_user(context) : NULL;
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(server, wsi, in);
    case LWS_CALLBACK_HTTP:
        return answer_plain_http(server, wsi);
    case LWS_CALLBACK_ESTABLISHED:
        return established(wsi);
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        gone(wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE: /* bytes that came together with the upgrade request, before its answer: no client may do
                                  that */
        return -1;
    default:
        return 0;
    }
}

/* ---- the loop ---- */

static void on_accept(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    struct ws_server *server = watcher->data;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                log_event(LOG_WARN, "ws_out_of_descriptors");
            return;
        }
        (void)lws_adopt_socket_vhost(server->vhost, fd); /* closes fd by itself when it fails */
    }
}

static void run_posted(struct ws_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    struct ws_post_item *items = TAKE(server->posted);
    const size_t count = server->posted_count;
    server->posted_count = server->posted_room = 0;
    (void)pthread_mutex_unlock(&server->lock);
    for (size_t i = 0; i < count; i++)
        items[i].run(server->options.app, items[i].payload);
    free(items);
}

static void stop_if_empty(struct ws_server *server);

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events)
{
    (void)loop, (void)events;
    struct ws_server *server = watcher->data;
    run_posted(server);
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    struct ws_server *server = watcher->data;
    server->options.tick(server->options.app);
}

static void on_second(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    struct ws_server *server = watcher->data;
    server->now_s = (uint32_t)(clock_monotonic_ms() / 1000);
    ws_each_second(server);
}

static void on_flush_later(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)watcher, (void)events; /* only wakes the loop: before_wait flushes */
}

/* When the last round of writing took long (many sockets), the next begins only after a pause of the same length, at
 * most FLUSH_HOLD_US, or gather_ms, if that is more: what comes in between shares its write. */
static int64_t pause_us(const struct ws_server *server)
{
    const int64_t took_us = server->flush_took_us < FLUSH_HOLD_US ? server->flush_took_us : FLUSH_HOLD_US;
    const int64_t gather_us = (int64_t)server->options.gather_ms * 1000;
    return took_us > gather_us ? took_us : gather_us;
}

/* Before the loop waits: all that this turn queued leaves now, or when the pause is over. */
static void before_wait(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)events;
    struct ws_server *server = watcher->data;
    if (server->dirty) {
        const int64_t now_us = clock_monotonic_us();
        const int64_t left_us = server->flushed_us + pause_us(server) - now_us;
        if (left_us > 500) {
            if (!ev_is_active(&server->flush_later)) {
                ev_timer_set(&server->flush_later, (double)left_us / 1e6, 0);
                ev_timer_start(loop, &server->flush_later);
            }
        } else {
            ws_flush_dirty(server);
            server->flushed_us = clock_monotonic_us();
            server->flush_took_us = server->flushed_us - now_us;
        }
    }
    stop_if_empty(server);
}

/* ---- stopping: closes are spread over the time, so that clients do not come back all at once ---- */

static void stop_if_empty(struct ws_server *server)
{
    if (!atomic_load(&server->stopping))
        return;
    const int64_t now = clock_monotonic_ms();
    if (!server->stop_by_ms) {
        server->stop_by_ms = now + STOP_SECONDS * 1000;
        ev_io_stop(server->loop, &server->accepting);
        for (struct ws_connection *at = server->all; at; at = at->next)
            ws_close(at, WS_CLOSE_GOING_AWAY, "the server is stopping");
        ws_flush_dirty(server);
    }
    if (!server->all || now > server->stop_by_ms)
        ev_break(server->loop, EVBREAK_ALL);
}

static void *turn_loop(void *payload)
{
    struct ws_server *server = payload;
    (void)pthread_setname_np(pthread_self(), "ws-loop");
    ev_run(server->loop, 0);
    for (struct ws_connection *at = server->all, *next; at; at = next) {
        next = at->next;
        ws_abort(at);
    }
    ws_flush_dirty(server);
    return NULL;
}

/* ---- start ---- */

static bool listen_on(struct ws_server *server, struct err *err)
{
    char host[64], port_text[8];
    int port;
    if (!service_split_address(server->listen, host, &port, err))
        return false;
    (void)snprintf(port_text, sizeof port_text, "%d", port);
    struct addrinfo *found = NULL, hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host, port_text, &hints, &found) != 0)
        return err_set(err, &ERR_BAD_INPUT, "%s is no address", server->listen);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const bool good = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0;
    freeaddrinfo(found);
    server->listen_fd = fd;
    struct sockaddr_storage mine;
    socklen_t size = sizeof mine;
    if (!good || getsockname(fd, (struct sockaddr *)&mine, &size) != 0)
        return err_set_internal(err, &ERR_INTERNAL, "listen on %s: %s", server->listen, strerror(errno));
    server->port = ntohs(mine.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&mine)->sin6_port
                                                    : ((struct sockaddr_in *)(void *)&mine)->sin_port);
    return true;
}

static void be_quiet(int level, const char *line)
{
    (void)level, (void)line;
}

static bool context_open(struct ws_server *server, struct err *err)
{
    static const lws_retry_bo_t NO_PINGS_OF_ITS_OWN = {0};
    struct lws_protocols *protocols = mem_new(PROTOCOLS_MAX + 2, sizeof *protocols);
    server->protocols = protocols;
    size_t count = 0;
    /* The first also serves clients that offer no subprotocol. The small rx buffer is never filled: reading is ours. */
    protocols[count++] =
        (struct lws_protocols){.name = "madang", .callback = on_lws, .rx_buffer_size = 16, .tx_packet_size = 65536};
    for (const char *const *name = server->options.subprotocols; name && *name && count <= PROTOCOLS_MAX; name++)
        protocols[count++] =
            (struct lws_protocols){.name = *name, .callback = on_lws, .rx_buffer_size = 16, .tx_packet_size = 65536};
    void *loops[] = {server->loop};
    lws_set_log_level(0, be_quiet);
    /* libwebsockets looks through a table of as many places as there may be descriptors at each accept and close: so it
     * gets to see no more than it needs. */
    struct rlimit files, fewer;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    fewer = files;
    if (fewer.rlim_cur > (rlim_t)server->options.connections_max + OTHER_DESCRIPTORS)
        fewer.rlim_cur = (rlim_t)server->options.connections_max + OTHER_DESCRIPTORS;
    (void)setrlimit(RLIMIT_NOFILE, &fewer);
    server->context = lws_create_context(&(struct lws_context_creation_info){
        .options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = loops,
        .user = server,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .pt_serv_buf_size = 4096,
        .max_http_header_data2 = HEADER_BYTES_MAX,
        .max_http_header_pool2 = HANDSHAKES_MAX,
    });
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (!server->context)
        return err_set_internal(err, &ERR_INTERNAL,
                                "libwebsockets did not start (is its libev plugin, libwebsockets-evlib-ev, there?)");
    server->vhost = lws_create_vhost(server->context, &(struct lws_context_creation_info){
                                                          .port = CONTEXT_PORT_NO_LISTEN_SERVER,
                                                          .protocols = protocols,
                                                          .retry_and_idle_policy = &NO_PINGS_OF_ITS_OWN,
                                                          .timeout_secs = HEADER_SECONDS,
                                                          .vhost_name = "ws",
                                                      });
    return server->vhost || err_set_internal(err, &ERR_INTERNAL, "libwebsockets made no vhost");
}

static void metrics_open(struct ws_server *server)
{
    const char *prefix = server->options.metrics_prefix;
    const struct {
        struct metric_child **child;
        const char *name, *help;
    } table[] = {
        {&server->m_messages_in, "ws_messages_in_total", "Messages read from sockets"},
        {&server->m_messages_out, "ws_frames_out_total", "Frames written to sockets"},
        {&server->m_bytes_in, "ws_bytes_in_total", "Bytes read from sockets"},
        {&server->m_bytes_out, "ws_bytes_out_total", "Bytes written to sockets"},
        {&server->m_writes, "ws_writes_total", "System calls that wrote them"},
        {&server->m_cut, "ws_cut_total", "Readers that were too slow and were cut"},
        {&server->m_refused, "ws_refused_total", "Upgrades that were refused"},
    };
    char name[96];
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        (void)snprintf(name, sizeof name, "%s_%s", prefix, table[i].name);
        *table[i].child = METRIC_CHILD(metric_counter(name, table[i].help, NULL));
    }
    (void)snprintf(name, sizeof name, "%s_ws_connections", prefix);
    server->m_connections = METRIC_CHILD(metric_gauge(name, "Open sockets", NULL));
}

static void watch(struct ws_server *server)
{
    struct ev_loop *loop = server->loop;
    server->now_s = (uint32_t)(clock_monotonic_ms() / 1000);
    ev_io_init(&server->accepting, on_accept, server->listen_fd, EV_READ);
    ev_timer_init(&server->second, on_second, 1, 1);
    ev_timer_init(&server->flush_later, on_flush_later, 0.01, 0);
    ev_prepare_init(&server->before_wait, before_wait);
    ev_async_init(&server->wake, on_wake);
    server->accepting.data = server->second.data = server->flush_later.data = server->before_wait.data =
        server->wake.data = server;
    ev_set_priority(&server->before_wait, EV_MINPRI);
    ev_io_start(loop, &server->accepting);
    ev_timer_start(loop, &server->second);
    ev_prepare_start(loop, &server->before_wait);
    ev_async_start(loop, &server->wake);
    if (server->options.tick) {
        const double every = (double)server->options.tick_ms / 1000;
        ev_timer_init(&server->tick, on_tick, every, every);
        server->tick.data = server;
        ev_timer_start(loop, &server->tick);
    }
}

struct ws_server *ws_server_start(const struct ws_options *options, struct err *err)
{
    AUTO(ws_server) server = MEM_NEW(ws_server);
    server->options = *options;
    server->listen = mem_text(options->listen);
    server->path = mem_text(options->path);
    server->gateways = mem_text(options->gateway_addresses ? options->gateway_addresses : "");
    server->listen_fd = -1;
    server->buffer = mem_new(WS_READ_BYTES, 1);
    (void)pthread_mutex_init(&server->lock, NULL);
    metrics_open(server);
    struct http_networks believed;
    if (!http_networks_parse(&believed, server->gateways, err) || !listen_on(server, err))
        return NULL;
    server->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (!server->loop) {
        err_set_internal(err, &ERR_INTERNAL, "no event loop");
        return NULL;
    }
    if (!context_open(server, err))
        return NULL;
    watch(server);
    server->thread_runs = pthread_create(&server->thread, NULL, turn_loop, server) == 0;
    if (!server->thread_runs) {
        err_set_internal(err, &ERR_INTERNAL, "no thread for sockets");
        return NULL;
    }
    return TAKE(server);
}

int ws_server_port(const struct ws_server *server)
{
    return server->port;
}

void ws_server_drain(struct ws_server *server)
{
    atomic_store(&server->draining, true);
}

bool ws_post(struct ws_server *server, void (*run)(void *app, void *payload), void *payload)
{
    (void)pthread_mutex_lock(&server->lock);
    const bool good = !server->post_closed && server->posted_count < POSTS_MAX;
    const bool first = server->posted_count == 0;
    if (good) {
        if (server->posted_count == server->posted_room) {
            server->posted_room = server->posted_room ? server->posted_room * 2 : 64;
            server->posted = mem_grow(server->posted, server->posted_room, sizeof *server->posted);
        }
        server->posted[server->posted_count++] = (struct ws_post_item){run, payload};
    }
    (void)pthread_mutex_unlock(&server->lock);
    if (good && first)
        ev_async_send(server->loop, &server->wake);
    return good;
}

void ws_server_release(struct ws_server **server)
{
    struct ws_server *s = *server;
    if (!s)
        return;
    if (s->thread_runs) {
        atomic_store(&s->stopping, true);
        atomic_store(&s->draining, true);
        ev_async_send(s->loop, &s->wake);
        (void)pthread_join(s->thread, NULL);
        (void)pthread_mutex_lock(&s->lock);
        s->post_closed = true;
        (void)pthread_mutex_unlock(&s->lock);
        run_posted(s); /* what they own is freed by them */
    }
    if (s->context)
        lws_context_destroy(s->context);
    if (s->loop)
        ev_loop_destroy(s->loop);
    if (s->listen_fd >= 0)
        (void)close(s->listen_fd);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->posted);
    free(s->protocols);
    free(s->buffer);
    free(s->listen);
    free(s->path);
    free(s->gateways);
    free(s);
    *server = NULL;
}
