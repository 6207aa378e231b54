/* WebSockets as clients see them: the handshake and its refusals, frames good and bad, slow readers, closing; every
 * byte over a real socket. */
#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include "test.h"
#include "ws.h"
#include "ws_internal.h"

#include <arpa/inet.h>
#include <poll.h>
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

static bool world_open_with(struct world *world, int connections_max, int ping_seconds, size_t output_max)
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

static bool world_open(struct world *world, int connections_max, int ping_seconds)
{
    return world_open_with(world, connections_max, ping_seconds, OUTPUT_MAX);
}

/* ---- a client that can say anything ---- */

struct client {
    int fd;
    unsigned char bytes[1 << 17];
    size_t have;
};

static struct client *client_connect(const struct world *world)
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

static void client_release(struct client **client)
{
    if (*client)
        (void)close((*client)->fd);
    free(*client);
    *client = NULL;
}

static bool say(struct client *client, const void *bytes, size_t length)
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

static bool more(struct client *client)
{
    if (client->have == sizeof client->bytes)
        return false;
    ssize_t got = recv(client->fd, client->bytes + client->have, sizeof client->bytes - client->have, 0);
    if (got > 0)
        client->have += (size_t)got;
    return got > 0;
}

static void eat(struct client *client, size_t length)
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
static int upgrade(struct client *client, const char *request, char *answer, size_t size)
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

static struct client *joined(const struct world *world)
{
    char answer[1024];
    struct client *client = client_connect(world);
    EXPECT_I64(101, upgrade(client, USUAL "\r\n", answer, sizeof answer));
    return client;
}

static void put(struct client *client, int first, const void *payload, size_t length)
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
static int take(struct client *client, char *text, size_t size, size_t *length)
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

static void hears(struct client *client, int first, const char *text)
{
    static char got[1 << 17];
    size_t length;
    got[0] = '\0';
    EXPECT_I64(first, take(client, got, sizeof got, &length));
    test_check(strcmp(text, got) == 0, __FILE__, __LINE__, "expected %.60s (%zu), got %.60s (%zu)", text, strlen(text),
               got, strlen(got));
}

static void hears_end(struct client *client)
{
    char text[256];
    size_t length;
    EXPECT_I64(-1, take(client, text, sizeof text, &length));
}

/* ---- the handshake ---- */

