/* Outgoing calls, against our own server and against servers that misbehave on a plain socket. */
#include "httpclient.h"

#include "http.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}

/* ---- a good server ---- */

static bool on_tell(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "method", req->method);
    json_text(&reply->body, "type", req->content_type);
    json_text(&reply->body, "own", http_header(req, "X-Own"));
    json_text(&reply->body, "expect", http_header(req, "Expect"));
    json_text(&reply->body, "request_id", req->request_id);
    json_i64(&reply->body, "length", (int64_t)req->body.length);
    json_close(&reply->body, '}');
    reply_etag(req, reply);
    return true;
}

static bool on_big(struct request *req, struct reply *reply, struct err *err)
{
    (void)req, (void)err;
    for (int i = 0; i < 5000; i++)
        str_add(&reply->body, "0123456789");
    return true;
}

static bool on_busy(struct request *req, struct reply *reply, struct err *err)
{
    (void)req, (void)reply;
    return err_set_retry(err, &ERR_RATE_LIMITED, 12, "slowly");
}

static bool on_away(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    return reply_redirect(req, reply, "/tell");
}

static const struct route ROUTES[] = {
    {"GET", "/tell", AUTH_OPEN, on_tell, 0},       {"POST", "/tell", AUTH_OPEN, on_tell, 1 << 20},
    {"PUT", "/tell", AUTH_OPEN, on_tell, 1 << 20}, {"DELETE", "/tell", AUTH_OPEN, on_tell, 0},
    {"GET", "/big", AUTH_OPEN, on_big, 0},         {"GET", "/busy", AUTH_OPEN, on_busy, 0},
    {"GET", "/away", AUTH_OPEN, on_away, 0},       {0},
};

struct world {
    struct http_server *server;
    struct httpclient *client;
    struct arena *arena;
    char url[64];
};

static bool world_open(struct world *world)
{
    struct err err = {0};
    struct http_options options = {
        .listen = "127.0.0.1:0", .routes = ROUTES, .workers = 2, .queue = 64, .gateway_addresses = "127.0.0.1"};
    world->arena = arena_open(8 << 20);
    world->server = http_server_start(&options, &err);
    world->client =
        httpclient_open(&(struct httpclient_options){.allow_http = true, .body_max = 40000, .timeout_ms = 5000}, &err);
    (void)snprintf(world->url, sizeof world->url, "http://127.0.0.1:%d",
                   world->server ? http_server_port(world->server) : 0);
    return world->server && world->client;
}

static void world_close(struct world *world)
{
    httpclient_release(&world->client);
    http_server_release(&world->server);
    arena_release(&world->arena);
}
#define WORLD                                                                                                          \
    __attribute__((cleanup(world_close))) struct world world = {0};                                                    \
    struct http_answer answer = {0};                                                                                   \
    struct err err = {0};                                                                                              \
    REQUIRE(world_open(&world))

static bool call(struct world *world, const char *method, const char *path, const char *body,
                 const char *const *headers, struct http_answer *answer, struct err *err)
{
    struct http_call it = {.method = method,
                           .url = arena_printf(world->arena, "%s%s", world->url, path),
                           .headers = headers,
                           .body = body ? view_of(body) : (struct view){0}};
    return httpclient_call(world->client, world->arena, &it, answer, err);
}

static bool says(const struct http_answer *answer, const char *words)
{
    return test_check(strstr(answer->body.bytes, words) != NULL, __FILE__, __LINE__, "expected %s in %s", words,
                      answer->body.bytes);
}

