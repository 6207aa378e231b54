/* ws_io.c - a connection: bytes in to messages, frames out in as few system calls as can be, and the ways it ends.
 *
 * libwebsockets makes the handshake and owns the socket; after that its reading is switched off (lws_rx_flow_control)
 * and it writes nothing of its own, so pongs and close frames stand in the same queue as messages and none can fall
 * into the middle of a half-written frame. */
#include "ws_internal.h"

#include "clock.h"
#include "mem.h"

#include <errno.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { IOVEC_MAX = 64 };

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events);
static void on_writable(struct ev_loop *loop, ev_io *watcher, int events);

/* ---- the output queue ---- */

static struct ws_frame **queue_slot(struct ws_connection *connection, uint32_t index)
{
    return &connection
                ->queue[(connection->queue_head + index) & (connection->queue_room - 1)]; /* room is a power of two */
}

static void queue_grow(struct ws_connection *connection)
{
    const uint32_t room = connection->queue_room * 2;
    struct ws_frame **bigger = mem_new(room, sizeof *bigger);
    for (uint32_t i = 0; i < connection->queue_count; i++)
        bigger[i] = *queue_slot(connection, i);
    if (connection->queue != connection->inline_queue)
        free(connection->queue);
    connection->queue = bigger;
    connection->queue_room = room;
    connection->queue_head = 0;
}

static void queue_rest(struct ws_connection *connection) /* nothing waits: no memory for it */
{
    if (connection->queue != connection->inline_queue)
        free(connection->queue);
    connection->queue = connection->inline_queue;
    connection->queue_room = WS_QUEUE_INLINE;
    connection->queue_head = connection->queue_count = 0;
    connection->queued_bytes = connection->head_sent = 0;
}

static void queue_push(struct ws_connection *connection, struct ws_frame *frame)
{
    if (connection->queue_count == connection->queue_room)
        queue_grow(connection);
    *queue_slot(connection, connection->queue_count++) = frame;
    connection->queued_bytes += frame->length;
}

/* Forgets what no byte of was sent yet. */
static void queue_drop_unsent(struct ws_connection *connection)
{
    const uint32_t keep = connection->head_sent ? 1 : 0;
    while (connection->queue_count > keep) {
        struct ws_frame **last = queue_slot(connection, --connection->queue_count);
        connection->queued_bytes -= (*last)->length;
        ws_frame_release(last);
    }
    if (!keep)
        queue_rest(connection);
}

static void queue_sent(struct ws_connection *connection, size_t sent)
{
    connection->queued_bytes -= (uint32_t)sent;
    sent += connection->head_sent;
    while (connection->queue_count) {
        struct ws_frame **first = queue_slot(connection, 0);
        if (sent < (*first)->length)
            break;
        sent -= (*first)->length;
        ws_frame_release(first);
        connection->queue_head = (connection->queue_head + 1) & (connection->queue_room - 1);
        connection->queue_count--;
    }
    connection->head_sent = (uint32_t)sent;
    if (!connection->queue_count)
        queue_rest(connection);
}

static void make_dirty(struct ws_connection *connection)
{
    if (connection->dirty || connection->waits_writable)
        return;
    connection->dirty = true;
    connection->dirty_next = connection->server->dirty;
    connection->server->dirty = connection;
}

/* ---- ends ---- */

static void mark_dead(struct ws_connection *connection)
{
    struct ws_server *server = connection->server;
    connection->state = WS_DEAD;
    ev_io_stop(server->loop, &connection->readable);
    ev_io_stop(server->loop, &connection->writable);
    connection->waits_writable = false;
    make_dirty(connection);
}

void ws_abort(struct ws_connection *connection)
{
    if (connection->state != WS_DEAD)
        mark_dead(connection);
}

static void start_closing(struct ws_connection *connection, int code, const char *reason)
{
    connection->state = WS_CLOSING;
    connection->close_by_s = connection->server->now_s + WS_CLOSE_PATIENCE_S;
    queue_push(connection, ws_frame_close(code, reason));
    make_dirty(connection);
}

void ws_close(struct ws_connection *connection, int code, const char *reason)
{
    if (connection->state == WS_OPEN)
        start_closing(connection, code, reason);
}

/* A close frame went out and nothing more will: the peer reads it before it sees the end. */
static void linger(struct ws_connection *connection)
{
    (void)shutdown(connection->readable.fd, SHUT_WR);
    connection->state = WS_LINGERING;
    connection->close_by_s = connection->server->now_s + WS_CLOSE_PATIENCE_S;
}