TEST(ws_takes_upgrades_and_tells_who_asks, "P-29")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 30));
    char answer[4096];
    AUTO(client) client = client_connect(&world);
    EXPECT_I64(101,
               upgrade(client,
                       "GET /ws/chat?ticket=a.b-c_d&x=1 HTTP/1.1\r\nHost: t\r\nUpgrade: WebSocket\r\nConnection: "
                       "keep-alive, Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY
                       "\r\nSec-WebSocket-Protocol: v12.stomp, v11.stomp, v10.stomp\r\n"
                       "Authorization: Bearer tok.en\r\nX-Forwarded-For: 9.9.9.9, 10.1.2.3\r\nX-Request-Id: r-1\r\n"
                       "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                       answer, sizeof answer));
    EXPECT(strcasestr(answer, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != NULL);
    EXPECT(strcasestr(answer, "Sec-WebSocket-Protocol: v12.stomp") != NULL);
    EXPECT(strcasestr(answer, "Extensions") == NULL); /* no compression: memory */
    EXPECT(strstr(world.query, "ticket=a.b-c_d") != NULL);
    EXPECT_TEXT("Bearer tok.en", world.authorization);
    EXPECT_TEXT("10.1.2.3", world.address);
    EXPECT_TEXT("r-1", world.request_id);
    EXPECT_TEXT("v12.stomp", world.subprotocol);
    PUT(client, 0x81, "hello");
    hears(client, 0x81, "hello");
    client_release(&client);
    ws_server_release(&world.server);
    EXPECT_I64(1, world.closed);
}

TEST(ws_refuses_upgrades_in_plain_http, "I10")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 1, 30));
    static const struct {
        int status;
        const char *says, *request;
    } CASES[] = {
        {401, "token_invalid",
         "GET /ws/chat?refuse=401 HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: " KEY "\r\nX-Request-Id: r-9\r\n\r\n"},
        {429, "Retry-After: 7",
         "GET /ws/chat?refuse=429 HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: " KEY "\r\n\r\n"},
        {404, "not_found",
         "GET /ws/other HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
         "13\r\n"
         "Sec-WebSocket-Key: " KEY "\r\n\r\n"},
        {400, "Version",
         "GET /ws/chat HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n"
         "Sec-WebSocket-Key: " KEY "\r\n\r\n"},
        {400, "Key",
         "GET /ws/chat HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
         "13\r\n"
         "Sec-WebSocket-Key: short\r\n\r\n"},
        {400, "Only WebSockets", "GET /ws/chat HTTP/1.1\r\nHost: t\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"},
        {400, "Only WebSockets", "GET /ws/chat HTTP/1.1\r\nHost: t\r\n\r\n"},
        {400, "subprotocols", USUAL "Sec-WebSocket-Protocol: mqtt\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        char answer[4096] = "";
        AUTO(client) client = client_connect(&world);
        int status = upgrade(client, CASES[i].request, answer, sizeof answer);
        test_check(status == CASES[i].status && strstr(answer, CASES[i].says), __FILE__, __LINE__, "case %zu: %d %s", i,
                   status, answer);
    }
    EXPECT_I64(0, world.opened);
    AUTO(client) first = joined(&world);
    char answer[4096];
    AUTO(client) second = client_connect(&world);
    EXPECT_I64(503, upgrade(second, USUAL "\r\n", answer, sizeof answer)); /* one may be open */
    EXPECT(strstr(answer, "overloaded") && strstr(answer, "Retry-After: "));
    client_release(&first);
    EVENTUALLY(5000, world.closed == 1);
    AUTO(client) third = joined(&world);
    ws_server_drain(world.server);
    AUTO(client) fourth = client_connect(&world);
    EXPECT_I64(503, upgrade(fourth, USUAL "\r\n", answer, sizeof answer));
    PUT(third, 0x81, "still here");
    hears(third, 0x81, "still here");
    ws_server_release(&world.server);
    hears(third, 0x88, "1001 the server is stopping");
}

TEST(ws_survives_bad_handshakes, "I10")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 30));
    char answer[8192];
    AUTO_STR huge = {0};
    str_add(&huge, USUAL "X-Big: ");
    for (int i = 0; i < 10 * 1024; i++)
        str_add(&huge, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    str_add(&huge, "\r\n\r\n");
    static const char *const BAD[] = {
        "\r\n\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02garbage\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /ws/chat HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: " KEY "\r\n\r\n"};
    for (size_t i = 0; i <= ARRAY_LENGTH(BAD); i++) {
        AUTO(client) client = client_connect(&world);
        int status = upgrade(client, i < ARRAY_LENGTH(BAD) ? BAD[i] : huge.bytes, answer, sizeof answer);
        test_check(status == 0 || status >= 400, __FILE__, __LINE__, "case %zu: %d", i, status);
    }
    AUTO(client) client = joined(&world);
    PUT(client, 0x81, "alive");
    hears(client, 0x81, "alive");
    client_release(&client);
    ws_server_release(&world.server);
    EXPECT_I64(world.opened, world.closed);
}

/* ---- frames ---- */

