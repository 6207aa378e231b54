/* Requests and sockets that wait for an answer: pending.h with the HTTP server. */
#include "clock.h"
#include "http.h"
#include "log.h"
#include "mem.h"
#include "pending.h"
#include "test.h"
#include "wire.h"

#include <pthread.h>
#include <stdatomic.h>

struct world {
    struct pending *pending;
    struct http_server *server;
    int within_ms;
    enum { ANSWER_NOT, ANSWER_BEFORE_WAIT, FAIL_AFTER_BEGIN } mode;
    char corr[PENDING_CORR_BYTES]; /* of the last request */
    char corrs[512][PENDING_CORR_BYTES];
    _Atomic int begun, runs;
};
static struct world world;

static bool on_wait(struct request *req, struct reply *reply, struct err *err)
{
    char corr[PENDING_CORR_BYTES];
    world.runs++;
    if (!req->asked) {
        EXPECT(!req->answer.bytes);
        if (!pending_begin(world.pending, req, corr, err))
            return false;
        int n = world.begun;
        memcpy(world.corrs[n % 512], corr, sizeof corr);
        memcpy(world.corr, corr, sizeof corr);
        world.begun++;
        if (world.mode == ANSWER_BEFORE_WAIT)
            EXPECT(pending_answer(world.pending, corr, VIEW("early")));
        if (world.mode == FAIL_AFTER_BEGIN)
            return err_set(err, &ERR_UNAVAILABLE, "the queue is full");
        return pending_wait(world.pending, req, world.within_ms);
    }
    if (!req->answer.bytes) {
        reply->status = 202;
        str_add(&reply->body, "later");
        return true;
    }
    str_add_bytes(&reply->body, req->answer.bytes, req->answer.length);
    str_printf(&reply->body, " for %s", http_query(req, "n") ? http_query(req, "n") : "");
    return true;
}

/* Asks a second time after its first answer. */
static bool on_twice(struct request *req, struct reply *reply, struct err *err)
{
    char corr[PENDING_CORR_BYTES];
    world.runs++;
    if (req->answer.bytes && strncmp(req->answer.bytes, "second", 6) == 0) {
        str_add(&reply->body, "both");
        return true;
    }
    bool first = !req->answer.bytes;
    if (!pending_begin(world.pending, req, corr, err))
        return false;
    EXPECT(pending_answer(world.pending, corr, first ? VIEW("first") : VIEW("second")));
    if (!first) /* the answer that is read stays while the next one is here */
        EXPECT(strncmp(req->answer.bytes, "first", 5) == 0);
    return pending_wait(world.pending, req, 5000);
}

static const struct route ROUTES[] = {
    {"GET", "/wait", AUTH_OPEN, on_wait, 0},
    {"GET", "/twice", AUTH_OPEN, on_twice, 0},
    {0},
};

static void world_open(size_t max, int within_ms)
{
    struct err err = {0};
    memset(&world, 0, sizeof world);
    world.within_ms = within_ms;
    world.pending = pending_open(max, &err);
    world.server = http_server_start(
        &(struct http_options){.listen = "127.0.0.1:0", .routes = ROUTES, .workers = 2, .queue = 600}, &err);
    if (!world.server) {
        printf("%s %s\n", err.message, err.detail);
        exit(1);
    }
}

static void world_close(void)
{
    http_server_release(&world.server);
    pending_release(&world.pending);
}

struct call {
    pthread_t thread;
    int number, status;
    const char *path;
    struct answer answer;
    atomic_bool ended;
};

static void *call_run(void *payload)
{
    struct call *call = payload;
    char request[200];
    (void)snprintf(request, sizeof request, "GET %s?n=%d HTTP/1.1\r\nHost: t\r\n\r\n", call->path, call->number);
    call->status = wire_call(http_server_port(world.server), request, &call->answer);
    atomic_store(&call->ended, true);
    return NULL;
}

