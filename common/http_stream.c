/* http_stream.c - replies that go on.
 *
 * A stream that has nothing to send is parked: its connection is suspended in libmicrohttpd, which then looks at
 * nothing of it. Writers put a parked stream on the server's stack of stirred ones, and the loop resumes it. While it
 * is parked our own epoll watches its socket for a reader that leaves. libmicrohttpd frees the response when the
 * connection is done with it, however that comes: that is the one place where a stream ends. */
#include "http_internal.h"

#include "mem.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BLOCK_BYTES = 512,          /* what libmicrohttpd allocates with each response of this kind */
    SILENT_PEER_MS = 60 * 1000, /* nothing acknowledged for so long: the reader is gone */
    KEPT_BYTES = 256,           /* of the buffer of a stream at rest */
};

struct http_stream {
    pthread_mutex_t lock; /* guards what writers see */
    struct str waiting;
    size_t taken, cap; /* taken: bytes of `waiting` that have left */
    bool ending, cut, parked, gone;
    void (*ended)(void *payload);
    void *payload;
    struct http_server *server; /* NULL until its reply is sent */
    struct http_stream *next_stirred;
    atomic_bool stirred; /* is on the server's stack */
    /* loop thread only */
    struct MHD_Connection *connection;
    int fd;
    struct http_stream *next, *previous; /* of the server's streams */
};

struct http_stream *http_stream_new(size_t cap, void (*ended)(void *payload), void *payload)
{
    struct http_stream *stream = MEM_NEW(http_stream);
    stream->cap = cap;
    stream->ended = ended;
    stream->payload = payload;
    stream->fd = -1;
    pthread_mutex_init(&stream->lock, NULL);
    return stream;
}

static void stream_free(struct http_stream *stream)
{
    pthread_mutex_destroy(&stream->lock);
    str_free(&stream->waiting);
    free(stream);
}

void http_stream_release(struct http_stream **place)
{
    struct http_stream *stream = TAKE(*place);
    if (stream)
        stream_free(stream);
}

/* ---- writers: any thread ---- */

/* Tells the loop to look at the stream. Holds its lock. */
static void stir(struct http_stream *stream)
{
    struct http_server *server = stream->server;
    if (!server || atomic_exchange(&stream->stirred, true))
        return;
    stream->next_stirred = atomic_load_explicit(&server->stirred, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&server->stirred, &stream->next_stirred, stream))
        ;
    http_server_wake(server);
}

bool http_stream_write(struct http_stream *stream, struct view bytes)
{
    pthread_mutex_lock(&stream->lock);
    bool open = !stream->ending && !stream->cut && !stream->gone;
    if (open && stream->waiting.length - stream->taken + bytes.length > stream->cap) {
        stream->cut = true;
        stir(stream);
    } else if (open && bytes.length) {
        if (stream->taken) {
            memmove(stream->waiting.bytes, stream->waiting.bytes + stream->taken,
                    stream->waiting.length - stream->taken);
            stream->waiting.length -= stream->taken;
            stream->taken = 0;
        }
        str_add_bytes(&stream->waiting, bytes.bytes, bytes.length);
        if (stream->parked)
            stir(stream);
    }
    bool ok = open && !stream->cut;
    pthread_mutex_unlock(&stream->lock);
    return ok;
}

void http_stream_end(struct http_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->ending = true;
    if (stream->parked)
        stir(stream);
    pthread_mutex_unlock(&stream->lock);
}

/* ---- libmicrohttpd: on the loop thread ---- */

/* The room for a chunk is all that is left of the connection's memory, and libmicrohttpd blanks it after each chunk.
 * Whole pages of it go back to the system while the stream rests: what is in them counts only after we have written
 * there. */
static void give_pages_back(char *room, size_t size)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t from = ((uintptr_t)room + page - 1) & ~(page - 1), to = ((uintptr_t)room + size) & ~(page - 1);
    if (to > from)
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

static ssize_t on_read(void *payload, uint64_t position, char *room, size_t most)
{
    struct http_stream *stream = payload;
    ssize_t result;
    (void)position;
    pthread_mutex_lock(&stream->lock);
    size_t left = stream->waiting.length - stream->taken, count = left < most ? left : most;
    if (stream->cut) {
        result = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (count) {
        memcpy(room, stream->waiting.bytes + stream->taken, count);
        stream->taken += count;
        result = (ssize_t)count;
    } else if (stream->ending) {
        result = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        stream->parked = true;
        give_pages_back(room, most);
        MHD_suspend_connection(stream->connection);
        result = 0;
    }
    if (count && count == left) {
        stream->taken = 0;
        str_clear(&stream->waiting);
        if (stream->waiting.capacity > KEPT_BYTES)
            str_free(&stream->waiting);
    }
    pthread_mutex_unlock(&stream->lock);
    return result;
}

static void list_remove(struct http_stream *stream)
{
    struct http_server *server = stream->server;
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        server->streams = stream->next;
    if (stream->next)
        stream->next->previous = stream->previous;
    server->stream_count--;
}

/* The connection is done with it, or never got it. */
static void on_gone(void *payload)
{
    struct http_stream *stream = payload;
    if (stream->connection) {
        list_remove(stream);
        (void)epoll_ctl(stream->server->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL);
    }
    pthread_mutex_lock(&stream->lock);
    stream->gone = true; /* from now on nobody stirs it */
    bool stirred = atomic_load(&stream->stirred);
    pthread_mutex_unlock(&stream->lock);
    if (stream->ended)
        stream->ended(stream->payload);
    stream->ended = NULL;
    if (!stirred)
        stream_free(stream);
}

struct MHD_Response *http_stream_response(struct http_stream *stream)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_read, stream, on_gone);
    if (!response)
        on_gone(stream);
    return response;
}

void http_stream_drop(struct http_stream *stream)
{
    on_gone(stream);
}

void http_stream_attach(struct http_stream *stream, struct http_server *server, struct MHD_Connection *connection)
{
    const int silent_ms = SILENT_PEER_MS;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    stream->fd = info->connect_fd;
    stream->connection = connection;
    stream->next = server->streams;
    if (stream->next)
        stream->next->previous = stream;
    server->streams = stream;
    server->stream_count++;
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
    (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof silent_ms);
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = stream};
    (void)epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, stream->fd, &event);
    pthread_mutex_lock(&stream->lock);
    stream->server = server;
    pthread_mutex_unlock(&stream->lock);
}

/* ---- the loop ---- */

void http_stream_left(struct http_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->cut = true;
    stir(stream);
    pthread_mutex_unlock(&stream->lock);
}

/* It waits in libmicrohttpd for room in its socket: only the socket can end that. What the kernel still holds for the
 * reader is dropped with it. */
static void break_socket(const struct http_stream *stream)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)shutdown(stream->fd, SHUT_RDWR);
}

void http_streams_resume(struct http_server *server)
{
    struct http_stream *stream = atomic_exchange(&server->stirred, NULL), *next;
    for (; stream; stream = next) {
        next = stream->next_stirred;
        pthread_mutex_lock(&stream->lock);
        atomic_store(&stream->stirred, false);
        bool gone = stream->gone, parked = stream->parked, cut = stream->cut;
        stream->parked = false;
        pthread_mutex_unlock(&stream->lock);
        if (gone)
            stream_free(stream);
        else if (parked)
            MHD_resume_connection(stream->connection);
        else if (cut)
            break_socket(stream);
    }
}

void http_streams_end(struct http_server *server, bool at_once)
{
    for (struct http_stream *stream = server->streams; stream; stream = stream->next) {
        if (at_once)
            http_stream_left(stream);
        else
            http_stream_end(stream);
    }
}
