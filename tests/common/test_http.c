/* The HTTP server as clients see it: every byte over a real socket. */
#include "arena.h"
#include "clock.h"
#include "http.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "service.h"
#include "test.h"
#include "wire.h"

#include "../support/key_kit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* ---- a small service ---- */

static sem_t gate;
static _Atomic int blocked, waits, runs_of_again;

static bool tell(struct request *req, struct reply *reply)
{
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "path", req->path);
    json_text(&reply->body, "id", http_param(req, "id"));
    json_text(&reply->body, "q", http_query(req, "q"));
    json_text(&reply->body, "client", req->client_address);
    json_text(&reply->body, "trace", req->traceparent);
    json_text(&reply->body, "who", req->identity ? req->identity->handle : NULL);
    json_i64(&reply->body, "length", (int64_t)req->body.length);
    json_close(&reply->body, '}');
    return true;
}

static bool on_tell(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    return tell(req, reply);
}

static bool on_echo(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    reply->status = 201;
    str_add_bytes(&reply->body, req->body.bytes, req->body.length);
    return true;
}

static bool on_block(struct request *req, struct reply *reply, struct err *err)
{
    (void)req, (void)reply, (void)err;
    blocked++;
    while (sem_wait(&gate) != 0)
        ;
    blocked--;
    return reply_empty(reply, 204);
}

static bool on_again(struct request *req, struct reply *reply, struct err *err)
{
    runs_of_again++;
    str_add(&reply->body, "half a reply that must not be seen");
    if (atomic_load(&waits) > 0) {
        waits--;
        return http_try_again(req, 1);
    }
    str_clear(&reply->body);
    (void)err;
    return tell(req, reply);
}

static bool on_never(struct request *req, struct reply *reply, struct err *err)
{
    (void)reply;
    if (req->waited_ms < 100)
        return http_try_again(req, 10);
    return err_set(err, &ERR_NOT_YET, "it did not come");
}

static bool on_fail(struct request *req, struct reply *reply, struct err *err)
{
    (void)reply;
    const char *how = http_query(req, "how");
    if (how && strcmp(how, "retry") == 0)
        return err_set_retry(err, &ERR_RATE_LIMITED, 7, "slowly");
    if (how && strcmp(how, "inner") == 0)
        return err_set_internal(err, &ERR_INTERNAL, "the secret reason");
    if (how && strcmp(how, "nothing") == 0)
        return false;
    err_set(err, &ERR_BAD_INPUT, "Some fields are not valid");
    return err_add_field(err, "/name", "must be \"short\"");
}

static bool on_cookie(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    const char *mine = http_cookie(req, "mine");
    reply_cookie(req, reply, "mine", "v1", "/cookie", 60, true, "Lax");
    reply_cookie(req, reply, "other", "", "/", 0, false, "Strict");
    reply_cookie(req, reply, "evil", "a; Domain=x", "/", 0, false, "Strict");
    reply_header(reply, "X-Evil", "a\r\nSet-Cookie: b=c");
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "mine", mine);
    json_close(&reply->body, '}');
    return true;
}

static bool on_tagged(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    str_add(&reply->body, "{\"big\":true}");
    reply_header(reply, "Cache-Control", "max-age=5");
    reply_etag(req, reply);
    return true;
}

static bool on_away(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    return reply_redirect(req, reply, "https://example.org/x?a=b");
}

static bool on_number(struct request *req, struct reply *reply, struct err *err)
{
    int64_t limit;
    if (!http_query_i64(req, "limit", 20, 1, 100, &limit, err))
        return false;
    json_i64(&reply->body, NULL, limit);
    return true;
}

static bool on_uuid(struct request *req, struct reply *reply, struct err *err)
{
    const char *id = http_param_uuid(req, "id", err);
    if (!id)
        return false;
    json_text(&reply->body, NULL, id);
    return true;
}

