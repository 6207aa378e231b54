#include "http.h"
#include "httpclient.h"
#include "idempotency.h"
#include "migrate.h"
#include "test_store.h"

#include <pthread.h>
#include <stdatomic.h>

static const struct migration TABLES[] = {
    {"001_orders", "CREATE TABLE orders (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body TEXT)"},
    {0},
};

/* ---- a small service: POST /orders makes an order
 * -------------------------------------------------------------------- */

struct app {
    struct pg_pool *db;
    _Atomic int runs;
    _Atomic bool hold, holding;
};

struct order {
    struct app *app;
    struct request *req;
    struct reply *reply;
};

static bool make_order(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement INSERT = {"insert_order", "INSERT INTO orders (body) VALUES ($1) RETURNING id"};
    struct order *order = payload;
    bool done;
    if (!idempotency_begin(tx, order->req, order->reply, &done, err))
        return false;
    if (done)
        return true;
    order->app->runs++;
    AUTO_FREE char *body = mem_new(order->req->body.length + 1, 1);
    memcpy(body, order->req->body.bytes, order->req->body.length);
    AUTO(pg_result) row = pg_tx_query(tx, &INSERT, PARAMS(PG_TEXT(body)), err);
    if (!row)
        return false;
    order->app->holding = true;
    while (order->app->hold)
        test_pause();
    if (strcmp(body, "refuse") == 0)
        return err_set(err, &ERR_CONFLICT, "refused");
    order->reply->status = strcmp(body, "known") == 0 ? 409 : 201;
    str_clear(&order->reply->body);
    str_printf(&order->reply->body, "{\"id\":%s,\"말\":\"\\\"안녕\\\"\"}", pg_text(row, 0, 0));
    return idempotency_end(tx, order->req, order->reply, err);
}

/* The caller is named by a header here: tokens are tested elsewhere. */
static bool post_order(struct request *req, struct reply *reply, struct err *err)
{
    struct app *app = (struct app *)req->app;
    struct identity identity = {0};
    const char *user = http_header(req, "X-User");
    struct request mine = *req;
    if (user) {
        (void)snprintf(identity.user_id, sizeof identity.user_id, "%s", user);
        mine.identity = &identity;
    }
    struct order order = {.app = app, .req = &mine, .reply = reply};
    return pg_transaction(app->db, make_order, &order, err);
}

static const struct route ROUTES[] = {
    {"POST", "/orders", AUTH_OPEN, post_order, 0},
    {"POST", "/others", AUTH_OPEN, post_order, 0},
    {0},
};

struct world {
    struct app app;
    struct http_server *server;
    struct httpclient *client;
};

static struct world *world_start(void)
{
    struct err err = {0};
    struct world *world = MEM_NEW(world);
    world->app.db = test_pool("idempotency", 4);
    const struct http_options options = {.listen = "127.0.0.1:0",
                                         .routes = ROUTES,
                                         .app = &world->app,
                                         .workers = 4,
                                         .queue = 64,
                                         .metrics_prefix = "test"};
    if (!migrate_up(world->app.db, TABLES, &err) || !(world->server = http_server_start(&options, &err)) ||
        !(world->client = httpclient_open(&(struct httpclient_options){.allow_http = true}, &err))) {
        printf("world: %s %s\n", err.message, err.detail);
        exit(1);
    }
    (void)test_sql("DELETE FROM orders");
    (void)test_sql("DELETE FROM idempotency_keys");
    return world;
}

static void world_release(struct world **world)
{
    httpclient_release(&(*world)->client);
    http_server_release(&(*world)->server);
    pg_pool_release(&(*world)->app.db);
    free(*world);
    *world = NULL;
}

struct answer {
    long status;
    char body[512];
};

static struct answer post(struct world *world, const char *path, const char *user, const char *key, const char *body)
{
    char url[128], user_header[128], key_header[512];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d%s", http_server_port(world->server), path);
    (void)snprintf(user_header, sizeof user_header, "X-User: %s", user ? user : "");
    (void)snprintf(key_header, sizeof key_header, "Idempotency-Key: %s", key ? key : "");
    const char *headers[4] = {"Content-Type: application/json"};
    size_t count = 1;
    if (user)
        headers[count++] = user_header;
    if (key)
        headers[count++] = key_header;
    struct arena *arena = arena_open(1 << 20);
    struct http_call call = {.method = "POST", .url = url, .headers = headers, .body = view_of(body)};
    struct http_answer answer = {0};
    struct err err = {0};
    struct answer out = {0};
    if (httpclient_call(world->client, arena, &call, &answer, &err)) {
        out.status = answer.status;
        (void)snprintf(out.body, sizeof out.body, "%.*s", (int)answer.body.length,
                       answer.body.bytes ? answer.body.bytes : "");
    }
    arena_release(&arena);
    return out;
}

static int orders(void)
{
    return atoi(test_sql("SELECT count(*) FROM orders"));
}

TEST(a_repeat_with_the_same_key_and_body_gives_the_first_answer, "I1")
{
    AUTO(world) world = world_start();
    struct answer first = post(world, "/orders", "u1", "\"key-1\"", "apple");
    EXPECT_I64(201, first.status);
    for (int i = 0; i < 3; i++) {
        struct answer again = post(world, "/orders", "u1", i ? "key-1" : "\"key-1\"", "apple"); /* quoted or bare */
        EXPECT_I64(201, again.status);
        EXPECT_TEXT(first.body, again.body);
    }
    EXPECT_I64(1, orders());
    EXPECT_I64(1, world->app.runs);
    /* an answer of 4xx that its transaction committed is kept, too */
    EXPECT_I64(409, post(world, "/orders", "u1", "key-2", "known").status);
    EXPECT_I64(409, post(world, "/orders", "u1", "key-2", "known").status);
    EXPECT_I64(2, world->app.runs);
}