/* ---- writing ---- */

static void write_queue(struct ws_connection *connection);

void ws_send(struct ws_connection *connection, struct ws_frame *frame)
{
    const size_t most = connection->server->options.output_max;
    if (connection->state != WS_OPEN)
        return;
    queue_push(connection, ws_frame_share(frame));
    if (connection->queued_bytes > most && connection->wsi && !connection->waits_writable)
        write_queue(connection); /* much at once is no sign of a slow reader: first see what the kernel takes */
    if (connection->queued_bytes > most && connection->state == WS_OPEN) {
        connection->cut = true;
        metric_add(connection->server->m_cut, 1);
        queue_drop_unsent(connection);
        start_closing(connection, WS_CLOSE_TRY_LATER, "the reader is too slow");
        return;
    }
    make_dirty(connection);
}

size_t ws_queued_bytes(const struct ws_connection *connection)
{
    return connection->queued_bytes;
}

static size_t gather(struct ws_connection *connection, struct iovec *parts)
{
    size_t count = 0;
    for (uint32_t i = 0; i < connection->queue_count && count < IOVEC_MAX; i++) {
        struct ws_frame *frame = *queue_slot(connection, i);
        const uint32_t skip = i == 0 ? connection->head_sent : 0;
        parts[count++] = (struct iovec){frame->bytes + skip, frame->length - skip};
    }
    return count;
}

static void wait_writable(struct ws_connection *connection, bool wait)
{
    if (wait == connection->waits_writable)
        return;
    connection->waits_writable = wait;
    if (wait)
        ev_io_start(connection->server->loop, &connection->writable);
    else
        ev_io_stop(connection->server->loop, &connection->writable);
}

static void write_queue(struct ws_connection *connection)
{
    struct ws_server *server = connection->server;
    while (connection->queue_count) {
        struct iovec parts[IOVEC_MAX];
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = gather(connection, parts)};
        const uint32_t frames = connection->queue_count;
        ssize_t sent = sendmsg(connection->readable.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            wait_writable(connection, true);
            return;
        }
        if (sent < 0) {
            mark_dead(connection);
            return;
        }
        metric_add(server->m_writes, 1);
        metric_add(server->m_bytes_out, sent);
        queue_sent(connection, (size_t)sent);
        metric_add(server->m_messages_out, frames - connection->queue_count);
    }
    wait_writable(connection, false);
    if (connection->state == WS_CLOSING && (connection->peer_closed || connection->cut))
        linger(connection);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    write_queue(watcher->data);
}

/* ---- reading ---- */

static void got_message(void *payload, struct view bytes, bool binary)
{
    struct ws_connection *connection = payload;
    struct ws_server *server = connection->server;
    metric_add(server->m_messages_in, 1);
    server->options.message(server->options.app, connection, connection->user, bytes, binary);
}

static void got_close(struct ws_connection *connection, struct view body)
{
    connection->peer_closed = true;
    make_dirty(connection);
    if (connection->state != WS_OPEN)
        return;
    const int code = body.length >= 2 ? (unsigned char)body.bytes[0] << 8 | (unsigned char)body.bytes[1] : 0;
    start_closing(connection, code, ""); /* the peer's code comes back; the connection ends once it is written */
}

static void got_control(void *payload, enum ws_opcode opcode, struct view bytes)
{
    struct ws_connection *connection = payload;
    if (opcode == WS_CLOSE) {
        got_close(connection, bytes);
    } else if (opcode == WS_PING && connection->state == WS_OPEN) {
        struct ws_frame *pong = ws_frame_make(WS_PONG, bytes);
        ws_send(connection, pong); /* counts against the output limit: who pings and never reads is cut */
        ws_frame_release(&pong);
    }
}

static bool still_going(void *payload)
{
    const struct ws_connection *connection = payload;
    return connection->state == WS_OPEN || (connection->state == WS_CLOSING && !connection->peer_closed);
}

static const struct ws_events EVENTS = {got_message, got_control, still_going};

/* While we wait for the peer's close frame its messages are parsed but not delivered. */
static void got_message_closing(void *payload, struct view bytes, bool binary)
{
    (void)payload, (void)bytes, (void)binary;
}
static const struct ws_events EVENTS_CLOSING = {got_message_closing, got_control, still_going};