static const struct route ROUTES[] = {
    {"GET", "/tell", AUTH_OPEN, on_tell, 0},
    {"GET", "/items/:id", AUTH_OPEN, on_tell, 0},
    {"GET", "/items/mine", AUTH_OPEN, on_cookie, 0},
    {"PUT", "/items/:id", AUTH_OPEN, on_tell, 0},
    {"GET", "/items/:id/parts/:part", AUTH_OPEN, on_tell, 0},
    {"GET", "/files/:id..", AUTH_OPEN, on_tell, 0},
    {"POST", "/echo", AUTH_OPEN, on_echo, 0},
    {"PUT", "/big", AUTH_OPEN, on_tell, 1 << 20},
    {"GET", "/block", AUTH_OPEN, on_block, 0},
    {"GET", "/again/:id", AUTH_OPEN, on_again, 0},
    {"GET", "/never", AUTH_OPEN, on_never, 0},
    {"GET", "/fail", AUTH_OPEN, on_fail, 0},
    {"GET", "/cookie", AUTH_OPEN, on_cookie, 0},
    {"GET", "/tagged", AUTH_OPEN, on_tagged, 0},
    {"GET", "/away", AUTH_OPEN, on_away, 0},
    {"GET", "/number", AUTH_OPEN, on_number, 0},
    {"GET", "/uuid/:id", AUTH_OPEN, on_uuid, 0},
    {"GET", "/guest", AUTH_GUEST, on_tell, 0},
    {"GET", "/user", AUTH_USER, on_tell, 0},
    {"GET", "/admin", AUTH_ADMIN, on_tell, 0},
    {0},
};

struct world {
    struct http_server *server;
    struct keyset *keys;
    struct revoked *revoked;
    struct token_verifier *tokens;
    struct key_kit *kit;
    int port;
};

static bool world_open(struct world *world, int workers, int queue, const char *gateways)
{
    struct err err = {0};
    AUTO_STR jwks;
    str_init(&jwks);
    (void)sem_init(&gate, 0, 0);
    blocked = waits = runs_of_again = 0;
    world->kit = key_kit_new("k1");
    world->keys = keyset_open();
    world->revoked = revoked_open();
    key_kit_jwks((const struct key_kit *const[]){world->kit, NULL}, &jwks);
    bool ok = keyset_load_jwks(world->keys, (struct view){jwks.bytes, jwks.length}, &err);
    world->tokens = token_verifier_open(&(struct token_options){.keys = world->keys,
                                                               .revoked = world->revoked,
                                                               .issuer = TOKEN_ISSUER,
                                                               .audience = TOKEN_AUDIENCE,
                                                               .cache_entries = 16},
                                        &err);
    struct http_options options = {.listen = "127.0.0.1:0",
                                   .routes = ROUTES,
                                   .tokens = world->tokens,
                                   .gateway_addresses = gateways,
                                   .workers = workers,
                                   .queue = queue,
                                   .metrics_prefix = "test"};
    world->server = ok && world->tokens ? http_server_start(&options, &err) : NULL;
    if (!test_check(world->server != NULL, __FILE__, __LINE__, "start: %s %s", err.message, err.detail))
        return false;
    world->port = http_server_port(world->server);
    return true;
}

static void world_close(struct world *world)
{
    http_server_release(&world->server);
    token_verifier_release(&world->tokens);
    revoked_release(&world->revoked);
    keyset_release(&world->keys);
    key_kit_release(&world->kit);
    (void)sem_destroy(&gate);
}
/* Refused requests are part of these tests: their log lines would only be in the way. */
__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}

#define WORLD(workers, queue)                                                                                          \
    __attribute__((cleanup(world_close))) struct world world = {0};                                                    \
    struct answer *answer __attribute__((cleanup(mem_free_ptr))) = mem_new(1, sizeof *answer);                         \
    REQUIRE(world_open(&world, (workers), (queue), "127.0.0.1"))

static int get(struct world *world, const char *path, const char *headers, struct answer *answer)
{
    char request[4096];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", path, headers);
    return wire_call(world->port, request, answer);
}

static bool says(const struct answer *answer, const char *words)
{
    return test_check(strstr(answer->body, words) != NULL, __FILE__, __LINE__, "expected %s in %s", words, answer->body);
}

/* ---- routes ---- */