TEST(httpclient_sends_methods_headers_and_bodies, "")
{
    WORLD;
    const char *const headers[] = {"X-Own: yes", "Content-Type: application/json", NULL};
    REQUIRE_OK(call(&world, "GET", "/tell", NULL, NULL, &answer, &err), &err);
    EXPECT_I64(200, answer.status);
    EXPECT(answer.sent);
    says(&answer, "\"method\":\"GET\",\"type\":\"\",\"own\":null,\"expect\":null");
    EXPECT_TEXT("application/json", answer.content_type);
    EXPECT_I64(34, strlen(answer.etag));
    REQUIRE_OK(call(&world, "POST", "/tell", "{\"a\":1}", headers, &answer, &err), &err);
    says(&answer, "\"method\":\"POST\",\"type\":\"application/json\",\"own\":\"yes\",\"expect\":null");
    says(&answer, "\"length\":7");
    REQUIRE_OK(call(&world, "PUT", "/tell", "xyz", NULL, &answer, &err), &err);
    says(&answer, "\"method\":\"PUT\",\"type\":\"\"");
    says(&answer, "\"length\":3");
    REQUIRE_OK(call(&world, "POST", "/tell", NULL, NULL, &answer, &err), &err);
    says(&answer, "\"length\":0");
    REQUIRE_OK(call(&world, "DELETE", "/tell", NULL, NULL, &answer, &err), &err);
    says(&answer, "\"method\":\"DELETE\"");
    REQUIRE_OK(call(&world, "HEAD", "/tell", NULL, NULL, &answer, &err), &err);
    EXPECT_I64(200, answer.status);
    EXPECT_I64(0, answer.body.length);
    REQUIRE_OK(call(&world, "GET", "/tell", NULL, NULL, &answer, &err),
               &err); /* nothing of the HEAD is left on the handle */
    says(&answer, "\"method\":\"GET\"");
}

TEST(httpclient_passes_the_request_id_on, "")
{
    WORLD;
    log_set_request("id-of-the-caller", NULL);
    REQUIRE_OK(call(&world, "GET", "/tell", NULL, NULL, &answer, &err), &err);
    log_set_request(NULL, NULL);
    says(&answer, "\"request_id\":\"id-of-the-caller\"");
    const char *const headers[] = {"X-Request-Id: chosen", NULL};
    REQUIRE_OK(call(&world, "GET", "/tell", NULL, headers, &answer, &err), &err);
    says(&answer, "\"request_id\":\"chosen\"");
}

TEST(httpclient_gives_any_status_and_follows_no_redirect, "")
{
    WORLD;
    REQUIRE_OK(call(&world, "GET", "/busy", NULL, NULL, &answer, &err), &err);
    EXPECT_I64(429, answer.status);
    EXPECT_I64(12, answer.retry_after_s);
    EXPECT_TEXT("application/problem+json", answer.content_type);
    REQUIRE_OK(call(&world, "GET", "/away", NULL, NULL, &answer, &err), &err);
    EXPECT_I64(302, answer.status);
    REQUIRE_OK(call(&world, "GET", "/none", NULL, NULL, &answer, &err), &err);
    EXPECT_I64(404, answer.status);
}

