/* ws.h - WebSocket servers (RFC 6455) by libwebsockets: it keeps sockets, handshake and HTTP refusals, in a libev loop
 * (its plugin libwebsockets-evlib-ev; its own poll() loop looks at every socket at each turn). Frames are ours both
 * ways (ws_wire.c): libwebsockets 4.1 takes frames without a mask, kills some broken ones without a close code, and
 * would write pongs into the middle of our half-written frames.
 *
 * One thread turns the loop; all callbacks run on it and must not block. Other threads reach it by ws_post(). A
 * connection has a bounded output queue: a frame (ws_frame) is built once and shared by all its receivers; what is due
 * within a tick leaves in one system call where it can; a reader whose queue passes output_max is cut with a close code
 * (1013 try again later). Messages come assembled, at most message_max bytes, else close 1009; text that is not UTF-8
 * closes with 1007. Pings keep quiet connections known (ping_seconds; no pong in as long again: cut). Upgrade: the
 * gateway has checked Origin; subprotocols are chosen from `subprotocols` in the client's order of preference; a client
 * that offers none is taken, one that offers only others is refused (400). */
#ifndef MADANG_WS_H
#define MADANG_WS_H

#include "errors.h"
#include "str.h"

#include <stdint.h>

struct ws_server;
struct ws_connection;

/* Immutable once built; counted references. */
struct ws_frame;
struct ws_frame *ws_frame_new(struct view payload, bool binary);
struct ws_frame *ws_frame_share(struct ws_frame *frame); /* one more reference */
void ws_frame_release(struct ws_frame **frame);

struct ws_upgrade {
    const char *path, *query;   /* raw query without '?', "" when none */
    const char *authorization;  /* header, "" when absent */
    const char *client_address; /* X-Forwarded-For's right-most, or the peer */
    const char *request_id;
    const char *subprotocol; /* the one chosen, "" for none */
};

struct ws_options {
    const char *listen;              /* host:port; port 0: any */
    const char *gateway_addresses;   /* whose X-Forwarded-For is believed */
    const char *path;                /* "/ws/chat"; others get 404 */
    const char *const *subprotocols; /* NULL-ended, best first; may be NULL */
    size_t message_max, output_max;
    int connections_max, ping_seconds;
    int gather_ms; /* at least so long from one round of writing to the next; 0: as soon as there is something */
    const char *metrics_prefix;
    void *app;
    /* The upgrade was asked for. False refuses it: the HTTP status of err is answered (401, 403, 429, 503) before any
     * WebSocket byte. `user` becomes the connection's own pointer. */
    bool (*open)(void *app, struct ws_connection *connection, const struct ws_upgrade *upgrade, void **user,
                 struct err *err);
    void (*message)(void *app, struct ws_connection *connection, void *user, struct view bytes, bool binary);
    void (*closed)(void *app, struct ws_connection *connection, void *user); /* once for each that was opened */
    void (*tick)(void *app); /* on the loop, every tick_ms; may be NULL */
    int tick_ms;
};

struct ws_server *ws_server_start(const struct ws_options *options, struct err *err);
int ws_server_port(const struct ws_server *server);
/* No new connections (503). */
void ws_server_drain(struct ws_server *server);
/* Closes all with 1001 going away, over up to 5 s, and ends the thread. */
void ws_server_release(struct ws_server **server);

/* On the loop thread. Sharing one frame among many costs a reference each. */
void ws_send(struct ws_connection *connection, struct ws_frame *frame);        /* takes its own reference */
void ws_close(struct ws_connection *connection, int code, const char *reason); /* after what is queued */
size_t ws_queued_bytes(const struct ws_connection *connection);

/* Runs `run(app, payload)` on the loop thread soon, in order of posting. From any thread. False when the server is
 * stopping or the queue (bounded, 65,536) is full. */
bool ws_post(struct ws_server *server, void (*run)(void *app, void *payload), void *payload);

#endif
