/* WebSockets as clients see them: the handshake and its refusals, frames good and bad, closing; every byte over a real
 * socket. */
#include "metrics.h"
#include "ws_internal.h"
#include "ws_world.h"

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
