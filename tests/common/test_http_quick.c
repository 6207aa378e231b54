/* Handlers that the loop runs by itself (http_options.quick), and how they hand a run over to a worker. */
#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "mem.h"
#include "pending.h"
#include "test.h"
#include "wire.h"

#include "../support/key_kit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { WORKERS = 1, QUEUE = 2 };

static struct {
    struct http_server *server;
    struct pending *pending;
    pthread_t loop; /* where the first quick run was */
    _Atomic int quick_runs, blocked, looks, handed_over;
    _Atomic int64_t waited_ms; /* as the last look saw it */
    bool hand_over, hand_over_answer;
    char corr[PENDING_CORR_BYTES];
    sem_t gate, begun;
} world;

static bool on_block(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    EXPECT(!http_must_hand_over(req)); /* of no matter to those that are not quick */
    world.blocked++;
    while (sem_wait(&world.gate) != 0)
        ;
    world.blocked--;
    return reply_empty(reply, 204);
}

/* Which thread, as text: the first run's is the loop. */
static bool tell_thread(struct reply *reply)
{
    str_add(&reply->body, pthread_equal(pthread_self(), world.loop) ? "loop" : "worker");
    return true;
}

static bool on_quick(struct request *req, struct reply *reply, struct err *err)
{
    if (world.quick_runs++ == 0)
        world.loop = pthread_self();
    if (world.hand_over && http_must_hand_over(req))
        return false;
    if (req->body.length)
        return err_set(err, &ERR_BAD_INPUT, "no body is wanted");
    return tell_thread(reply);
}

/* Waits for an answer; may hand over before it asks, and again when the answer is there. */
static bool on_wait(struct request *req, struct reply *reply, struct err *err)
{
    if (world.quick_runs++ == 0)
        world.loop = pthread_self();
    if (!req->asked) {
        if (world.hand_over && http_must_hand_over(req))
            return false;
        if (!pending_begin(world.pending, req, world.corr, err))
            return false;
        req->kept = 7;
        sem_post(&world.begun);
        return pending_wait(world.pending, req, 60000);
    }
    if (world.hand_over_answer && http_must_hand_over(req))
        return false;
    EXPECT_I64(7, req->kept);
    str_add_bytes(&reply->body, req->answer.bytes, req->answer.length);
    return tell_thread(reply);
}

/* Looks again until there is nothing left to look for; hands over first. */
static bool on_look(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    if (http_must_hand_over(req)) {
        world.handed_over++;
        return false;
    }
    world.waited_ms = req->waited_ms;
    if (world.looks > 0) {
        world.looks--;
        return http_try_again(req, 1);
    }
    return tell_thread(reply);
}

static bool on_later(struct request *req, struct reply *reply, struct err *err)
{
    (void)err;
    if (world.quick_runs++ == 0)
        world.loop = pthread_self();
    return req->waited_ms < 20 ? http_try_again(req, 5) : tell_thread(reply);
}

static const struct route ROUTES[] = {
    {"GET", "/mine", AUTH_USER, on_quick, 0}, /* only where tokens can be checked */
    {"GET", "/block", AUTH_OPEN, on_block, 0},
    {"GET", "/quick", AUTH_OPEN, on_quick, 0},
    {"POST", "/quick", AUTH_OPEN, on_quick, 0},
    {"GET", "/wait", AUTH_OPEN, on_wait, 0},
    {"GET", "/later", AUTH_OPEN, on_later, 0},
    {"GET", "/look", AUTH_OPEN, on_look, 0},
    {0},
};
static const handler_fn QUICK[] = {on_quick, on_wait, on_later, on_look, NULL};

static void world_open_with(struct token_verifier *tokens)
{
    struct err err = {0};
    memset(&world, 0, sizeof world);
    sem_init(&world.gate, 0, 0);
    sem_init(&world.begun, 0, 0);
    world.pending = pending_open(100, &err);
    world.server = http_server_start(&(struct http_options){.listen = "127.0.0.1:0",
                                                            .routes = tokens ? ROUTES : ROUTES + 1,
                                                            .tokens = tokens,
                                                            .quick = QUICK,
                                                            .workers = WORKERS,
                                                            .queue = QUEUE},
                                     &err);
    if (!world.server) {
        printf("%s %s\n", err.message, err.detail);
        exit(1);
    }
}

static void world_open(void)
{
    world_open_with(NULL);
}

static void world_close(void)
{
    http_server_release(&world.server);
    pending_release(&world.pending);
    sem_destroy(&world.gate);
    sem_destroy(&world.begun);
}

static int ask(const char *method, const char *path, const char *body, struct answer *answer)
{
    char request[300];
    (void)snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n%s", method, path,
                   strlen(body), body);
    if (!*body)
        (void)snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: t\r\n\r\n", method, path);
    return wire_call(http_server_port(world.server), request, answer);
}

