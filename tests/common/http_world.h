/* http_world.h - a small service on the HTTP server, and requests to it, for its test programs. Header only. */
#ifndef MADANG_TEST_HTTP_WORLD_H
#define MADANG_TEST_HTTP_WORLD_H

#include "arena.h"
#include "http.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "test.h"
#include "wire.h"

#include "../support/key_kit.h"

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

static inline int get(struct world *world, const char *path, const char *headers, struct answer *answer)
{
    char request[4096];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", path, headers);
    return wire_call(world->port, request, answer);
}

static inline bool says(const struct answer *answer, const char *words)
{
    return test_check(strstr(answer->body, words) != NULL, __FILE__, __LINE__, "expected %s in %s", words,
                      answer->body);
}

#endif