TEST(httpclient_caps_bodies, "I9")
{
    WORLD;
    EXPECT(!call(&world, "GET", "/big", NULL, NULL, &answer, &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(strstr(err.detail, "larger than 40000") != NULL);
    EXPECT(answer.sent);
    err = (struct err){0};
    REQUIRE_OK(call(&world, "GET", "/tell", NULL, NULL, &answer, &err), &err);
}

TEST(httpclient_refuses_plain_http_unless_allowed_and_other_schemes, "")
{
    WORLD;
    AUTO(httpclient) strict = httpclient_open(&(struct httpclient_options){0}, &err);
    struct http_call it = {.method = "GET", .url = arena_printf(world.arena, "%s/tell", world.url)};
    EXPECT(!httpclient_call(strict, world.arena, &it, &answer, &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(!answer.sent);
    it.url = "file:///etc/passwd";
    EXPECT(!httpclient_call(world.client, world.arena, &it, &answer, &err));
    EXPECT(!answer.sent);
    const char *const headers[] = {"X-Own: a\r\nX-Other: b", NULL};
    EXPECT(!call(&world, "GET", "/tell", NULL, headers, &answer, &err));
    EXPECT_PROBLEM("internal", &err);
}

/* ---- servers that misbehave ---- */

struct bad_server {
    int fd, port;
    const char *says; /* sent after the first bytes came in; then it waits for `stop`, or closes at once */
    bool hangs;
    int stop[2];
    pthread_t thread;
};

static void *misbehave(void *payload)
{
    struct bad_server *server = payload;
    char bytes[1024];
    int fd = accept(server->fd, NULL, NULL);
    if (fd < 0)
        return NULL;
    if (recv(fd, bytes, sizeof bytes, 0) > 0 && server->says)
        (void)send(fd, server->says, strlen(server->says), MSG_NOSIGNAL);
    if (server->hangs)
        (void)!read(server->stop[0], bytes, 1);
    (void)close(fd);
    return NULL;
}

static void bad_server_open(struct bad_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)bind(server->fd, (struct sockaddr *)&address, sizeof address);
    (void)getsockname(server->fd, (struct sockaddr *)&address, &size);
    (void)listen(server->fd, 5);
    server->port = ntohs(address.sin_port);
    (void)!pipe(server->stop);
    (void)pthread_create(&server->thread, NULL, misbehave, server);
}

static void bad_server_close(struct bad_server *server)
{
    (void)!write(server->stop[1], "x", 1);
    (void)pthread_join(server->thread, NULL);
    (void)close(server->fd);
    (void)close(server->stop[0]);
    (void)close(server->stop[1]);
}

static bool call_bad(const char *says_what, bool hangs, struct http_answer *answer, struct err *err)
{
    struct bad_server server = {.says = says_what, .hangs = hangs};
    AUTO(arena) arena = arena_open(1 << 20);
    AUTO(httpclient) client = httpclient_open(&(struct httpclient_options){.allow_http = true, .timeout_ms = 300}, err);
    bad_server_open(&server);
    struct http_call it = {.method = "GET", .url = arena_printf(arena, "http://127.0.0.1:%d/", server.port)};
    bool ok = httpclient_call(client, arena, &it, answer, err);
    bad_server_close(&server);
    return ok;
}

TEST(httpclient_ends_in_time_and_says_whether_it_was_sent, "")
{
    struct http_answer answer;
    struct err err = {0};
    EXPECT(!call_bad(NULL, true, &answer, &err)); /* silence */
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(answer.sent);
    EXPECT(!call_bad("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", true, &answer, &err));
    EXPECT(answer.sent);
    EXPECT(!call_bad("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", false, &answer, &err));
    EXPECT(!call_bad("rubbish\r\n\r\n", false, &answer, &err));
    EXPECT(!call_bad(NULL, false, &answer, &err)); /* it hangs up */
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(answer.sent);
    struct bad_server nobody = {.fd = -1};
    bad_server_open(&nobody);
    int port = nobody.port;
    (void)shutdown(nobody.fd, SHUT_RDWR);
    bad_server_close(&nobody); /* now nobody listens there */
    AUTO(arena) arena = arena_open(1 << 20);
    AUTO(httpclient) client = httpclient_open(&(struct httpclient_options){.allow_http = true}, &err);
    struct http_call it = {
        .method = "POST", .url = arena_printf(arena, "http://127.0.0.1:%d/", port), .body = view_of("x")};
    EXPECT(!httpclient_call(client, arena, &it, &answer, &err));
    EXPECT(!answer.sent);
}

struct many {
    struct world *world;
    _Atomic int good;
};

static void *call_many(void *payload)
{
    struct many *many = payload;
    AUTO(arena) arena = arena_open(8 << 20);
    for (int i = 0; i < 100; i++) {
        struct http_answer answer;
        struct err err = {0};
        const char *own = arena_printf(arena, "X-Own: %p-%d", (void *)arena, i), *const headers[] = {own, NULL};
        struct http_call it = {
            .method = "GET", .url = arena_printf(arena, "%s/tell", many->world->url), .headers = headers};
        if (httpclient_call(many->world->client, arena, &it, &answer, &err) && strstr(answer.body.bytes, own + 7))
            many->good++;
        arena_reset(arena);
    }
    return NULL;
}

TEST(httpclient_serves_many_threads, "")
{
    WORLD;
    (void)answer, (void)err;
    struct many many = {.world = &world};
    pthread_t threads[12]; /* more than it keeps handles */
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        (void)pthread_create(&threads[i], NULL, call_many, &many);
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        (void)pthread_join(threads[i], NULL);
    EXPECT_I64(1200, many.good);
}