static int ask_as(const char *token, const char *path, struct answer *answer)
{
    char request[2000];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer %s\r\n\r\n", path,
                   token);
    return wire_call(http_server_port(world.server), request, answer);
}

struct call {
    pthread_t thread;
    const char *path;
    int status;
    struct answer answer;
};

static void *call_run(void *payload)
{
    struct call *call = payload;
    call->status = ask("GET", call->path, "", &call->answer);
    return NULL;
}

static void call_start(struct call *call, const char *path)
{
    call->path = path;
    pthread_create(&call->thread, NULL, call_run, call);
}

static void call_end(struct call *call, int status, const char *body)
{
    pthread_join(call->thread, NULL);
    EXPECT_I64(status, call->status);
    if (body)
        EXPECT_TEXT(body, call->answer.body);
}

/* The one worker is taken, and all places in the queue. */
static void fill_queue(struct call blocked[1 + QUEUE])
{
    for (int i = 0; i < 1 + QUEUE; i++) {
        call_start(&blocked[i], "/block");
        EVENTUALLY(5000, world.blocked == 1 && world.server->queued == i);
    }
}

static void empty_queue(struct call blocked[1 + QUEUE])
{
    for (int i = 0; i < 1 + QUEUE; i++)
        sem_post(&world.gate);
    for (int i = 0; i < 1 + QUEUE; i++)
        call_end(&blocked[i], 204, NULL);
}

/* It is answered all the same, by one thread. */
TEST(what_is_quick_needs_no_worker, "S-28")
{
    struct call blocked[1 + QUEUE];
    struct answer answer;
    world_open();
    fill_queue(blocked);
    for (int i = 0; i < 20; i++) {
        EXPECT_I64(200, ask("GET", "/quick", "", &answer));
        EXPECT_TEXT("loop", answer.body);
    }
    EXPECT_I64(400, ask("POST", "/quick", "x", &answer)); /* and its errors are told */
    EXPECT(strstr(answer.body, "bad_input") != NULL);
    EXPECT_I64(200, ask("GET", "/later", "", &answer)); /* nor does one that runs again */
    EXPECT_TEXT("loop", answer.body);
    empty_queue(blocked);
    world_close();
}

TEST(a_run_is_handed_over_to_a_worker_and_begins_again, "S-28")
{
    struct answer answer;
    world_open();
    EXPECT_I64(200, ask("GET", "/quick", "", &answer));
    EXPECT_TEXT("loop", answer.body);
    world.hand_over = true;
    EXPECT_I64(200, ask("GET", "/quick", "", &answer));
    EXPECT_TEXT("worker", answer.body);
    EXPECT_I64(3, world.quick_runs); /* one, and one twice */
    EXPECT_I64(400, ask("POST", "/quick", "x", &answer));
    world.hand_over = false;
    EXPECT_I64(200, ask("GET", "/quick", "", &answer)); /* of the next request nothing is remembered */
    EXPECT_TEXT("loop", answer.body);
    world_close();
}

/* With the queue full, what must be handed over is refused as any other request. */
TEST(what_must_be_handed_over_to_a_full_queue_is_refused, "S-28")
{
    struct call blocked[1 + QUEUE];
    struct answer answer;
    world_open();
    world.hand_over = true;
    fill_queue(blocked);
    EXPECT_I64(503, ask("GET", "/quick", "", &answer));
    EXPECT(strstr(answer.body, "overloaded") != NULL);
    empty_queue(blocked);
    EXPECT_I64(200, ask("GET", "/quick", "", &answer));
    EXPECT_TEXT("worker", answer.body);
    world_close();
}

TEST(an_answer_runs_it_again_on_the_loop, "S-28")
{
    struct call call;
    world_open();
    call_start(&call, "/wait");
    sem_wait(&world.begun);
    EXPECT(pending_answer(world.pending, world.corr, VIEW("yes ")));
    call_end(&call, 200, "yes loop");
    EXPECT_I64(2, world.quick_runs);
    world_close();
}

/* The run that has the answer begins again on a worker: with the answer. */
TEST(a_run_that_is_handed_over_keeps_its_answer, "S-28")
{
    struct call call;
    world_open();
    world.hand_over = world.hand_over_answer = true;
    call_start(&call, "/wait");
    sem_wait(&world.begun);
    EXPECT(pending_answer(world.pending, world.corr, VIEW("yes ")));
    call_end(&call, 200, "yes worker");
    EXPECT_I64(4, world.quick_runs);
    world_close();
}