TEST(ws_assembles_messages, "P-28")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 30));
    AUTO(client) client = joined(&world);
    PUT(client, 0x01, "in ");
    PUT(client, 0x00, "three ");
    PUT(client, 0x89, "ping between");
    PUT(client, 0x80, "pieces");
    hears(client, 0x8a, "ping between");
    hears(client, 0x81, "in three pieces");
    PUT(client, 0x82, "binary");
    hears(client, 0x82, "binary");
    PUT(client, 0x81, "");
    hears(client, 0x81, "");
    PUT(client, 0x8a, "a pong that nobody asked for");
    PUT(client, 0x01, "\xea\xb0"); /* a letter cut in two */
    PUT(client, 0x80, "\x80");
    hears(client, 0x81, "가");
    AUTO_FREE char *big = mem_new(1, MESSAGE_MAX + 1);
    memset(big, 'x', MESSAGE_MAX);
    for (size_t length = 124; length <= 128; length++) {
        put(client, 0x81, big, length);
        char *kept = mem_text(big);
        kept[length] = '\0';
        hears(client, 0x81, kept);
        free(kept);
    }
    for (size_t length = 65534; length <= 65537; length++) {
        put(client, 0x81, big, length);
        char *kept = mem_text(big);
        kept[length] = '\0';
        hears(client, 0x81, kept);
        free(kept);
    }
    put(client, 0x81, big, MESSAGE_MAX);
    hears(client, 0x81, big);
    /* byte by byte, as the slowest network brings it */
    static const unsigned char SLOW[] = {0x81, 0x85, 1, 2, 3, 4, 'h' ^ 1, 'e' ^ 2, 'l' ^ 3, 'l' ^ 4, 'o' ^ 1};
    for (size_t i = 0; i < sizeof SLOW; i++)
        (void)say(client, SLOW + i, 1);
    hears(client, 0x81, "hello");
    client_release(&client);
    ws_server_release(&world.server);
}

TEST(ws_closes_at_broken_frames, "I10")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 30));
    AUTO_FREE char *big = mem_new(1, MESSAGE_MAX + 10);
    memset(big, 'x', MESSAGE_MAX + 9);
#define RAW(code, text)                                                                                                \
    {                                                                                                                  \
        code, text, sizeof(text) - 1                                                                                   \
    }
#define M "\0\0\0\0" /* the mask that changes nothing */
    static const struct {
        const char *code;
        const char *bytes;
        size_t length;
    } CASES[] = {
        RAW("1002", "\x81\x05hello"),           /* not masked */
        RAW("1002", "\x81\x80" M "\x81\x02hi"), /* the second is not */
        RAW("1002", "\xc1\x80" M),              /* RSV1 */
        RAW("1002", "\xa1\x80" M),              /* RSV2 */
        RAW("1002", "\x91\x80" M),              /* RSV3 */
        RAW("1002", "\x83\x80" M),              /* opcodes that nobody defined */
        RAW("1002", "\x8b\x80" M),
        RAW("1002", "\x8f\x80" M),
        RAW("1002", "\x80\x80" M),              /* goes on with nothing */
        RAW("1002", "\x01\x80" M "\x81\x80" M), /* a second beginning */
        RAW("1002", "\x09\x80" M),              /* a ping in pieces */
        RAW("1002", "\x89\xfe\x00\x7e" M),      /* a ping of 126 bytes */
        RAW("1002", "\x81\xfe\x00\x7d" M),      /* not the shortest length */
        RAW("1002", "\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff" M),
        RAW("1002", "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00" M), /* the 64th bit */
        RAW("1009", "\x81\xff\x00\x00\x00\x00\x7f\xff\xff\xff" M), /* 2 GiB */
        RAW("1002", "\x88\x81" M "\x03"),                          /* half a code */
        RAW("1002", "\x88\x82" M "\x03\xe7"),                      /* 999 */
        RAW("1002", "\x88\x82" M "\x03\xed"),                      /* 1005 */
        RAW("1002", "\x88\x82" M "\x13\x88"),                      /* 5000 */
        RAW("1007", "\x88\x83" M "\x03\xe8\xff"),                  /* a reason that is no text */
        RAW("1007", "\x81\x82" M "\xc0\xaf"),                      /* overlong */
        RAW("1007", "\x81\x83" M "\xed\xa0\x80"),                  /* a surrogate */
        RAW("1007", "\x81\x81" M "\xe2"),                          /* cut off */
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        AUTO(client) client = joined(&world);
        char text[256] = "";
        size_t length;
        (void)say(client, CASES[i].bytes, CASES[i].length);
        int first;
        while ((first = take(client, text, sizeof text, &length)) == 0x81)
            ; /* what was good before */
        test_check(first == 0x88 && strncmp(text, CASES[i].code, 4) == 0, __FILE__, __LINE__, "case %zu: %d %s", i,
                   first, text);
        hears_end(client);
    }
    AUTO(client) client = joined(&world); /* pieces that grow over the limit */
    put(client, 0x01, big, MESSAGE_MAX / 2 + 1);
    put(client, 0x80, big, MESSAGE_MAX / 2 + 1);
    hears(client, 0x88, "1009 message too big");
    EVENTUALLY(8000, world.closed == world.opened);
    client_release(&client);
    ws_server_release(&world.server);
}