static void got_bytes(struct ws_connection *connection, size_t length)
{
    struct ws_server *server = connection->server;
    if (connection->state == WS_LINGERING)
        return; /* thrown away */
    const bool open = connection->state == WS_OPEN;
    const int code = ws_parse(&connection->parser, server->buffer, length, server->options.message_max,
                              open ? &EVENTS : &EVENTS_CLOSING, connection);
    if (!code)
        return;
    connection->peer_closed = true; /* nothing it says can be understood any more */
    ws_parser_free(&connection->parser);
    if (connection->state == WS_OPEN)
        start_closing(connection, code,
                      code == WS_CLOSE_TOO_BIG    ? "message too big"
                      : code == WS_CLOSE_NOT_UTF8 ? "not UTF-8"
                                                  : "broken frame");
    else
        make_dirty(connection);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    struct ws_connection *connection = watcher->data;
    struct ws_server *server = connection->server;
    ssize_t got = recv(watcher->fd, server->buffer, WS_READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got <= 0) {
        mark_dead(connection);
        return;
    }
    metric_add(server->m_bytes_in, got);
    connection->heard_s = server->now_s;
    connection->pinged = false;
    got_bytes(connection, (size_t)got);
}

/* ---- the life of a connection ---- */

struct ws_connection *ws_connection_new(struct ws_server *server, void *user)
{
    struct ws_connection *connection = MEM_NEW(ws_connection);
    connection->server = server;
    connection->user = user;
    connection->opened = true;
    queue_rest(connection);
    connection->next = server->all;
    if (server->all)
        server->all->previous = connection;
    server->all = connection;
    server->connections++;
    metric_set(server->m_connections, server->connections);
    return connection;
}

void ws_connection_start(struct ws_connection *connection, struct lws *wsi, int fd)
{
    struct ws_server *server = connection->server;
    connection->wsi = wsi;
    connection->heard_s = server->now_s;
    ev_io_init(&connection->readable, on_readable, fd, EV_READ);
    ev_io_init(&connection->writable, on_writable, fd, EV_WRITE);
    connection->readable.data = connection->writable.data = connection;
    ev_io_start(server->loop, &connection->readable);
    if (connection->queue_count)
        make_dirty(connection); /* open() may have sent something before the 101 */
}

void ws_connection_gone(struct ws_connection *connection)
{
    struct ws_server *server = connection->server;
    if (connection->wsi) {
        ev_io_stop(server->loop, &connection->readable);
        ev_io_stop(server->loop, &connection->writable);
    }
    for (struct ws_connection **at = &server->dirty; connection->dirty && *at; at = &(*at)->dirty_next) {
        if (*at == connection) {
            *at = connection->dirty_next;
            break;
        }
    }
    if (connection->opened)
        server->options.closed(server->options.app, connection, connection->user);
    connection->head_sent = 0;
    queue_drop_unsent(connection);
    ws_parser_free(&connection->parser);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server->all = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    server->connections--;
    metric_set(server->m_connections, server->connections);
    free(connection);
}

void ws_flush_dirty(struct ws_server *server)
{
    while (server->dirty) {
        struct ws_connection *connection = server->dirty;
        server->dirty = connection->dirty_next;
        connection->dirty = false;
        if (!connection->wsi)
            continue; /* still in its handshake */
        if (connection->state != WS_DEAD && !connection->waits_writable)
            write_queue(connection);
        if (connection->state == WS_DEAD) {
            if (connection->dirty) { /* write_queue failed */
                server->dirty = connection->dirty_next;
                connection->dirty = false;
            }
            lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_REASON_BASE,
                            LWS_TO_KILL_SYNC); /* ends in ws_connection_gone */
        }
    }
}

static bool overdue(const struct ws_server *server, const struct ws_connection *connection)
{
    if (connection->state == WS_CLOSING || connection->state == WS_LINGERING)
        return server->now_s > connection->close_by_s;
    return connection->pinged && server->now_s - connection->heard_s > 2 * (uint32_t)server->options.ping_seconds;
}

void ws_each_second(struct ws_server *server)
{
    struct ws_frame *ping = ws_frame_make(WS_PING, (struct view){"", 0});
    for (struct ws_connection *at = server->all; at; at = at->next) {
        if (!at->wsi || at->state == WS_DEAD)
            continue;
        if (overdue(server, at)) {
            mark_dead(at);
        } else if (at->state == WS_OPEN && !at->pinged &&
                   server->now_s - at->heard_s >= (uint32_t)server->options.ping_seconds) {
            at->pinged = true;
            ws_send(at, ping);
        }
    }
    ws_frame_release(&ping);
}
