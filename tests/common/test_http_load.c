/* The HTTP server under load: full queues, waiting requests, many connections, clients that leave, draining and
 * stopping; and its admin side. */
#include "http_world.h"
#include "test_metrics.h"

#include <pthread.h>

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

TEST(http_says_503_at_once_when_the_queue_is_full, "K-50 I9")
{
    WORLD(2, 3);
    struct caller *callers AUTO_FREE = mem_new(5, sizeof *callers);
    for (int i = 0; i < 5; i++) {
        caller_start(&callers[i], world.port, "/block");
        EXPECT(EVENTUALLY(5000, test_metric("test_http_in_flight") == i + 1 && blocked == (i ? 2 : 1)));
    }
    EXPECT(EVENTUALLY(5000, blocked == 2 && test_metric("test_http_queue_length") == 3));
    EXPECT_I64(503, get(&world, "/tell", "", answer));
    says(answer, "\"code\":\"overloaded\"");
    EXPECT_TEXT("1", answer_header(answer, "Retry-After"));
    EXPECT_TEXT("", answer_header(answer, "Connection")); /* the connection goes on */
    EXPECT_I64(404, get(&world, "/nothing", "", answer)); /* needs no worker */
    EXPECT(EVENTUALLY(5000, test_metric("test_http_in_flight") == 5));
    for (int i = 0; i < 5; i++)
        (void)sem_post(&gate);
    for (int i = 0; i < 5; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        EXPECT_I64(204, callers[i].answer.status);
    }
    EXPECT_I64(200, get(&world, "/tell", "", answer));
    EXPECT(EVENTUALLY(5000, test_metric("test_http_in_flight") == 0));
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
    EXPECT(EVENTUALLY(5000, test_metric("test_http_waiting") > 0));
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
        caller_start(&callers[i], world.port,
                     i < 3 ? "/block" : "/never"); /* two run, one waits for a worker, one to run again */
    EXPECT(EVENTUALLY(5000, blocked == 2 && test_metric("test_http_in_flight") == 4));
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

/* The library's own epoll thread stalls when the number of ready sockets is a multiple of 128; so many at once, twice.
 */
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
    static const char WHOLE[] = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: "
                                "20\r\n\r\n{\"a\":\"bbbbbbbbbbbbb\"}GET /never HTTP/1.1\r\nHost: t\r\n\r\n";
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
    static const struct route TWICE[] = {
        {"GET", "/a/:x", AUTH_OPEN, on_tell, 0}, {"GET", "/a/:y", AUTH_OPEN, on_tell, 0}, {0}};
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
    EXPECT_TEXT("{\"ready\":false,\"profile\":\"bench\",\"checks\":{\"running\":true,\"database\":false}}",
                answer->body);
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
