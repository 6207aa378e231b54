/* Replies that go on: http_stream with real connections. */
#include "http.h"
#include "log.h"
#include "mem.h"
#include "test.h"
#include "test_metrics.h"
#include "wire.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- a service with streams: the room of its own book-keeping is what ours do: a lock around streams and their end
 * ---- */

enum { STREAMS_MAX = 400, CAP = 64 * 1024 };
struct listener {
    struct http_stream *stream; /* NULL: gone */
    int ended;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct listener listeners[STREAMS_MAX];
static _Atomic int opened, ended_count;
static struct http_server *server;

static void on_ended(void *payload)
{
    struct listener *listener = payload;
    pthread_mutex_lock(&lock);
    listener->stream = NULL;
    listener->ended++;
    pthread_mutex_unlock(&lock);
    ended_count++;
}

static bool on_stream(struct request *req, struct reply *reply, struct err *err)
{
    const char *how = http_query(req, "how");
    struct listener *listener = &listeners[opened];
    struct http_stream *stream = http_stream_new(CAP, on_ended, listener);
    (void)http_stream_write(stream, VIEW(": hello\n\n"));
    if (how && strcmp(how, "thrown") == 0) {
        http_stream_release(&stream);
        return err_set(err, &ERR_CONFLICT, "no");
    }
    pthread_mutex_lock(&lock);
    listener->stream = stream;
    pthread_mutex_unlock(&lock);
    reply->stream = stream;
    opened++;
    if (how && strcmp(how, "fails") == 0)
        return err_set(err, &ERR_CONFLICT, "no");
    if (how && strcmp(how, "again") == 0 && req->waited_ms == 0)
        return http_try_again(req, 1);
    if (how && strcmp(how, "short") == 0)
        http_stream_end(stream);
    return true;
}

static bool on_plain(struct request *req, struct reply *reply, struct err *err)
{
    (void)req, (void)err;
    str_add(&reply->body, "plain");
    return true;
}

static const struct route ROUTES[] = {
    {"GET", "/stream", AUTH_OPEN, on_stream, 0},
    {"GET", "/plain", AUTH_OPEN, on_plain, 0},
    {0},
};

static void open_server(void)
{
    struct err err = {0};
    memset(listeners, 0, sizeof listeners);
    opened = ended_count = 0;
    server = http_server_start(&(struct http_options){.listen = "127.0.0.1:0",
                                                      .routes = ROUTES,
                                                      .workers = 2,
                                                      .queue = 600,
                                                      .connections_max = 1000,
                                                      .metrics_prefix = "test"},
                               &err);
    if (!server) {
        printf("%s %s\n", err.message, err.detail);
        exit(1);
    }
}

static bool write_to(int number, struct view bytes)
{
    pthread_mutex_lock(&lock);
    struct http_stream *stream = listeners[number].stream;
    bool ok = stream && http_stream_write(stream, bytes);
    pthread_mutex_unlock(&lock);
    return ok;
}

static void end_stream(int number)
{
    pthread_mutex_lock(&lock);
    if (listeners[number].stream)
        http_stream_end(listeners[number].stream);
    pthread_mutex_unlock(&lock);
}

/* ---- a reader ---- */

#define WIRE(name) struct wire *name __attribute__((cleanup(wire_free))) = wire_new()
static struct wire *wire_new(void)
{
    struct wire *wire = mem_new(1, sizeof *wire);
    wire_open(wire, http_server_port(server));
    return wire;
}

static void wire_free(struct wire **wire)
{
    if (*wire)
        wire_close(*wire);
    free(*wire);
    *wire = NULL;
}

/* Reads until the words are there (true) or the connection ends. */
static bool reads(struct wire *wire, const char *words)
{
    while (!wire->used || !memmem(wire->buffer, wire->used, words, strlen(words)))
        if (!wire_more(wire))
            return false;
    return true;
}

static void ask(struct wire *wire, const char *path)
{
    char request[200];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", path);
    EXPECT(wire_send(wire, request));
}

TEST(a_stream_sends_each_write_at_once_and_ends_when_told, "")
{
    open_server();
    WIRE(wire);
    ask(wire, "/stream");
    REQUIRE(reads(wire, ": hello\n\n"));
    EXPECT(reads(wire, "HTTP/1.1 200"));
    EXPECT(reads(wire, "Content-Type: text/event-stream\r\n"));
    EXPECT(reads(wire, "Cache-Control: no-store\r\n"));
    EXPECT(reads(wire, "X-Accel-Buffering: no\r\n"));
    EXPECT(!memmem(wire->buffer, wire->used, "Content-Length", 14));
    for (int i = 0; i < 50; i++) {
        char event[40];
        (void)snprintf(event, sizeof event, "data: %d\n\n", i);
        EXPECT(write_to(0, view_of(event)));
        EXPECT(reads(wire, event)); /* before the next one is written */
    }
    EXPECT_I64(1, test_metric("test_http_streams"));
    EXPECT_I64(0, test_metric("test_http_in_flight"));
    EXPECT(write_to(0, VIEW("data: last\n\n")));
    end_stream(0);
    EXPECT(reads(wire, "data: last\n\n"));
    EXPECT(reads(wire, "\r\n0\r\n\r\n"));
    EVENTUALLY(5000, ended_count == 1);
    EXPECT(!write_to(0, VIEW("data: too late\n\n")));
    EXPECT(!wire_more(wire));
    EXPECT_I64(1, listeners[0].ended);
    EXPECT_I64(0, test_metric("test_http_streams"));
    http_server_release(&server);
}

TEST(a_reader_that_leaves_is_noticed_without_a_write, "I9")
{
    open_server();
    for (int i = 0; i < 20; i++) {
        WIRE(wire);
        ask(wire, "/stream");
        REQUIRE(reads(wire, ": hello"));
        EXPECT_I64(i, ended_count);
        wire_close(wire);
        EVENTUALLY(5000, ended_count == i + 1);
    }
    EXPECT_I64(0, test_metric("test_http_streams"));
    http_server_release(&server);
}

TEST(a_reader_that_does_not_read_is_cut_at_its_cap_and_others_go_on, "I9")
{
    open_server();
    WIRE(slow);
    WIRE(good);
    int small = 4096;
    (void)setsockopt(slow->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ask(slow, "/stream");
    EVENTUALLY(5000, opened == 1);
    ask(good, "/stream");
    REQUIRE(reads(good, ": hello"));
    char *event = mem_new(1, 8192);
    memset(event, 'x', 8191);
    int written = 0;
    while (write_to(0, (struct view){event, 8192}) && written < 10000)
        written++;
    EXPECT(written < 10000);
    EVENTUALLY(5000, ended_count == 1);
    EXPECT_I64(1, listeners[0].ended);
    EXPECT(write_to(1, VIEW("data: still here\n\n")));
    EXPECT(reads(good, "data: still here"));
    EXPECT(!write_to(0, VIEW("x")));
    while (wire_more(slow)) /* what it reads now ends, without an end mark */
        slow->used = 0;
    free(event);
    http_server_release(&server);
    EXPECT_I64(2, ended_count);
}

TEST(one_write_over_the_cap_cuts, "I9")
{
    open_server();
    WIRE(wire);
    ask(wire, "/stream");
    REQUIRE(reads(wire, ": hello"));
    char *much = mem_new(1, CAP + 1);
    EXPECT(!write_to(0, (struct view){much, CAP + 1}));
    free(much);
    EVENTUALLY(5000, ended_count == 1);
    EXPECT(!wire_more(wire));
    http_server_release(&server);
}

TEST(streams_that_never_begin_end_too, "")
{
    open_server();
    struct answer *answer AUTO_FREE = mem_new(1, sizeof *answer);
    int port = http_server_port(server);
    EXPECT_I64(409, wire_call(port, "GET /stream?how=thrown HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    EXPECT_I64(0, ended_count);
    EXPECT_I64(409, wire_call(port, "GET /stream?how=fails HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    EVENTUALLY(5000, ended_count == 1);
    EXPECT_I64(200, wire_call(port, "HEAD /stream HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    EVENTUALLY(5000, ended_count == 2);
    WIRE(wire);
    ask(wire, "/stream?how=again"); /* the first run's stream ends, the second's goes on */
    REQUIRE(reads(wire, ": hello"));
    EXPECT_I64(3, ended_count);
    EXPECT_I64(4, opened);
    WIRE(quick);
    ask(quick, "/stream?how=short");
    EXPECT(reads(quick, "\r\n0\r\n\r\n"));
    http_server_release(&server);
    EXPECT_I64(5, ended_count);
    for (int i = 0; i < 5; i++)
        EXPECT_I64(1, listeners[i].ended);
}

TEST(draining_ends_streams_and_requests_go_on, "I8")
{
    open_server();
    struct answer *answer AUTO_FREE = mem_new(1, sizeof *answer);
    enum { MANY = 150 };
    struct wire *wires[MANY];
    for (int i = 0; i < MANY; i++) {
        wires[i] = wire_new();
        ask(wires[i], "/stream");
        REQUIRE(reads(wires[i], ": hello"));
    }
    EXPECT_I64(MANY, test_metric("test_http_streams"));
    EXPECT(write_to(0, VIEW("data: before the end\n\n")));
    http_server_drain(server);
    for (int i = 0; i < MANY; i++) {
        EXPECT(reads(wires[i], "\r\n0\r\n\r\n"));
        EXPECT(i || reads(wires[i], "data: before the end"));
        wire_free(&wires[i]);
    }
    EVENTUALLY(5000, ended_count == MANY);
    EXPECT_I64(200, wire_call(http_server_port(server), "GET /plain HTTP/1.1\r\nHost: t\r\n\r\n", answer));
    WIRE(late);
    ask(late, "/stream"); /* came by an old address: lives until the release */
    REQUIRE(reads(late, ": hello"));
    http_server_release(&server);
    EXPECT(reads(late, "\r\n0\r\n\r\n"));
    EXPECT_I64(MANY + 1, ended_count);
}

/* ---- many writers, readers that come and go ---- */

static atomic_bool stop_writers;

static void *write_at_random(void *payload)
{
    uint64_t state = (uintptr_t)payload * 77777777777U + 1;
    while (!stop_writers) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        int number = (int)((state >> 33) % STREAMS_MAX);
        if ((state >> 60) == 0)
            end_stream(number);
        else
            (void)write_to(number, VIEW("data: something that is told to everybody\n\n"));
    }
    return NULL;
}

TEST(writers_and_readers_that_come_and_go_at_random_end_each_stream_once, "I9")
{
    open_server();
    pthread_t threads[3];
    struct wire *wires[16] = {0};
    stop_writers = false;
    for (uintptr_t i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, write_at_random, (void *)(i + 1));
    for (int i = 0; i < STREAMS_MAX; i++) {
        struct wire **wire = &wires[test_random() % 16];
        if (*wire)
            wire_free(wire);
        *wire = wire_new();
        ask(*wire, "/stream");
        if (test_random() % 2)
            EXPECT(reads(*wire, "HTTP/1.1 200"));
        EVENTUALLY(5000, opened == i + 1);
    }
    for (int i = 0; i < 16; i++)
        wire_free(&wires[i]);
    EVENTUALLY(10000, ended_count == STREAMS_MAX);
    stop_writers = true;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    http_server_release(&server);
    for (int i = 0; i < STREAMS_MAX; i++)
        EXPECT_I64(1, listeners[i].ended);
}

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}