static struct call *call_start(int number, const char *path)
{
    struct call *call = MEM_NEW(call);
    call->number = number;
    call->path = path;
    pthread_create(&call->thread, NULL, call_run, call);
    return call;
}

static void call_end(struct call *call, int status, const char *body)
{
    pthread_join(call->thread, NULL);
    EXPECT_I64(status, call->status);
    if (body)
        EXPECT_TEXT(body, call->answer.body);
    free(call);
}

TEST(a_request_runs_again_with_its_answer_and_no_worker_waits, "I9")
{
    enum { MANY = 50 };
    struct call *calls[MANY];
    world_open(1000, 20000);
    for (int i = 0; i < MANY; i++) { /* two workers, fifty requests */
        calls[i] = call_start(i, "/wait");
        EVENTUALLY(5000, world.begun == i + 1);
    }
    EXPECT_I64(MANY, world.runs);
    for (int i = MANY; i-- > 0;) {
        char text[16];
        (void)snprintf(text, sizeof text, "a%d", i);
        EXPECT(pending_answer(world.pending, world.corrs[i], view_of(text)));
    }
    for (int i = 0; i < MANY; i++) {
        char text[40];
        (void)snprintf(text, sizeof text, "a%d for %d", i, i);
        call_end(calls[i], 200, text);
    }
    EXPECT_I64(2 * MANY, world.runs);
    world_close();
}

TEST(an_answer_before_the_wait_counts, "I1")
{
    world_open(10, 20000);
    world.mode = ANSWER_BEFORE_WAIT;
    call_end(call_start(1, "/wait"), 200, "early for 1");
    call_end(call_start(2, "/twice"), 200, "both");
    world_close();
}

TEST(a_second_answer_and_others_answers_are_not_taken, "")
{
    char other[PENDING_CORR_BYTES];
    world_open(10, 20000);
    struct call *call = call_start(1, "/wait");
    EVENTUALLY(5000, world.begun == 1);
    EXPECT(pending_is_ours(world.pending, world.corr));
    memcpy(other, world.corr, sizeof other);
    other[3] = other[3] == 'a' ? 'b' : 'a'; /* another process */
    EXPECT(!pending_is_ours(world.pending, other));
    EXPECT(!pending_answer(world.pending, other, VIEW("x")));
    static const char *const WRONG[] = {"", ":", ":1", "abc", "1", "::::"};
    for (size_t i = 0; i < ARRAY_LENGTH(WRONG); i++)
        EXPECT(!pending_answer(world.pending, WRONG[i], VIEW("x")));
    static const char *const TAILS[] = {"", "999", "-1", "1x", " 1", "18446744073709551616"};
    for (size_t i = 0; i < ARRAY_LENGTH(TAILS); i++) {
        (void)snprintf(other, sizeof other, "%.37s%s", world.corr, TAILS[i]);
        EXPECT(!pending_answer(world.pending, other, VIEW("x")));
    }
    EXPECT(pending_answer(world.pending, world.corr, VIEW("")));
    call_end(call, 200, " for 1"); /* an empty answer is one */
    EXPECT(!pending_answer(world.pending, world.corr, VIEW("again")));
    world_close();
}

TEST(without_an_answer_the_request_runs_again_when_the_time_is_over, "")
{
    world_open(10, 30);
    call_end(call_start(1, "/wait"), 202, "later");
    EXPECT(!pending_answer(world.pending, world.corr, VIEW("too late")));
    EXPECT_I64(2, world.runs);
    world_close();
}

TEST(requests_that_fail_are_forgotten_and_too_many_are_refused, "I9")
{
    world_open(3, 20000);
    world.mode = FAIL_AFTER_BEGIN;
    for (int i = 0; i < 10; i++) /* more than fit at once: each gives its place back */
        call_end(call_start(i, "/wait"), 503, NULL);
    EXPECT_I64(10, world.begun);
    world.mode = ANSWER_NOT;
    struct call *calls[3];
    for (int i = 0; i < 3; i++) {
        calls[i] = call_start(i, "/wait");
        EVENTUALLY(5000, world.begun == 10 + i + 1);
    }
    call_end(call_start(3, "/wait"), 503, NULL);
    for (int i = 0; i < 3; i++) {
        EXPECT(pending_answer(world.pending, world.corrs[10 + i], VIEW("ok")));
        call_end(calls[i], 200, NULL);
    }
    world_close();
}

