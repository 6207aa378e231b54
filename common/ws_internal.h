/* ws_internal.h - the parts of ws among themselves: ws.c (server, loop, handshake), ws_io.c (a connection's bytes in
 * and out), ws_wire.c (frames; pure). */
#ifndef MADANG_WS_INTERNAL_H
#define MADANG_WS_INTERNAL_H

#include "metrics.h"
#include "ws.h"

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

struct lws;
struct lws_context;
struct lws_vhost;

enum {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NOT_UTF8 = 1007,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_TRY_LATER = 1013,
    WS_CONTROL_MAX = 125,
};
enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* ---- frames out ---- */

struct ws_frame {
    atomic_int references;
    uint32_t length; /* header included */
    char bytes[];    /* what goes on the wire: server frames carry no mask, so it is the same for every receiver */
};
struct ws_frame *ws_frame_make(enum ws_opcode opcode, struct view payload);
struct ws_frame *ws_frame_close(int code, const char *reason);

/* ---- frames in: a state machine over chunks; holds memory only inside a message ---- */

struct ws_parser {
    uint8_t header[14], header_length; /* of the frame that begins */
    uint8_t mask[4], mask_at;
    uint8_t opcode;         /* of the frame */
    uint8_t message_opcode; /* of the message that is being assembled; 0: none */
    bool final, in_payload;
    uint64_t left;      /* of the frame's payload */
    struct str message; /* what came so far of a message in pieces */
    struct str control; /* of a control frame in pieces */
};

struct ws_events {
    void (*message)(void *payload, struct view bytes, bool binary);
    void (*control)(void *payload, enum ws_opcode opcode, struct view bytes); /* close: a checked body */
    bool (*going)(void *payload); /* false ends the parsing: the connection is closing */
};
/* Unmasks in place. 0, or the close code of a broken frame: nothing more may be parsed then. */
int ws_parse(struct ws_parser *parser, char *bytes, size_t length, size_t message_max, const struct ws_events *events,
             void *payload);
void ws_parser_free(struct ws_parser *parser);

/* ---- connections ---- */

enum { WS_QUEUE_INLINE = 2 };

enum ws_state {
    WS_OPEN,
    WS_CLOSING,   /* a close frame is queued or sent; the peer's answer is awaited */
    WS_LINGERING, /* all is sent and our side is shut: what the peer still sends is thrown away */
    WS_DEAD,      /* to be freed at the end of this turn */
};

struct ws_connection {
    struct ws_server *server;
    struct lws *wsi;
    void *user;
    struct ws_connection *next, *previous; /* of all */
    struct ws_connection *dirty_next;      /* of those with something to write or to end this turn */
    ev_io readable, writable;
    struct ws_parser parser;
    struct ws_frame **queue; /* a ring; inline_queue while short */
    struct ws_frame *inline_queue[WS_QUEUE_INLINE];
    uint32_t queue_head, queue_count, queue_room;
    uint32_t queued_bytes; /* what is left to send */
    uint32_t head_sent;    /* of the first frame in the queue */
    uint32_t heard_s;      /* server seconds: when something was last read */
    uint32_t close_by_s;   /* when a closing connection is given up */
    uint8_t state;
    bool opened, dirty, waits_writable, pinged, peer_closed, cut;
};

struct ws_post_item {
    void (*run)(void *app, void *payload);
    void *payload;
};

struct ws_server {
    struct ws_options options;
    char *listen, *path, *gateways;
    struct lws_context *context;
    struct lws_vhost *vhost;
    void *protocols; /* lws's table */
    struct ev_loop *loop;
    ev_io accepting;
    ev_timer second, tick, flush_later;
    ev_prepare before_wait;
    ev_async wake;
    pthread_t thread;
    bool thread_runs;
    int listen_fd, port;
    atomic_bool draining, stopping;
    int64_t stop_by_ms;
    /* loop thread only */
    struct ws_connection *all, *dirty;
    int connections;
    uint32_t now_s;
    int64_t flushed_us, flush_took_us;
    char *buffer; /* for reading */
    /* posted */
    pthread_mutex_t lock;
    struct ws_post_item *posted;
    size_t posted_count, posted_room;
    bool post_closed;
    struct metric_child *m_connections, *m_messages_in, *m_messages_out, *m_bytes_in, *m_bytes_out, *m_cut, *m_refused,
        *m_writes;
};

enum { WS_READ_BYTES = 65536, WS_CLOSE_PATIENCE_S = 2 };

struct ws_connection *ws_connection_new(struct ws_server *server, void *user);
void ws_connection_start(struct ws_connection *connection, struct lws *wsi, int fd);
/* lws has let go of the socket, or it never became a WebSocket. */
void ws_connection_gone(struct ws_connection *connection);
/* Writes what is due; ends what is dead. */
void ws_flush_dirty(struct ws_server *server);
void ws_each_second(struct ws_server *server);
void ws_abort(struct ws_connection *connection);

#endif