/* ---- closing ---- */

TEST(ws_closes_as_agreed, "S-46")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 30));
    AUTO(client) client = joined(&world);
    PUT(client, 0x81, "last words");
    PUT(client, 0x88,
        "\x03\xe8"
        "done");
    hears(client, 0x81, "last words");
    hears(client, 0x88, "1000 ");
    hears_end(client);
    client_release(&client);
    client = joined(&world);
    PUT(client, 0x88, "");
    hears(client, 0x88, "");
    hears_end(client);
    client_release(&client);
    client = joined(&world); /* ours first: what comes before the answer is not delivered any more */
    PUT(client, 0x81, "bye");
    PUT(client, 0x81, "nobody hears this");
    hears(client, 0x88, "4001 you said bye");
    PUT(client, 0x88, "\x0f\xa1");
    hears_end(client);
    client_release(&client);
    client = joined(&world); /* a peer that never answers is given up */
    PUT(client, 0x81, "bye");
    hears(client, 0x88, "4001 you said bye");
    EVENTUALLY(8000, world.closed == 4);
    client_release(&client);
    client = joined(&world); /* a peer that vanishes */
    client_release(&client);
    EVENTUALLY(5000, world.closed == 5);
    client_release(&client);
    ws_server_release(&world.server);
    EXPECT_I64(5, world.closed);
}

TEST(ws_asks_silent_connections, "P-35")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 1));
    AUTO(client) silent = joined(&world);
    AUTO(client) answers = joined(&world);
    hears(answers, 0x89, "");
    PUT(answers, 0x8a, "");
    EVENTUALLY(8000, world.closed == 1); /* the one that did not answer */
    PUT(answers, 0x81, "here");
    char text[64];
    size_t length;
    int first;
    while ((first = take(answers, text, sizeof text, &length)) == 0x89)
        PUT(answers, 0x8a, "");
    EXPECT_I64(0x81, first);
    client_release(&silent);
    client_release(&answers);
    ws_server_release(&world.server);
}

/* ---- output ---- */

TEST(ws_never_breaks_a_frame_while_the_reader_pauses, "P-29")
{
    enum { FLOODS = 20, EACH = 20, BYTES = 40000, PINGS = 20 };
    struct world world = {0};
    REQUIRE(world_open_with(&world, 10, 60, (size_t)2 * FLOODS * EACH * BYTES));
    AUTO(client) client = joined(&world);
    AUTO_FREE char *text = mem_new(1, 1 << 17);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < FLOODS; i++) { /* far more than the kernel takes: half of a frame waits here ... */
            PUT(client, 0x81, "flood 20 40000");
            PUT(client, 0x89, "are you there"); /* ... when the ping comes */
        }
        size_t length, frames = 0;
        int pongs = 0;
        while (frames < FLOODS * EACH || pongs < PINGS) {
            int first = take(client, text, 1 << 17, &length);
            REQUIRE(first == 0x8a || first == 0x81);
            if (first == 0x8a) {
                EXPECT_TEXT("are you there", text);
                pongs++;
                continue;
            }
            const int number = (int)(frames++ % EACH);
            REQUIRE(length == BYTES && atoi(text) == number && text[8] == 'a' + number % 26 &&
                    text[BYTES - 1] == 'a' + number % 26);
        }
        EXPECT_I64(PINGS, pongs);
    }
    EXPECT(world.queued_most > 0);
    client_release(&client);
    ws_server_release(&world.server);
}