TEST(another_body_with_the_same_key_is_refused, "")
{
    AUTO(world) world = world_start();
    EXPECT_I64(201, post(world, "/orders", "u1", "key", "apple").status);
    struct answer other = post(world, "/orders", "u1", "key", "pear");
    EXPECT_I64(422, other.status);
    EXPECT(strstr(other.body, "idempotency_key_reused") != NULL);
    EXPECT_I64(1, orders());
}

TEST(a_key_belongs_to_its_user_and_path_and_lasts_24_hours, "")
{
    AUTO(world) world = world_start();
    EXPECT_I64(201, post(world, "/orders", "u1", "key", "apple").status);
    EXPECT_I64(201, post(world, "/orders", "u2", "key", "pear").status);
    EXPECT_I64(201, post(world, "/others", "u1", "key", "plum").status);
    EXPECT_I64(3, orders());
    (void)test_sql(
        "UPDATE idempotency_keys SET created_at = created_at - interval '24 hours 1 second' WHERE user_id = 'u1'");
    EXPECT_I64(201, post(world, "/orders", "u1", "key", "cherry").status); /* old, but not swept yet */
    EXPECT_I64(4, orders());
    EXPECT_I64(201, post(world, "/orders", "u1", "key", "cherry").status);
    EXPECT_I64(4, orders());
    struct err err = {0};
    REQUIRE_OK(idempotency_sweep(world->app.db, &err), &err);
    EXPECT_TEXT("2", test_sql("SELECT count(*) FROM idempotency_keys"));
}

TEST(a_sweep_takes_more_than_one_round, "I9")
{
    AUTO(world) world = world_start();
    (void)test_sql("INSERT INTO idempotency_keys SELECT 'u', 'POST', '/p', n::text, '', 200, '', now() - interval '2 "
                   "days' FROM generate_series(1, 2500) AS n");
    (void)test_sql("INSERT INTO idempotency_keys SELECT 'u', 'POST', '/p', 'new', '', 200, '', now()");
    struct err err = {0};
    REQUIRE_OK(idempotency_sweep(world->app.db, &err), &err);
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM idempotency_keys"));
}

TEST(without_a_key_or_a_caller_every_write_counts, "")
{
    AUTO(world) world = world_start();
    for (int i = 0; i < 2; i++) {
        EXPECT_I64(201, post(world, "/orders", "u1", NULL, "apple").status);
        EXPECT_I64(201, post(world, "/orders", NULL, "key", "apple").status);
    }
    EXPECT_I64(4, orders());
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM idempotency_keys"));
}

TEST(a_write_that_failed_may_be_tried_again, "I1")
{
    AUTO(world) world = world_start();
    EXPECT_I64(409, post(world, "/orders", "u1", "key", "refuse").status);
    EXPECT_I64(0, orders());
    EXPECT_I64(409, post(world, "/orders", "u1", "key", "refuse").status);
    EXPECT_I64(2, world->app.runs); /* nothing was kept */
}

TEST(a_key_that_is_no_key_is_bad_input, "I10")
{
    AUTO(world) world = world_start();
    char longest[203], quoted[210];
    memset(longest, 'k', sizeof longest);
    longest[200] = '\0';
    EXPECT_I64(201, post(world, "/orders", "u1", longest, "a").status);
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", longest);
    EXPECT_I64(201, post(world, "/orders", "u1", quoted, "a").status);
    longest[200] = 'k';
    longest[201] = '\0';
    const char *const WRONG[] = {longest, "\"\"", "two words", "\"half", "열쇠", "\"a\"b\""};
    for (size_t i = 0; i < ARRAY_LENGTH(WRONG); i++) {
        struct answer answer = post(world, "/orders", "u1", WRONG[i], "a");
        EXPECT_I64(400, answer.status);
        EXPECT(strstr(answer.body, "Idempotency-Key") != NULL);
    }
    EXPECT_I64(1, orders());
}

struct caller {
    struct world *world;
    struct answer answer;
    pthread_t thread;
};

static void *call_once(void *payload)
{
    struct caller *caller = payload;
    caller->answer = post(caller->world, "/orders", "u1", "key", "apple");
    return NULL;
}

TEST(a_repeat_while_the_first_still_runs_is_told_so, "I1")
{
    AUTO(world) world = world_start();
    world->app.hold = true;
    struct caller first = {.world = world};
    pthread_create(&first.thread, NULL, call_once, &first);
    EVENTUALLY(10000, world->app.holding);
    struct answer second = post(world, "/orders", "u1", "key", "apple");
    EXPECT_I64(409, second.status);
    EXPECT(strstr(second.body, "still_running") != NULL);
    world->app.hold = false;
    pthread_join(first.thread, NULL);
    EXPECT_I64(201, first.answer.status);
    struct answer third = post(world, "/orders", "u1", "key", "apple");
    EXPECT_I64(201, third.status);
    EXPECT_TEXT(first.answer.body, third.body);
    EXPECT_I64(1, orders());
}

TEST(many_at_once_with_one_key_make_one_order, "I1")
{
    AUTO(world) world = world_start();
    enum { CALLERS = 16 };
    struct caller callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.world = world};
        pthread_create(&callers[i].thread, NULL, call_once, &callers[i]);
    }
    int made = 0, running = 0;
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        made += callers[i].answer.status == 201;
        running += callers[i].answer.status == 409;
    }
    EXPECT_I64(CALLERS, made + running);
    EXPECT(made >= 1);
    EXPECT_I64(1, orders());
}
