/* ws_world.h - a small service on the WebSocket server, and a client that can say anything, for its test programs.
 * Header only. */
#ifndef MADANG_TEST_WS_WORLD_H
#define MADANG_TEST_WS_WORLD_H

#include "clock.h"
#include "mem.h"
#include "test.h"
#include "ws.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a small service: says what it hears, shouts "flood <n> <bytes>", closes at "bye" ---- */

struct world {
    struct ws_server *server;
    _Atomic int opened, closed, heard;
    int gather_ms;
    char path[64], query[256], authorization[256], address[64], request_id[80], subprotocol[32];
    struct ws_connection *last;
    _Atomic size_t queued_most;
};

static void shout(struct world *world, struct ws_connection *connection, int count, int bytes)
{
    AUTO_FREE char *text = mem_new(1, (size_t)bytes + 1);
    for (int i = 0; i < count; i++) {
        int head = snprintf(text, (size_t)bytes, "%08d", i);
        memset(text + head, 'a' + i % 26, (size_t)(bytes - head));
        struct ws_frame *frame = ws_frame_new((struct view){text, (size_t)bytes}, false);
        ws_send(connection, frame);
        ws_frame_release(&frame);
        if (ws_queued_bytes(connection) > world->queued_most)
            world->queued_most = ws_queued_bytes(connection);
    }
}

static bool on_open(void *app, struct ws_connection *connection, const struct ws_upgrade *upgrade, void **user,
                    struct err *err)
{
    struct world *world = app;
    if (strstr(upgrade->query, "refuse=401"))
        return err_set(err, &ERR_TOKEN_INVALID, "no \"good\" token");
    if (strstr(upgrade->query, "refuse=429"))
        return err_set_retry(err, &ERR_RATE_LIMITED, 7, "slowly");
    (void)snprintf(world->query, sizeof world->query, "%s", upgrade->query);
    (void)snprintf(world->authorization, sizeof world->authorization, "%s", upgrade->authorization);
    (void)snprintf(world->address, sizeof world->address, "%s", upgrade->client_address);
    (void)snprintf(world->request_id, sizeof world->request_id, "%s", upgrade->request_id);
    (void)snprintf(world->subprotocol, sizeof world->subprotocol, "%s", upgrade->subprotocol);
    world->last = connection;
    *user = world;
    world->opened++;
    return true;
}

static void on_message(void *app, struct ws_connection *connection, void *user, struct view bytes, bool binary)
{
    struct world *world = app;
    EXPECT(user == world);
    world->heard++;
    int count, size;
    char text[64];
    (void)snprintf(text, sizeof text, "%.*s", (int)bytes.length, bytes.bytes ? bytes.bytes : "");
    if (sscanf(text, "flood %d %d", &count, &size) == 2) {
        shout(world, connection, count, size);
        return;
    }
    if (strcmp(text, "bye") == 0) {
        ws_close(connection, 4001, "you said bye");
        return;
    }
    struct ws_frame *frame = ws_frame_new(bytes, binary);
    ws_send(connection, frame);
    ws_frame_release(&frame);
}

static void on_closed(void *app, struct ws_connection *connection, void *user)
{
    struct world *world = app;
    EXPECT(user == world);
    if (world->last == connection)
        world->last = NULL;
    world->closed++;
}

enum { MESSAGE_MAX = 70000, OUTPUT_MAX = 300000 };

static inline bool world_open_with(struct world *world, int connections_max, int ping_seconds, size_t output_max)
{
    static const char *const SUBPROTOCOLS[] = {"v12.stomp", "v11.stomp", NULL};
    struct err err = {0};
    *world = (struct world){.gather_ms = world->gather_ms};
    world->server = ws_server_start(&(struct ws_options){.listen = "127.0.0.1:0",
                                                         .gateway_addresses = "127.0.0.1",
                                                         .path = "/ws/chat",
                                                         .subprotocols = SUBPROTOCOLS,
                                                         .message_max = MESSAGE_MAX,
                                                         .output_max = output_max,
                                                         .connections_max = connections_max,
                                                         .ping_seconds = ping_seconds,
                                                         .gather_ms = world->gather_ms,
                                                         .metrics_prefix = "t",
                                                         .app = world,
                                                         .open = on_open,
                                                         .message = on_message,
                                                         .closed = on_closed},
                                    &err);
    return test_check(world->server != NULL, __FILE__, __LINE__, "start: %s %s", err.message, err.detail);
}

static inline bool world_open(struct world *world, int connections_max, int ping_seconds)
{
    return world_open_with(world, connections_max, ping_seconds, OUTPUT_MAX);
}

/* ---- a client that can say anything ---- */

struct client {
    int fd;
    unsigned char bytes[1 << 17];
    size_t have;
};