/* Answers from another thread while the loop sleeps, wakes and runs others: none is forgotten. */
TEST(answers_while_the_loop_sleeps_and_wakes_are_not_forgotten, "S-28")
{
    struct call call;
    world_open();
    for (int i = 0; i < 500; i++) {
        world.hand_over = i % 3 == 1;
        world.hand_over_answer = i % 5 == 2;
        call_start(&call, "/wait");
        sem_wait(&world.begun);
        EXPECT(pending_answer(world.pending, world.corr, VIEW("yes ")));
        call_end(&call, 200, world.hand_over_answer ? "yes worker" : "yes loop");
    }
    world_close();
}

/* It was sent on already, so a full queue is no reason to refuse it. */
TEST(what_has_its_answer_is_handed_over_to_a_full_queue, "S-28")
{
    struct call blocked[1 + QUEUE], call;
    world_open();
    call_start(&call, "/wait");
    sem_wait(&world.begun);
    fill_queue(blocked);
    world.hand_over_answer = true;
    EXPECT(pending_answer(world.pending, world.corr, VIEW("yes ")));
    EVENTUALLY(5000, world.server->queued == QUEUE + 1);
    empty_queue(blocked);
    call_end(&call, 200, "yes worker");
    world_close();
}

/* Each look on the loop would be handed over again, and could meet a full queue. */
TEST(who_looks_again_on_a_worker_stays_there, "S-28")
{
    struct answer answer;
    world_open();
    world.looks = 20;
    EXPECT_I64(200, ask("GET", "/look", "", &answer));
    EXPECT_TEXT("worker", answer.body);
    EXPECT_I64(0, world.looks);
    EXPECT_I64(1, world.handed_over);
    EXPECT_I64(200, ask("GET", "/look", "", &answer)); /* the next request begins on the loop again */
    EXPECT_I64(2, world.handed_over);
    world_close();
}

/* A time in the queue is none of waiting: the first run is still to come. */
TEST(a_run_that_was_handed_over_is_the_first_one, "S-28")
{
    struct call blocked[QUEUE], call;
    world_open();
    world.hand_over = true;
    call_start(&blocked[0], "/block");
    EVENTUALLY(5000, world.blocked == 1);
    const int64_t begin_ms = clock_monotonic_ms();
    call_start(&call, "/look");
    EVENTUALLY(5000, world.server->queued == 1);
    EVENTUALLY(5000, clock_monotonic_ms() > begin_ms + 5);
    sem_post(&world.gate);
    call_end(&blocked[0], 204, NULL);
    call_end(&call, 200, "worker");
    EXPECT_I64(0, world.waited_ms);
    world_close();
}

/* To check a signature takes longer than all the rest: who is not known yet is looked at by a worker. */
TEST(a_token_is_checked_on_a_worker_and_known_on_the_loop, "S-28 P-43")
{
    struct err err = {0};
    AUTO_STR jwks = {0}, token = {0};
    struct key_kit *kit = key_kit_new("k1");
    struct keyset *keys = keyset_open();
    struct revoked *revoked = revoked_open();
    key_kit_jwks((const struct key_kit *const[]){kit, NULL}, &jwks);
    EXPECT(keyset_load_jwks(keys, (struct view){jwks.bytes, jwks.length}, &err));
    struct token_verifier *tokens = token_verifier_open(
        &(struct token_options){
            .keys = keys, .revoked = revoked, .issuer = TOKEN_ISSUER, .audience = TOKEN_AUDIENCE, .cache_entries = 16},
        &err);
    const struct identity identity = key_kit_identity();
    key_kit_token(kit, &identity, TOKEN_AUDIENCE, &token);
    world_open_with(tokens);
    struct answer answer;
    EXPECT_I64(200, ask("GET", "/quick", "", &answer)); /* shows which thread the loop is */
    EXPECT_TEXT("loop", answer.body);
    EXPECT_I64(200, ask_as(token.bytes, "/mine", &answer));
    EXPECT_TEXT("worker", answer.body);
    EXPECT_I64(200, ask_as(token.bytes, "/mine", &answer));
    EXPECT_TEXT("loop", answer.body);
    EXPECT_I64(401, ask_as("not.a.token", "/mine", &answer));
    EXPECT_I64(401, ask("GET", "/mine", "", &answer));
    world_close();
    token_verifier_release(&tokens);
    revoked_release(&revoked);
    keyset_release(&keys);
    key_kit_release(&kit);
}

/* The answer came, and the run that reads it is still to come, when the server is released. */
TEST(a_stop_answers_what_has_its_answer, "S-28")
{
    struct call call;
    world_open();
    call_start(&call, "/wait");
    sem_wait(&world.begun);
    EXPECT(pending_answer(world.pending, world.corr, VIEW("yes ")));
    http_server_release(&world.server);
    call_end(&call, 200, "yes loop");
    world_close();
}

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}