TEST(ws_gathers_what_comes_within_the_time_and_sends_what_comes_alone_at_once, "P-29")
{
    struct world world = {.gather_ms = 4000};
    REQUIRE(world_open(&world, 10, 60));
    AUTO(client) client = joined(&world);
    PUT(client, 0x81, "alone");
    hears(client, 0x81, "alone");
    for (const char *const *said = (const char *const[]){"first", "second", "third", NULL}; *said; said++) {
        const int heard = world.heard;
        put(client, 0x81, *said, strlen(*said));
        REQUIRE(EVENTUALLY(3000, world.heard == heard + 1)); /* its answer would have left in that turn */
    }
    struct pollfd readable = {.fd = client->fd, .events = POLLIN};
    EXPECT_I64(0, poll(&readable, 1, 0));
    hears(client, 0x81, "first");
    hears(client, 0x81, "second");
    hears(client, 0x81, "third");
    client_release(&client);
    ws_server_release(&world.server);
}

TEST(ws_cuts_a_reader_that_stops, "I9")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 60));
    AUTO(client) slow = joined(&world);
    AUTO(client) other = joined(&world);
    int floods = 0;
    while (world.closed == 0 && floods++ < 400) { /* never reads */
        PUT(slow, 0x81, "flood 20 10000");
        PUT(other, 0x81, "and the others go on");
        hears(other, 0x81, "and the others go on");
    }
    EVENTUALLY(8000, world.closed == 1);
    EXPECT(world.queued_most <= OUTPUT_MAX + 10010);
    EXPECT(world.queued_most > 0);
    char *text = mem_new(1, 1 << 17), last[64] = "";
    size_t length;
    int first, broken = 0; /* what it reads in the end is whole frames, and where it still fits the reason */
    while ((first = take(slow, text, 1 << 17, &length)) >= 0) {
        broken += first != 0x81 && first != 0x88;
        (void)snprintf(last, sizeof last, "%.40s", text);
    }
    EXPECT_I64(0, broken);
    free(text);
    client_release(&slow);
    client_release(&other);
    ws_server_release(&world.server);
}

static _Atomic int posted_sum;
static void add_posted(void *app, void *payload)
{
    (void)app;
    posted_sum += (int)(intptr_t)payload;
}
static void send_posted(void *app, void *payload)
{
    struct world *world = app;
    (void)payload;
    if (world->last)
        shout(world, world->last, 10, 200);
}
static void *post_many(void *payload)
{
    for (int i = 0; i < 1000; i++)
        while (!ws_post(payload, add_posted, (void *)(intptr_t)1))
            sched_yield();
    return NULL;
}

TEST(ws_is_reached_by_other_threads, "")
{
    struct world world = {0};
    REQUIRE(world_open(&world, 10, 30));
    AUTO(client) client = joined(&world);
    pthread_t threads[4];
    posted_sum = 0;
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, post_many, world.server) == 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    EVENTUALLY(5000, posted_sum == 4000);
    EXPECT(ws_post(world.server, send_posted, NULL));
    char text[512], want[16];
    size_t length;
    for (int i = 0; i < 10; i++) {
        (void)snprintf(want, sizeof want, "%08d", i);
        EXPECT_I64(0x81, take(client, text, sizeof text, &length));
        EXPECT_I64(200, length);
        EXPECT(strncmp(want, text, 8) == 0);
    }
    client_release(&client);
    ws_server_release(&world.server);
}