static inline struct client *client_connect(const struct world *world)
{
    struct client *client = mem_new(1, sizeof *client);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ws_server_port(world->server))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = 10};
    (void)setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    EXPECT_I64(0, connect(client->fd, (struct sockaddr *)&address, sizeof address));
    return client;
}

static inline void client_release(struct client **client)
{
    if (*client)
        (void)close((*client)->fd);
    free(*client);
    *client = NULL;
}

static inline bool say(struct client *client, const void *bytes, size_t length)
{
    while (length) {
        ssize_t sent = send(client->fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes = (const char *)bytes + sent;
        length -= (size_t)sent;
    }
    return true;
}

static inline bool more(struct client *client)
{
    if (client->have == sizeof client->bytes)
        return false;
    ssize_t got = recv(client->fd, client->bytes + client->have, sizeof client->bytes - client->have, 0);
    if (got > 0)
        client->have += (size_t)got;
    return got > 0;
}

static inline void eat(struct client *client, size_t length)
{
    memmove(client->bytes, client->bytes + length, client->have - length);
    client->have -= length;
}

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define USUAL                                                                                                          \
    "GET /ws/chat HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "         \
    "13\r\nSec-WebSocket-Key: " KEY "\r\n"

/* Sends the request and reads the answer's head (and all of a refusal); the status, 0 when the connection just ended.
 */
static inline int upgrade(struct client *client, const char *request, char *answer, size_t size)
{
    if (!say(client, request, strlen(request)))
        return 0;
    unsigned char *end;
    while (!(end = memmem(client->bytes, client->have, "\r\n\r\n", 4)))
        if (!more(client))
            return 0;
    int status = 0;
    (void)sscanf((char *)client->bytes, "HTTP/1.1 %d", &status);
    while (status != 101 && more(client))
        ;
    size_t head = status == 101 ? (size_t)(end + 4 - client->bytes) : client->have;
    (void)snprintf(answer, size, "%.*s", (int)head, (char *)client->bytes);
    eat(client, head);
    return status;
}

static inline struct client *joined(const struct world *world)
{
    char answer[1024];
    struct client *client = client_connect(world);
    EXPECT_I64(101, upgrade(client, USUAL "\r\n", answer, sizeof answer));
    return client;
}

static inline void put(struct client *client, int first, const void *payload, size_t length)
{
    AUTO_FREE unsigned char *frame = mem_new(1, length + 14);
    size_t at = 0;
    static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};
    frame[at++] = (unsigned char)first;
    if (length < 126) {
        frame[at++] = (unsigned char)(0x80 | length);
    } else if (length < 65536) {
        frame[at++] = 0x80 | 126;
        frame[at++] = (unsigned char)(length >> 8);
        frame[at++] = (unsigned char)length;
    } else {
        frame[at++] = 0x80 | 127;
        for (int i = 7; i >= 0; i--)
            frame[at++] = (unsigned char)((uint64_t)length >> (8 * i));
    }
    memcpy(frame + at, MASK, 4);
    at += 4;
    for (size_t i = 0; i < length; i++)
        frame[at + i] = ((const unsigned char *)payload)[i] ^ MASK[i & 3];
    (void)say(client, frame, at + length);
}
#define PUT(client, first, text) put((client), (first), (text), sizeof(text) - 1)

/* The next frame: its first byte, or -1 when the connection ended; the payload is copied (and cut) to `text`. */
static inline int take(struct client *client, char *text, size_t size, size_t *length)
{
    size_t head = 2;
    uint64_t payload = 0;
    for (;;) {
        if (client->have >= 2) {
            payload = client->bytes[1];
            head = payload == 126 ? 4 : payload == 127 ? 10 : 2;
            if (client->have >= head && head > 2) {
                payload = 0;
                for (size_t i = 2; i < head; i++)
                    payload = payload << 8 | client->bytes[i];
            }
            if (client->have >= head && client->have >= head + payload)
                break;
        }
        if (!more(client))
            return -1;
    }
    int first = client->bytes[0];
    (void)snprintf(text, size, "%.*s", (int)payload, (char *)client->bytes + head);
    if (first == 0x88 && payload >= 2)
        (void)snprintf(text, size, "%d %.*s", client->bytes[head] << 8 | client->bytes[head + 1], (int)payload - 2,
                       (char *)client->bytes + head + 2);
    *length = (size_t)payload;
    eat(client, head + payload);
    return first;
}

static inline void hears(struct client *client, int first, const char *text)
{
    static char got[1 << 17];
    size_t length;
    got[0] = '\0';
    EXPECT_I64(first, take(client, got, sizeof got, &length));
    test_check(strcmp(text, got) == 0, __FILE__, __LINE__, "expected %.60s (%zu), got %.60s (%zu)", text, strlen(text),
               got, strlen(got));
}

static inline void hears_end(struct client *client)
{
    char text[256];
    size_t length;
    EXPECT_I64(-1, take(client, text, sizeof text, &length));
}

#endif