TEST(http_routes_by_path_and_method, "")
{
    WORLD(2, 16);
    EXPECT_I64(200, get(&world, "/items/a%20b?q=x+y%26z", "", answer));
    says(answer, "\"path\":\"/items/a b\"");
    says(answer, "\"id\":\"a b\"");
    says(answer, "\"q\":\"x y&z\"");
    EXPECT_TEXT("application/json", answer_header(answer, "Content-Type"));
    EXPECT_TEXT("no-store", answer_header(answer, "Cache-Control"));
    EXPECT_I64(200, get(&world, "/items/mine", "", answer)); /* a literal wins over a parameter */
    says(answer, "\"mine\":null");
    EXPECT_I64(200, get(&world, "/items/1/parts/2", "", answer));
    EXPECT_I64(200, get(&world, "/files/a/b%20c/d.png", "", answer));
    says(answer, "\"id\":\"a/b c/d.png\"");
    EXPECT_I64(404, get(&world, "/files", "", answer));
    EXPECT_I64(404, get(&world, "/items", "", answer));
    EXPECT_I64(404, get(&world, "/items/1/parts", "", answer));
    EXPECT_I64(404, get(&world, "/nothing/here", "", answer));
    says(answer, "\"code\":\"not_found\"");
    EXPECT_TEXT("application/problem+json", answer_header(answer, "Content-Type"));
    EXPECT_I64(405, wire_call(world.port, "DELETE /items/7 HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    EXPECT_TEXT("GET, HEAD, PUT", answer_header(answer, "Allow"));
    EXPECT_I64(405, wire_call(world.port, "BREW /tell HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    EXPECT_I64(404, wire_call(world.port, "BREW /none HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    EXPECT_I64(200, get(&world, "/uuid/0190A000-0000-7000-8000-00000000000F", "", answer));
    EXPECT_TEXT("\"0190a000-0000-7000-8000-00000000000f\"", answer->body);
    EXPECT_I64(404, get(&world, "/uuid/7", "", answer));
}

TEST(http_refuses_paths_and_queries_that_are_not_clear, "I10")
{
    static const char *const BAD[] = {"/items/%zz",   "/items/%4",    "/items/%",     "/items/%00", "/items/a%00b", "/items/%ff",
                                      "/items/%c0%af", "/items//x",    "/items/",      "//items/1",  "/items/./x",   "/items/../tell",
                                      "/items/%2e%2e", "/items/a%2fb", "/items/a%5Cb", "/items/%0a", "/tell?q=%",    "/tell?q=%ff",
                                      "/tell?%00=1",   "/tell?q=%zz",  "*",            "tell"};
    WORLD(1, 16);
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        int status = get(&world, BAD[i], "", answer);
        test_check(status == 400, __FILE__, __LINE__, "%s: %d %s", BAD[i], status, answer->body);
    }
    char request[3000] = "GET /items/", *at = request + strlen(request);
    memset(at, 'a', 2000);
    (void)strcpy(at + 2000, " HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_I64(400, wire_call(world.port, request, answer));
    at = request + sprintf(request, "GET /tell?");
    for (int i = 0; i < 40; i++)
        at += sprintf(at, "a%d=1&", i);
    (void)strcpy(at, " HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_I64(400, wire_call(world.port, request, answer));
    EXPECT_I64(200, get(&world, "/number?limit=100", "", answer));
    EXPECT_TEXT("100", answer->body);
    static const char *const NUMBERS[] = {"0", "101", "-1", "", "1.0", "9x", "+5", "99999999999999999999", " 5"};
    for (size_t i = 0; i < ARRAY_LENGTH(NUMBERS); i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/number?limit=%s", *NUMBERS[i] == ' ' ? "%205" : NUMBERS[i]);
        int status = get(&world, path, "", answer);
        test_check(status == 400 && strstr(answer->body, "\"pointer\":\"limit\""), __FILE__, __LINE__, "%s: %d %s", path,
                   status, answer->body);
    }
}

/* ---- connections and bodies ---- */

TEST(http_keeps_connections_and_answers_pipelined_requests_in_order, "")
{
    WORLD(4, 64);
    struct wire *wire AUTO_FREE = mem_new(1, sizeof *wire);
    wire_open(wire, world.port);
    EXPECT(wire_send(wire, "GET /items/1 HTTP/1.1\r\nHost: t\r\n\r\nHEAD /items/2 HTTP/1.1\r\nHost: t\r\n\r\n"
                           "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n"
                           "GET /items/5 HTTP/1.1\r\nHost: t\r\n\r\n"));
    EXPECT(wire_read(wire, answer, false));
    says(answer, "\"id\":\"1\"");
    EXPECT(wire_read(wire, answer, true));
    EXPECT_I64(200, answer->status);
    EXPECT(atoi(answer_header(answer, "Content-Length")) > 50);
    EXPECT(wire_read(wire, answer, false));
    EXPECT_I64(201, answer->status);
    EXPECT_TEXT("{}", answer->body);
    EXPECT(wire_read(wire, answer, false));
    EXPECT_I64(404, answer->status);
    EXPECT(wire_read(wire, answer, false));
    says(answer, "\"id\":\"5\"");
    for (int i = 0; i < 300; i++) {
        char request[100];
        (void)snprintf(request, sizeof request, "GET /items/%d HTTP/1.1\r\nHost: t\r\n\r\n", i);
        REQUIRE(wire_send(wire, request) && wire_read(wire, answer, false));
        (void)snprintf(request, sizeof request, "\"id\":\"%d\"", i);
        REQUIRE(says(answer, request));
    }
    wire_close(wire);
}

TEST(http_takes_bodies_up_to_the_cap_and_reads_no_further, "I9 I10")
{
    WORLD(2, 16);
    char *big AUTO_FREE = mem_new(1, 3 << 20);
    struct wire *wire AUTO_FREE = mem_new(1, sizeof *wire);
    int at = sprintf(big, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 65536\r\n\r\n");
    memset(big + at, 'x', 65536);
    wire_open(wire, world.port);
    EXPECT(wire_send_bytes(wire, big, (size_t)at + 65536) && wire_read(wire, answer, false));
    EXPECT_I64(201, answer->status);
    EXPECT_I64(65536, answer->length);
    /* one byte more: refused by the announced length alone, and the connection ends */
    EXPECT(wire_send(wire, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 65537\r\n\r\n") && wire_read(wire, answer, false));
    EXPECT_I64(413, answer->status);
    says(answer, "\"code\":\"body_too_large\"");
    EXPECT(wire_ended(wire));
    wire_close(wire);
    wire_open(wire, world.port);
    EXPECT(wire_send(wire, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 999999999999\r\n\r\n") &&
           wire_read(wire, answer, false));
    EXPECT_I64(413, answer->status);
    wire_close(wire);
    /* chunked: counted as it comes */
    at = sprintf(big, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n");
    memset(big + at, 'x', 65537);
    (void)strcpy(big + at + 65537, "\r\n0\r\n\r\n");
    wire_open(wire, world.port);
    EXPECT(wire_send_bytes(wire, big, (size_t)at + 65537 + 7) && wire_read(wire, answer, false));
    EXPECT_I64(413, answer->status);
    EXPECT_TEXT("close", answer_header(answer, "Connection"));
    wire_close(wire);
    /* a chunked body without end is cut */
    at = sprintf(big, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n");
    memset(big + at, 'x', 2 << 20);
    wire_open(wire, world.port);
    (void)wire_send_bytes(wire, big, (size_t)at + (2 << 20));
    EXPECT(!wire_read(wire, answer, false));
    wire_close(wire);
    EXPECT_I64(201, wire_call(world.port,
                              "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n", answer));
    EXPECT_TEXT("{\"a\":1}", answer->body);
    EXPECT_I64(201, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", answer));
}

TEST(http_refuses_bodies_whose_length_is_not_clear, "I10")
{
    WORLD(1, 16);
    static const char *const BAD[] = {
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: -2\r\n\r\n{}",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2x\r\n\r\n{}",
        "GET /tell HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}",
        "GET /tell HTTP/1.1\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        int status = wire_call(world.port, BAD[i], answer);
        test_check(status == 400, __FILE__, __LINE__, "%zu: %d %s", i, status, answer->body);
    }
    /* an early refusal never reads what follows as the next request */
    struct wire *wire AUTO_FREE = mem_new(1, sizeof *wire);
    wire_open(wire, world.port);
    EXPECT(wire_send(wire, "DELETE /tell HTTP/1.1\r\nHost: t\r\nContent-Length: 36\r\n\r\nGET /items/1 HTTP/1.1\r\nHost: t\r\n\r\n "));
    EXPECT(wire_read(wire, answer, false));
    EXPECT_I64(405, answer->status);
    EXPECT(!wire_read(wire, answer, false));
    wire_close(wire);
}

TEST(http_takes_json_on_json_routes_and_anything_where_a_cap_is_set, "I10")
{
    WORLD(1, 16);
#define BODY "\r\nContent-Length: 2\r\n\r\n{}"
    EXPECT_I64(201, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t" BODY, answer));
    EXPECT_I64(201, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json" BODY, answer));
    EXPECT_I64(201, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: Application/JSON; charset=utf-8" BODY, answer));
    EXPECT_I64(415, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: text/plain" BODY, answer));
    says(answer, "unsupported_media_type");
    EXPECT_I64(415, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/jsonx" BODY, answer));
    EXPECT_I64(200, wire_call(world.port, "PUT /big HTTP/1.1\r\nHost: t\r\nContent-Type: image/png" BODY, answer));
    EXPECT_I64(400, wire_call(world.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Type: text/html" BODY, answer));
}

/* ---- answers ---- */

TEST(http_turns_failures_into_problems, "")
{
    WORLD(1, 16);
    EXPECT_I64(400, get(&world, "/fail", "Accept-Language: ko-KR,ko;q=0.9,en;q=0.5\r\nX-Request-Id: abc.DEF-1_2\r\n", answer));
    EXPECT_TEXT("{\"type\":\"urn:madang:problem:bad_input\",\"title\":\"잘못된 요청입니다\",\"status\":400,\"code\":\"bad_input\","
                "\"detail\":\"Some fields are not valid\",\"request_id\":\"abc.DEF-1_2\","
                "\"errors\":[{\"pointer\":\"/name\",\"detail\":\"must be \\\"short\\\"\"}]}",
                answer->body);
    EXPECT_TEXT("ko", answer_header(answer, "Content-Language"));
    EXPECT_TEXT("abc.DEF-1_2", answer_header(answer, "X-Request-Id"));
    EXPECT_I64(400, get(&world, "/fail", "Accept-Language: en-GB, ko;q=0.3\r\n", answer));
    EXPECT_TEXT("en", answer_header(answer, "Content-Language"));
    EXPECT_I64(429, get(&world, "/fail?how=retry", "", answer));
    EXPECT_TEXT("7", answer_header(answer, "Retry-After"));
    EXPECT_I64(500, get(&world, "/fail?how=inner", "", answer));
    EXPECT(!strstr(answer->body, "secret"));
    EXPECT_I64(500, get(&world, "/fail?how=nothing", "", answer));
    says(answer, "\"code\":\"internal\"");
}

TEST(http_headers_cookies_etags_redirects, "")
{
    WORLD(1, 16);
    EXPECT_I64(200, get(&world, "/cookie", "Cookie: a=b; mine=\"v0\"; minex=1\r\n", answer));
    says(answer, "\"mine\":\"v0\"");
    EXPECT(strstr(answer->head, "Set-Cookie: mine=v1; Path=/cookie; Max-Age=60; HttpOnly; Secure; SameSite=Lax\r\n"));
    EXPECT(strstr(answer->head, "Set-Cookie: other=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict\r\n"));
    EXPECT(!strstr(answer->head, "evil") && !strstr(answer->head, "Evil") && !strstr(answer->head, "b=c"));
    EXPECT_I64(200, get(&world, "/tagged", "", answer));
    char tag[80], headers[256];
    (void)snprintf(tag, sizeof tag, "%s", answer_header(answer, "ETag"));
    EXPECT_I64(34, strlen(tag));
    EXPECT_TEXT("max-age=5", answer_header(answer, "Cache-Control"));
    (void)snprintf(headers, sizeof headers, "If-None-Match: \"x\", W/%s\r\n", tag);
    EXPECT_I64(304, get(&world, "/tagged", headers, answer));
    EXPECT_TEXT(tag, answer_header(answer, "ETag"));
    EXPECT_I64(200, get(&world, "/tagged", "If-None-Match: \"x\"\r\n", answer));
    EXPECT_I64(302, get(&world, "/away", "", answer));
    EXPECT_TEXT("https://example.org/x?a=b", answer_header(answer, "Location"));
}

TEST(http_ids_and_traces_come_in_and_go_on, "")
{
    WORLD(1, 16);
    static const char TRACE[] = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    EXPECT_I64(200, get(&world, "/tell", TRACE, answer));
    says(answer, "\"trace\":\"00-0af7651916cd43dd8448eb211c80319c-");
    EXPECT(!strstr(answer->body, "b7ad6b7169203331")); /* our own span */
    says(answer, "-01\"");
    static const char *const BAD[] = {
        "traceparent: 00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\r\n",
        "traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x\r\n",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01\r\n",
        "traceparent: x\r\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        EXPECT_I64(200, get(&world, "/tell", BAD[i], answer));
        test_check(!strstr(answer->body, "0af7651916cd43dd"), __FILE__, __LINE__, "believed: %s", BAD[i]);
        says(answer, "\"trace\":\"00-");
    }
    EXPECT_I64(200, get(&world, "/tell", "traceparent: cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes\r\n", answer));
    says(answer, "\"trace\":\"00-0af7651916cd43dd8448eb211c80319c-");
    EXPECT_I64(200, get(&world, "/tell", "X-Request-Id: has space\r\n", answer));
    EXPECT_I64(32, strlen(answer_header(answer, "X-Request-Id")));
    char longest[128];
    (void)snprintf(longest, sizeof longest, "X-Request-Id: %065d\r\n", 1);
    EXPECT_I64(200, get(&world, "/tell", longest, answer));
    EXPECT_I64(32, strlen(answer_header(answer, "X-Request-Id")));
}

TEST(http_believes_forwarded_addresses_of_gateways_alone, "")
{
    WORLD(1, 16);
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n", answer));
    says(answer, "\"client\":\"2.2.2.2\"");
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 2001:DB8::1\r\n", answer));
    says(answer, "\"client\":\"2001:db8::1\"");
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 1.1.1.1, rubbish\r\n", answer));
    says(answer, "\"client\":\"127.0.0.1\"");
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 127.0.0.1\r\n", answer));
    says(answer, "\"client\":\"127.0.0.1\"");
    world_close(&world);
    REQUIRE(world_open(&world, 1, 16, "10.0.0.0/8,::1"));
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 1.1.1.1\r\nX-Request-Id: mine\r\n", answer));
    says(answer, "\"client\":\"127.0.0.1\"");
    EXPECT(strcmp(answer_header(answer, "X-Request-Id"), "mine") != 0);
    world_close(&world);
    REQUIRE(world_open(&world, 1, 16, "127.0.0.0/8"));
    EXPECT_I64(200, get(&world, "/tell", "X-Forwarded-For: 1.1.1.1, 127.9.9.9\r\n", answer));
    says(answer, "\"client\":\"1.1.1.1\"");
}

TEST(http_asks_for_tokens_and_roles, "P-43")
{
    WORLD(1, 16);
    AUTO_STR token;
    str_init(&token);
    struct identity identity = key_kit_identity();
    (void)snprintf(identity.handle, sizeof identity.handle, "mina");
    key_kit_token(world.kit, &identity, TOKEN_AUDIENCE, &token);
    char headers[3000];
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", token.bytes);
    EXPECT_I64(401, get(&world, "/guest", "", answer));
    says(answer, "\"code\":\"token_missing\"");
    EXPECT_TEXT("Bearer", answer_header(answer, "WWW-Authenticate"));
    EXPECT_I64(401, get(&world, "/user", "Authorization: Bearer rubbish\r\n", answer));
    says(answer, "\"code\":\"token_invalid\"");
    EXPECT_I64(401, get(&world, "/user", "Authorization: Basic dTpw\r\n", answer));
    says(answer, "\"code\":\"token_invalid\"");
    EXPECT_I64(200, get(&world, "/user", headers, answer));
    says(answer, "\"who\":\"mina\"");
    EXPECT_I64(200, get(&world, "/tell", headers, answer));
    says(answer, "\"who\":\"mina\"");
    EXPECT_I64(200, get(&world, "/tell", "Authorization: Bearer rubbish\r\n", answer)); /* open: ignored */
    says(answer, "\"who\":null");
    EXPECT_I64(403, get(&world, "/admin", headers, answer));
    says(answer, "\"code\":\"forbidden\"");
    identity.role = ROLE_GUEST;
    str_clear(&token);
    key_kit_token(world.kit, &identity, TOKEN_AUDIENCE, &token);
    (void)snprintf(headers, sizeof headers, "authorization: bearer %s\r\n", token.bytes);
    EXPECT_I64(200, get(&world, "/guest", headers, answer));
    EXPECT_I64(403, get(&world, "/user", headers, answer));
    identity.role = ROLE_ADMIN;
    str_clear(&token);
    key_kit_token(world.kit, &identity, TOKEN_AUDIENCE, &token);
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", token.bytes);
    EXPECT_I64(200, get(&world, "/admin", headers, answer));
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\nAuthorization: Bearer x\r\n", token.bytes);
    EXPECT_I64(400, get(&world, "/admin", headers, answer));
}

/* ---- overload, waiting, stopping ---- */

struct caller {
    pthread_t thread;
    int port;
    const char *path;
    struct answer answer;
};

static void *call_path(void *payload)
{
    struct caller *caller = payload;
    char request[200];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", caller->path);
    (void)wire_call(caller->port, request, &caller->answer);
    return NULL;
}

static void caller_start(struct caller *caller, int port, const char *path)
{
    caller->port = port;
    caller->path = path;
    (void)pthread_create(&caller->thread, NULL, call_path, caller);
}

static int64_t gauge(const char *name)
{
    AUTO_STR out;
    str_init(&out);
    metrics_print(&out);
    char line[80];
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(out.bytes, line);
    return at ? strtoll(at + strlen(line), NULL, 10) : -1;
}

TEST(http_says_503_at_once_when_the_queue_is_full, "K-50 I9")
{
    WORLD(2, 3);
    struct caller *callers AUTO_FREE = mem_new(5, sizeof *callers);
    for (int i = 0; i < 5; i++) {
        caller_start(&callers[i], world.port, "/block");
        EXPECT(EVENTUALLY(5000, gauge("test_http_in_flight") == i + 1 && blocked == (i ? 2 : 1)));
    }
    EXPECT(EVENTUALLY(5000, blocked == 2 && gauge("test_http_queue_length") == 3));
    EXPECT_I64(503, get(&world, "/tell", "", answer));
    says(answer, "\"code\":\"overloaded\"");
    EXPECT_TEXT("1", answer_header(answer, "Retry-After"));
    EXPECT_TEXT("", answer_header(answer, "Connection")); /* the connection goes on */
    EXPECT_I64(404, get(&world, "/nothing", "", answer)); /* needs no worker */
    EXPECT(EVENTUALLY(5000, gauge("test_http_in_flight") == 5));
    for (int i = 0; i < 5; i++)
        (void)sem_post(&gate);
    for (int i = 0; i < 5; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        EXPECT_I64(204, callers[i].answer.status);
    }
    EXPECT_I64(200, get(&world, "/tell", "", answer));
    EXPECT(EVENTUALLY(5000, gauge("test_http_in_flight") == 0));
}

TEST(http_try_again_runs_anew_without_holding_a_worker, "")
{
    WORLD(1, 64);
    waits = 5;
    EXPECT_I64(200, get(&world, "/again/x%20y?q=1", "", answer));
    EXPECT_I64(6, runs_of_again);
    says(answer, "{\"path\":\"/again/x y\",\"id\":\"x y\",\"q\":\"1\"");
    EXPECT(!strstr(answer->body, "half"));
    /* many wait at once behind one worker, which serves others meanwhile */
    struct caller *callers AUTO_FREE = mem_new(20, sizeof *callers);
    for (int i = 0; i < 20; i++)
        caller_start(&callers[i], world.port, "/never");
    EXPECT(EVENTUALLY(5000, gauge("test_http_waiting") > 0));
    EXPECT_I64(200, get(&world, "/tell", "", answer));
    for (int i = 0; i < 20; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        EXPECT_I64(503, callers[i].answer.status);
        EXPECT(strstr(callers[i].answer.body, "\"code\":\"not_yet\"") != NULL);
    }
}

TEST(http_drains_then_stops_after_what_is_in_flight, "I8")
{
    WORLD(2, 16);
    EXPECT_I64(200, get(&world, "/tell", "", answer));
    EXPECT_TEXT("", answer_header(answer, "Connection"));
    http_server_drain(world.server);
    struct wire *wire AUTO_FREE = mem_new(1, sizeof *wire);
    wire_open(wire, world.port);
    EXPECT(wire_send(wire, "GET /tell HTTP/1.1\r\nHost: t\r\n\r\n") && wire_read(wire, answer, false));
    EXPECT_I64(200, answer->status);
    EXPECT_TEXT("close", answer_header(answer, "Connection"));
    EXPECT(wire_ended(wire));
    wire_close(wire);
    struct caller *callers AUTO_FREE = mem_new(4, sizeof *callers);
    for (int i = 0; i < 4; i++)
        caller_start(&callers[i], world.port, i < 3 ? "/block" : "/never"); /* two run, one waits for a worker, one to run again */
    EXPECT(EVENTUALLY(5000, blocked == 2 && gauge("test_http_in_flight") == 4));
    for (int i = 0; i < 3; i++)
        (void)sem_post(&gate);
    http_server_release(&world.server);
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        EXPECT_I64(i < 3 ? 204 : 503, callers[i].answer.status);
        EXPECT_TEXT("close", answer_header(&callers[i].answer, "Connection"));
    }
    wire_open(wire, world.port);
    EXPECT_I64(-1, wire->fd); /* nobody listens any more */
}

/* The library's own epoll thread stalls when the number of ready sockets is a multiple of 128; so many at once, twice. */
TEST(http_serves_128_256_and_512_connections_at_once, "I9")
{
    WORLD(2, 1024);
    static const int COUNTS[] = {128, 256, 512};
    struct wire *wires AUTO_FREE = mem_new(512, sizeof *wires);
    for (size_t n = 0; n < ARRAY_LENGTH(COUNTS); n++) {
        for (int i = 0; i < COUNTS[n]; i++)
            wire_open(&wires[i], world.port);
        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < COUNTS[n]; i++)
                EXPECT(wire_send(&wires[i], "GET /tell HTTP/1.1\r\nHost: t\r\n\r\n"));
            for (int i = 0; i < COUNTS[n]; i++)
                REQUIRE(wire_read(&wires[i], answer, false) && answer->status == 200);
        }
        for (int i = 0; i < COUNTS[n]; i++)
            wire_close(&wires[i]);
    }
}

TEST(http_survives_clients_that_leave_at_any_point, "I10")
{
    WORLD(2, 64);
    static const char WHOLE[] = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 20\r\n\r\n{\"a\":\"bbbbbbbbbbbbb\"}GET /never HTTP/1.1\r\nHost: t\r\n\r\n";
    struct wire *wire AUTO_FREE = mem_new(1, sizeof *wire);
    for (size_t length = 0; length < sizeof WHOLE; length++) {
        wire_open(wire, world.port);
        EXPECT(wire_send_bytes(wire, WHOLE, length));
        if (length % 2) { /* every second one goes with a reset */
            struct linger now = {.l_onoff = 1};
            (void)setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        wire_close(wire);
    }
    EXPECT_I64(200, get(&world, "/tell", "", answer));
    http_server_release(&world.server); /* ends although bodies are missing */
    EXPECT(!world.server);
}

TEST(http_refuses_to_start_on_wrong_tables_and_addresses, "")
{
    WORLD(1, 16);
    struct err err = {0};
    char taken[32];
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%d", world.port);
    struct http_options options = {.listen = taken, .routes = ROUTES, .tokens = world.tokens, .workers = 1, .queue = 1};
    EXPECT(!http_server_start(&options, &err));
    EXPECT(strstr(err.message, "LISTEN") != NULL);
    options.listen = "127.0.0.1:0";
    options.tokens = NULL;
    EXPECT(!http_server_start(&options, &err)); /* a route that needs a token, and nothing to check it */
    options.tokens = world.tokens;
    options.gateway_addresses = "127.0.0.1,nonsense";
    EXPECT(!http_server_start(&options, &err));
    options.gateway_addresses = "";
    static const struct route TWICE[] = {{"GET", "/a/:x", AUTH_OPEN, on_tell, 0}, {"GET", "/a/:y", AUTH_OPEN, on_tell, 0}, {0}};
    options.routes = TWICE;
    EXPECT(!http_server_start(&options, &err));
}

static _Atomic bool check_result;
static bool check(void *payload)
{
    (void)payload;
    return check_result;
}

TEST(admin_server_tells_health_readiness_and_metrics, "")
{
    struct answer *answer AUTO_FREE = mem_new(1, sizeof *answer);
    static const struct ready_check CHECKS[] = {{"database", check, NULL}, {0}};
    static const struct route MORE[] = {{"GET", "/more", AUTH_OPEN, on_tell, 0}, {0}};
    struct err err = {0};
    struct http_server *admin = admin_server_start("127.0.0.1:0", CHECKS, MORE, NULL, "bench", &err);
    REQUIRE_OK(admin, &err);
    struct world world = {.port = http_server_port(admin)};
    EXPECT_I64(200, get(&world, "/healthz", "", answer));
    check_result = false;
    EXPECT_I64(503, get(&world, "/readyz", "", answer));
    EXPECT_TEXT("{\"ready\":false,\"profile\":\"bench\",\"checks\":{\"running\":true,\"database\":false}}", answer->body);
    check_result = true;
    EXPECT_I64(200, get(&world, "/readyz", "", answer));
    says(answer, "{\"ready\":true");
    EXPECT_I64(200, get(&world, "/more", "", answer));
    EXPECT_I64(200, get(&world, "/metrics", "", answer));
    EXPECT_TEXT("text/plain; version=0.0.4; charset=utf-8", answer_header(answer, "Content-Type"));
    says(answer, "process_resident_memory_bytes ");
    http_server_release(&admin);
    EXPECT(!admin);
}

TEST(http_counts_requests_by_route_method_and_code, "")
{
    WORLD(1, 16);
    AUTO_STR out;
    str_init(&out);
    EXPECT_I64(200, get(&world, "/items/mine", "", answer));
    EXPECT_I64(200, get(&world, "/items/41", "", answer));
    EXPECT_I64(200, get(&world, "/items/42", "", answer));
    (void)wire_call(world.port, "XYZ /items/42 HTTP/1.1\r\nHost: t\r\n\r\n", answer);
    metrics_print(&out);
    EXPECT(strstr(out.bytes, "test_http_requests_total{route=\"/items/:id\",method=\"GET\",code=\"200\"} ") != NULL);
    EXPECT(strstr(out.bytes, "test_http_requests_total{route=\"none\",method=\"other\",code=\"405\"} ") != NULL);
    EXPECT(strstr(out.bytes, "test_http_request_duration_seconds_count{route=\"/items/:id\",method=\"GET\"} ") != NULL);
    EXPECT(!strstr(out.bytes, "/items/42"));
}