TEST(a_server_that_stops_lets_waiting_requests_end, "I8")
{
    world_open(10, 1500);
    struct call *call = call_start(1, "/wait");
    EVENTUALLY(5000, world.begun == 1);
    EXPECT(!call->ended);
    http_server_release(&world.server);
    call_end(call, 202, "later");
    pending_release(&world.pending);
}

/* ---- expectations ---- */

struct expectation {
    _Atomic int calls, answers;
    char bytes[32];
};

static void on_answer(void *payload, struct view answer)
{
    struct expectation *it = payload;
    if (answer.bytes) {
        (void)snprintf(it->bytes, sizeof it->bytes, "%.*s", (int)answer.length, answer.bytes);
        it->answers++;
    }
    it->calls++;
}

TEST(an_expectation_is_told_once_by_answer_by_time_or_at_the_end, "I1")
{
    struct err err = {0};
    struct expectation answered = {0}, late = {0}, open = {0}, many = {0};
    char corr[PENDING_CORR_BYTES], late_corr[PENDING_CORR_BYTES], other[PENDING_CORR_BYTES];
    AUTO(pending) pending = pending_open(100, &err);
    EXPECT(pending_expect(pending, 60000, on_answer, &open, other, &err));
    EXPECT(pending_expect(pending, 60000, on_answer, &answered, corr, &err));
    EXPECT(pending_expect(pending, 10, on_answer, &late, late_corr, &err));
    EXPECT(strcmp(corr, other) != 0);
    EXPECT(pending_answer(pending, corr, VIEW("yes")));
    EXPECT(!pending_answer(pending, corr, VIEW("no")));
    EXPECT_TEXT("yes", answered.bytes);
    EVENTUALLY(5000, late.calls == 1);
    EXPECT(!pending_answer(pending, late_corr, VIEW("late")));
    EXPECT_I64(0, late.answers);
    for (int i = 0; i < 99; i++)
        EXPECT(pending_expect(pending, 1 + i % 7, on_answer, &many, corr, &err));
    EVENTUALLY(5000, many.calls >= 99);
    EXPECT_I64(0, open.calls);
    pending_release(&pending);
    EXPECT_I64(1, open.calls);
    EXPECT_I64(1, answered.calls);
    EXPECT_I64(1, late.calls);
}

struct racer {
    struct pending *pending;
    char (*corrs)[PENDING_CORR_BYTES];
    int count;
};

static void *answer_all(void *payload)
{
    struct racer *racer = payload;
    for (int i = 0; i < racer->count; i++)
        (void)pending_answer(racer->pending, racer->corrs[i], VIEW("x"));
    return NULL;
}

/* Two threads answer, and the time is over at the same moment. */
TEST(answers_that_race_with_each_other_and_the_clock_end_each_wait_once, "I1")
{
    enum { MANY = 400 };
    struct err err = {0};
    static struct expectation all[MANY];
    static char corrs[MANY][PENDING_CORR_BYTES];
    AUTO(pending) pending = pending_open(MANY, &err);
    for (int round = 0; round < 20; round++) {
        memset(all, 0, sizeof all);
        for (int i = 0; i < MANY; i++)
            EXPECT(pending_expect(pending, 1 + i % 3, on_answer, &all[i], corrs[i], &err));
        struct racer racer = {pending, corrs, MANY};
        pthread_t threads[2];
        for (int i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, answer_all, &racer);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        int calls = 0;
        for (int i = 0; i < MANY; i++)
            EVENTUALLY(5000, all[i].calls >= 1);
        for (int i = 0; i < MANY; i++)
            calls += all[i].calls;
        EXPECT_I64(MANY, calls);
    }
}

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}
