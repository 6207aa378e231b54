#include "clock.h"
#include "pg.h"
#include "pg_conn.h"
#include "test_store.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

static struct pg_pool *pool_of(int connections)
{
    static bool made;
    struct pg_pool *pool = test_pool("pg", connections);
    if (!made) {
        made = true;
        (void)test_sql(
            "CREATE TABLE account (id BIGINT PRIMARY KEY, handle TEXT CONSTRAINT account_handle_taken UNIQUE, "
            "coins BIGINT NOT NULL DEFAULT 0 CONSTRAINT account_coins_not_negative CHECK (coins >= 0))");
    }
    return pool;
}

static const char *const HARD_TEXTS[] = {
    "plain",
    "",
    " ",
    "마당에서 만나요",
    "quote \" and 'single'",
    "back\\slash \\\\ twice",
    "a,b{c}d",
    "NULL",
    "null",
    NULL,
    "line\nbreak\ttab",
    "\"",
    "\\",
    "{}",
    "끝\\\"",
    "emoji \xf0\x9f\x8c\xb3",
};

TEST(arrays_and_texts_come_back_as_they_went, "")
{
    AUTO(pg_pool) db = pool_of(1);
    struct arena *arena = arena_open(1 << 20);
    struct err err = {0};
    static const struct pg_statement ECHO = {
        "echo", "SELECT $1::text[], $2::text, $3::bigint[], $4::bool, $5::bigint, $6::bytea"};
    static const int64_t NUMBERS[] = {0, -1, INT64_MAX, INT64_MIN};
    static const char BYTES[] = {0, 1, '\\', 'x', (char)0xff, 0, 'z'};
    AUTO(pg_result)
    row = pg_query(db, &ECHO,
                   PARAMS(PG_TEXTS(HARD_TEXTS, ARRAY_LENGTH(HARD_TEXTS)), PG_TEXT("\\x41 '\"한글"), PG_I64S(NUMBERS, 4),
                          PG_BOOL(true), PG_I64(INT64_MIN), PG_BYTES(BYTES, sizeof BYTES)),
                   &err);
    REQUIRE_OK(row != NULL, &err);
    struct texts texts = pg_texts(row, 0, 0, arena);
    EXPECT_I64(ARRAY_LENGTH(HARD_TEXTS), texts.count);
    for (size_t i = 0; i < texts.count && i < ARRAY_LENGTH(HARD_TEXTS); i++)
        EXPECT_TEXT(HARD_TEXTS[i], texts.items[i]);
    EXPECT_TEXT("\\x41 '\"한글", pg_text(row, 0, 1));
    EXPECT_TEXT("{0,-1,9223372036854775807,-9223372036854775808}", pg_text(row, 0, 2));
    EXPECT(pg_bool(row, 0, 3));
    EXPECT(pg_i64(row, 0, 4) == INT64_MIN);
    struct view bytes = pg_bytes(row, 0, 5, arena);
    EXPECT(view_equals(bytes, (struct view){BYTES, sizeof BYTES}));
    arena_release(&arena);
}

TEST(empty_arrays_and_nulls_are_told_apart, "")
{
    AUTO(pg_pool) db = pool_of(1);
    struct arena *arena = arena_open(1 << 20);
    struct err err = {0};
    static const struct pg_statement ECHO = {
        "echo_null", "SELECT $1::text[], $2::text, cardinality($1::text[]), $3::bytea, $4::text[]"};
    AUTO(pg_result) row = pg_query(db, &ECHO, PARAMS(PG_TEXTS(NULL, 0), PG_NULL, PG_BYTES(NULL, 0), PG_NULL), &err);
    REQUIRE_OK(row != NULL, &err);
    EXPECT_I64(0, pg_texts(row, 0, 0, arena).count);
    EXPECT(pg_is_null(row, 0, 1) && pg_text(row, 0, 1) == NULL);
    EXPECT(!pg_is_null(row, 0, 2) && pg_i64(row, 0, 2) == 0);
    EXPECT(!pg_is_null(row, 0, 3) && pg_bytes(row, 0, 3, arena).length == 0);
    EXPECT_I64(0, pg_texts(row, 0, 4, arena).count);
    arena_release(&arena);
}

static const struct pg_statement INSERT_ACCOUNT = {"insert_account",
                                                   "INSERT INTO account (id, handle) VALUES ($1, $2)"};
static const struct pg_statement ADD_COINS = {"add_coins", "UPDATE account SET coins = coins + $2 WHERE id = $1"};
static const struct pg_statement SELECT_COINS = {"select_coins", "SELECT coins FROM account WHERE id = $1"};

TEST(a_violation_names_its_constraint, "")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    int64_t changed = 0;
    REQUIRE_OK(pg_exec(db, &INSERT_ACCOUNT, PARAMS(PG_I64(1), PG_TEXT("사과")), &changed, &err), &err);
    EXPECT_I64(1, changed);
    EXPECT(!pg_exec(db, &INSERT_ACCOUNT, PARAMS(PG_I64(2), PG_TEXT("사과")), NULL, &err));
    EXPECT_PROBLEM("conflict", &err);
    EXPECT(pg_violated(&err, "account_handle_taken"));
    EXPECT(!pg_violated(&err, "account_pkey"));
    EXPECT(!pg_exec(db, &ADD_COINS, PARAMS(PG_I64(1), PG_I64(-1)), NULL, &err));
    EXPECT(pg_violated(&err, "account_coins_not_negative"));
    /* the statement that failed at its first run is prepared all the same */
    REQUIRE_OK(pg_exec(db, &ADD_COINS, PARAMS(PG_I64(1), PG_I64(5)), &changed, &err), &err);
    EXPECT_I64(1, changed);
}

TEST(our_own_mistakes_are_internal_and_quote_no_value, "")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    static const struct pg_statement CAST = {"cast_uuid", "SELECT $1::text::uuid"};
    static const struct pg_statement WRONG = {"wrong", "SELECT FROM WHERE"};
    for (int i = 0; i < 2; i++) { /* twice: a failure leaves the connection in order */
        EXPECT(!pg_query(db, &CAST, PARAMS(PG_TEXT("s3cret")), &err));
        EXPECT_PROBLEM("internal", &err);
        EXPECT(strstr(err.detail, "22P02") && !strstr(err.detail, "s3cret"));
        EXPECT(!pg_query(db, &WRONG, NO_PARAMS, &err));
        EXPECT_PROBLEM("internal", &err);
        EXPECT(strstr(err.detail, "42601") != NULL);
    }
    AUTO(pg_result) fine = pg_query(db, &SELECT_COINS, PARAMS(PG_I64(77)), &err);
    EXPECT(fine && pg_rows(fine) == 0);
}

struct transfer {
    int64_t id, amount;
    int runs;
    bool stop;
};

static bool add_then_stop(struct pg_tx *tx, void *payload, struct err *err)
{
    struct transfer *transfer = payload;
    transfer->runs++;
    if (!pg_tx_exec(tx, &ADD_COINS, PARAMS(PG_I64(transfer->id), PG_I64(transfer->amount)), NULL, err))
        return false;
    return !transfer->stop || err_set(err, &ERR_FORBIDDEN, "not today");
}

static int64_t coins_of(int64_t id)
{
    return atoll(test_sql("SELECT coins FROM account WHERE id = %lld", (long long)id));
}

TEST(a_transaction_commits_whole_or_not_at_all, "")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    (void)test_sql("INSERT INTO account VALUES (10, 'ten', 100)");
    struct transfer good = {.id = 10, .amount = 5}, bad = {.id = 10, .amount = 7, .stop = true};
    EXPECT(!pg_transaction(db, add_then_stop, &bad, &err));
    EXPECT_PROBLEM("forbidden", &err);
    EXPECT_TEXT("not today", err.message);
    EXPECT_I64(1, bad.runs);
    EXPECT_I64(100, coins_of(10));
    REQUIRE_OK(pg_transaction(db, add_then_stop, &good, &err), &err);
    EXPECT_I64(105, coins_of(10));
}

static bool swallow_a_failure(struct pg_tx *tx, void *payload, struct err *err)
{
    (void)payload;
    struct err ignored = {0};
    (void)pg_tx_exec(tx, &ADD_COINS, PARAMS(PG_I64(10), PG_I64(1)), NULL, err);
    (void)pg_tx_exec(tx, &INSERT_ACCOUNT, PARAMS(PG_I64(10), PG_TEXT("again")), NULL, &ignored);
    return true;
}

TEST(a_transaction_never_reports_success_when_the_server_rolled_back, "I1")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    int64_t before = coins_of(10);
    EXPECT(!pg_transaction(db, swallow_a_failure, NULL, &err));
    EXPECT_PROBLEM("internal", &err);
    EXPECT_I64(before, coins_of(10));
}

/* Repeatable read makes two read-modify-writes of one row clash: 40001 for the second. */
static bool read_then_write(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement LEVEL = {"level", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"};
    static const struct pg_statement WRITE = {"set_coins", "UPDATE account SET coins = $2 WHERE id = $1"};
    struct transfer *transfer = payload;
    transfer->runs++;
    if (!pg_tx_exec(tx, &LEVEL, NO_PARAMS, NULL, err))
        return false;
    AUTO(pg_result) row = pg_tx_query(tx, &SELECT_COINS, PARAMS(PG_I64(transfer->id)), err);
    return row && pg_tx_exec(tx, &WRITE, PARAMS(PG_I64(transfer->id), PG_I64(pg_i64(row, 0, 0) + transfer->amount)),
                             NULL, err);
}

enum { RIVALS = 2, ROUNDS = 50 };
struct rival {
    struct pg_pool *db;
    int done, refused, runs;
};

static void *transfer_often(void *payload)
{
    struct rival *rival = payload;
    while (rival->done < ROUNDS) {
        struct err err = {0};
        struct transfer transfer = {.id = 20, .amount = 1};
        if (pg_transaction(rival->db, read_then_write, &transfer, &err))
            rival->done++;
        else if (err_is(&err, &ERR_UNAVAILABLE))
            rival->refused++;
        else
            break;
        rival->runs += transfer.runs;
    }
    return NULL;
}

TEST(serialization_failures_run_the_transaction_again, "I1")
{
    AUTO(pg_pool) db = pool_of(RIVALS);
    (void)test_sql("INSERT INTO account VALUES (20, 'twenty', 0)");
    struct rival rivals[RIVALS] = {{.db = db}, {.db = db}};
    pthread_t threads[RIVALS];
    for (int i = 0; i < RIVALS; i++)
        pthread_create(&threads[i], NULL, transfer_often, &rivals[i]);
    for (int i = 0; i < RIVALS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_I64(RIVALS * ROUNDS, rivals[0].done + rivals[1].done);
    EXPECT_I64(RIVALS * ROUNDS, coins_of(20));                 /* no lost update, none twice */
    EXPECT(rivals[0].runs + rivals[1].runs > RIVALS * ROUNDS); /* they did meet */
}

/* Ends the server's side of the pool's idle connection, as a restart would. */
static void cut_connection(struct pg_pool *db)
{
    static const struct pg_statement ASK_PID = {"ask_pid", "SELECT pg_backend_pid()"};
    struct err err = {0};
    AUTO(pg_result) row = pg_query(db, &ASK_PID, NO_PARAMS, &err);
    REQUIRE_OK(row != NULL, &err);
    EXPECT_TEXT("t", test_sql("SELECT pg_terminate_backend(%s, 5000)", pg_text(row, 0, 0)));
}

TEST(dead_connections_are_replaced_for_reads_and_writes, "I1")
{
    AUTO(pg_pool) db = pool_of(3);
    (void)test_sql("INSERT INTO account VALUES (30, 'thirty', 0)");
    struct err err = {0};
    for (int round = 0; round < 3; round++) {
        AUTO(pg_result) row = pg_query(db, &SELECT_COINS, PARAMS(PG_I64(30)), &err);
        REQUIRE_OK(row != NULL, &err);
        cut_connection(db);
        if (round == 0) {
            AUTO(pg_result) again = pg_query(db, &SELECT_COINS, PARAMS(PG_I64(30)), &err);
            REQUIRE_OK(again != NULL, &err);
        } else if (round == 1) { /* a write is not sent over a connection that is known to be dead */
            REQUIRE_OK(pg_exec(db, &ADD_COINS, PARAMS(PG_I64(30), PG_I64(1)), NULL, &err), &err);
        } else {
            struct transfer transfer = {.id = 30, .amount = 1};
            REQUIRE_OK(pg_transaction(db, add_then_stop, &transfer, &err), &err);
        }
    }
    EXPECT_I64(2, coins_of(30));
}

/* The first run loses its connection after the first statement and before COMMIT. */
static bool lose_the_connection_once(struct pg_tx *tx, void *payload, struct err *err)
{
    struct transfer *transfer = payload;
    static const struct pg_statement SUICIDE = {"suicide", "SELECT pg_terminate_backend(pg_backend_pid())"};
    if (!pg_tx_exec(tx, &ADD_COINS, PARAMS(PG_I64(transfer->id), PG_I64(transfer->amount)), NULL, err))
        return false;
    return ++transfer->runs > 1 || pg_tx_exec(tx, &SUICIDE, NO_PARAMS, NULL, err);
}

TEST(a_connection_that_breaks_before_commit_runs_the_transaction_again, "I1")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    int64_t before = coins_of(30);
    struct transfer transfer = {.id = 30, .amount = 1};
    REQUIRE_OK(pg_transaction(db, lose_the_connection_once, &transfer, &err), &err);
    EXPECT_I64(2, transfer.runs);
    EXPECT_I64(before + 1, coins_of(30));
}

/* A deferred trigger ends the backend while it commits: the client can't know. */
TEST(a_lost_commit_is_unavailable_and_not_run_again, "I1")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    (void)test_sql("CREATE FUNCTION end_backend() RETURNS trigger LANGUAGE plpgsql AS "
                   "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$");
    (void)test_sql("CREATE CONSTRAINT TRIGGER end_backend AFTER UPDATE ON account DEFERRABLE INITIALLY DEFERRED "
                   "FOR EACH ROW WHEN (NEW.id = 30) EXECUTE FUNCTION end_backend()");
    struct transfer transfer = {.id = 30, .amount = 1};
    EXPECT(!pg_transaction(db, add_then_stop, &transfer, &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT_I64(1, transfer.runs);
    EXPECT(strstr(err.detail, "unknown") != NULL);
    (void)test_sql("DROP TRIGGER end_backend ON account");
    AUTO(pg_result) row = pg_query(db, &SELECT_COINS, PARAMS(PG_I64(30)), &err);
    EXPECT(row != NULL);
}

struct holder {
    struct pg_pool *db;
    _Atomic bool holding, let_go;
};

static bool hold_until_told(struct pg_tx *tx, void *payload, struct err *err)
{
    struct holder *holder = payload;
    AUTO(pg_result) row = pg_tx_query(tx, &SELECT_COINS, PARAMS(PG_I64(30)), err);
    holder->holding = true;
    while (!holder->let_go)
        test_pause();
    return row != NULL;
}

static void *hold(void *payload)
{
    struct holder *holder = payload;
    struct err err = {0};
    EXPECT(pg_transaction(holder->db, hold_until_told, holder, &err));
    return NULL;
}

TEST(an_exhausted_pool_says_unavailable_and_recovers, "K-50 I10")
{
    AUTO(pg_pool) db = pool_of(1);
    struct holder holder = {.db = db};
    pthread_t thread;
    pthread_create(&thread, NULL, hold, &holder);
    EVENTUALLY(10000, holder.holding);
    struct err err = {0};
    EXPECT(!pg_query(db, &SELECT_COINS, PARAMS(PG_I64(30)), &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT_I64(1, err.retry_after_s);
    holder.let_go = true;
    pthread_join(thread, NULL);
    err_clear(&err);
    AUTO(pg_result) row = pg_query(db, &SELECT_COINS, PARAMS(PG_I64(30)), &err);
    REQUIRE_OK(row != NULL, &err);
}

static bool ask_the_pool_within(struct pg_tx *tx, void *payload, struct err *err)
{
    AUTO(pg_result) first = pg_tx_query(tx, &SELECT_COINS, PARAMS(PG_I64(30)), err);
    AUTO(pg_result) row = pg_query(payload, &SELECT_COINS, PARAMS(PG_I64(30)), err);
    return first && row;
}

TEST(a_second_connection_within_a_transaction_is_refused_at_once, "K-50")
{
    AUTO(pg_pool) db = pool_of(4);
    struct err err = {0};
    EXPECT(!pg_transaction(db, ask_the_pool_within, db, &err));
    EXPECT_PROBLEM("internal", &err);
}

TEST(a_statement_that_takes_too_long_is_ended_by_the_server, "I10")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    static const struct pg_statement SHORT = {"short_limit", "SET statement_timeout = 50"};
    static const struct pg_statement LONG = {"long_statement", "SELECT pg_sleep(60)"};
    REQUIRE_OK(pg_exec(db, &SHORT, NO_PARAMS, NULL, &err), &err);
    EXPECT(!pg_query(db, &LONG, NO_PARAMS, &err));
    EXPECT_PROBLEM("unavailable", &err);
    err_clear(&err);
    AUTO(pg_result) row = pg_query(db, &SELECT_COINS, PARAMS(PG_I64(30)), &err);
    EXPECT(row != NULL);
}

TEST(settings_of_a_connection_are_ours, "")
{
    AUTO(pg_pool) db = pool_of(1);
    struct err err = {0};
    static const struct pg_statement ASK = {
        "ask_settings",
        "SELECT current_schema(), current_setting('statement_timeout'), current_setting('client_encoding')"};
    AUTO(pg_result) row = pg_query(db, &ASK, NO_PARAMS, &err);
    REQUIRE_OK(row != NULL, &err);
    EXPECT_TEXT(test_schema_name, pg_text(row, 0, 0));
    EXPECT_TEXT("10s", pg_text(row, 0, 1));
    EXPECT_TEXT("UTF8", pg_text(row, 0, 2));
    EXPECT(pg_pool_ready(db));
    struct pg_pool *bad = pg_pool_open(test_env("PG_URL"), "x; DROP", 1, &err);
    EXPECT(!bad);
    bad = pg_pool_open("postgresql://127.0.0.1:1/none", "x", 1, &err);
    EXPECT(!bad);
    EXPECT_PROBLEM("unavailable", &err);
}

TEST(a_statement_whose_table_changed_is_planned_anew, "")
{
    AUTO(pg_pool) db = pool_of(2);
    struct err err = {0};
    static const struct pg_statement ALL = {"select_all", "SELECT * FROM changing"};
    (void)test_sql("CREATE TABLE changing (a INT); INSERT INTO changing VALUES (1)");
    AUTO(pg_result) before = pg_query(db, &ALL, NO_PARAMS, &err);
    REQUIRE_OK(before != NULL, &err);
    (void)test_sql("ALTER TABLE changing ADD COLUMN b TEXT");
    AUTO(pg_result) after = pg_query(db, &ALL, NO_PARAMS, &err);
    REQUIRE_OK(after != NULL, &err);
    EXPECT_I64(1, pg_rows(after));
}

TEST(a_lock_has_one_holder_and_ends_with_its_connection, "")
{
    struct err err = {0};
    AUTO(pg_lock) first = pg_lock_open(test_env("PG_URL"), &err);
    AUTO(pg_lock) second = pg_lock_open(test_env("PG_URL"), &err);
    REQUIRE_OK(first && second, &err);
    int32_t number = (int32_t)(test_random() & 0x7fffffff);
    EXPECT(!pg_lock_held(first));
    EXPECT(pg_lock_try(first, "test", number));
    EXPECT(!pg_lock_try(second, "test", number));
    EXPECT(pg_lock_try(second, "test", number + 1));
    EXPECT(pg_lock_held(first));
    (void)test_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND objid = %d",
                   number);
    EXPECT(!pg_lock_held(first));
    EXPECT(pg_lock_try(second, "test", number));
    EXPECT(!pg_lock_try(first, "test", number)); /* over a new connection */
    pg_lock_release(&second);
    EVENTUALLY(5000, pg_lock_try(first, "test", number));
}

/* ---- a server that stops answering: a proxy in front of the real one that can be frozen
 * -------------------------------- */

struct proxy {
    char url[512];
    int listener;
    _Atomic bool frozen, end;
    pthread_t thread;
};

static const char *option_of(PQconninfoOption *options, const char *name, const char *otherwise)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, name) == 0 && options->val)
            return options->val;
    return otherwise;
}

static int connect_to_server(void)
{
    PQconninfoOption *options = PQconninfoParse(test_env("PG_URL"), NULL);
    struct addrinfo *address = NULL, hints = {.ai_socktype = SOCK_STREAM};
    int fd = -1;
    if (getaddrinfo(option_of(options, "host", "127.0.0.1"), option_of(options, "port", "5432"), &hints, &address) ==
        0) {
        fd = socket(address->ai_family, SOCK_STREAM, 0);
        EXPECT(connect(fd, address->ai_addr, address->ai_addrlen) == 0);
        freeaddrinfo(address);
    }
    PQconninfoFree(options);
    return fd;
}

static void *proxy_run(void *payload)
{
    struct proxy *proxy = payload;
    int client = accept(proxy->listener, NULL, NULL), server = connect_to_server();
    struct pollfd fds[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    for (char bytes[4096]; !proxy->end;) {
        if (proxy->frozen) {
            test_pause();
            continue;
        }
        (void)poll(fds, 2, 20);
        for (int i = 0; i < 2; i++) {
            ssize_t got = fds[i].revents ? recv(fds[i].fd, bytes, sizeof bytes, 0) : 0;
            if (got > 0)
                (void)send(fds[1 - i].fd, bytes, (size_t)got, MSG_NOSIGNAL);
            else if (fds[i].revents)
                proxy->end = true;
        }
    }
    close(client);
    close(server);
    return NULL;
}

static void proxy_open(struct proxy *proxy)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    proxy->listener = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(bind(proxy->listener, (struct sockaddr *)&address, size) == 0 && listen(proxy->listener, 4) == 0);
    EXPECT(getsockname(proxy->listener, (struct sockaddr *)&address, &size) == 0);
    PQconninfoOption *options = PQconninfoParse(test_env("PG_URL"), NULL);
    const char *password = option_of(options, "password", "");
    (void)snprintf(proxy->url, sizeof proxy->url, "host=127.0.0.1 port=%d sslmode=disable dbname=%s user=%s %s%s",
                   ntohs(address.sin_port), option_of(options, "dbname", ""), option_of(options, "user", ""),
                   *password ? "password=" : "", password);
    PQconninfoFree(options);
}

TEST(a_server_that_stops_answering_costs_the_limit_and_the_connection, "I10")
{
    static const struct pg_statement ONE = {"one", "SELECT 1"};
    struct proxy proxy = {0};
    struct err err = {0};
    proxy_open(&proxy);
    pthread_create(&proxy.thread, NULL, proxy_run, &proxy);
    struct pg_conn *conn = pg_conn_open(proxy.url, NULL, PG_CONNECT_MS, &err);
    REQUIRE_OK(conn != NULL, &err);
    enum pg_outcome outcome;
    AUTO(pg_result) row = pg_conn_run(conn, &ONE, NO_PARAMS, false, 5000, &outcome, &err);
    EXPECT(row && outcome == PG_OK);
    proxy.frozen = true;
    EXPECT(!pg_conn_run(conn, &ONE, NO_PARAMS, false, 100, &outcome, &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(outcome == PG_TIMED_OUT && conn->broken && !pg_conn_alive(conn));
    EXPECT(!pg_conn_run(conn, &ONE, NO_PARAMS, false, 100, &outcome,
                        &err)); /* a late answer can't be taken for another's */
    EXPECT(outcome == PG_NOT_RUN);
    pg_conn_release(&conn);
    proxy.end = true;
    pthread_join(proxy.thread, NULL);
    /* nobody accepts any more: the handshake is not answered */
    EXPECT(!pg_conn_open(proxy.url, NULL, 100, &err));
    EXPECT_PROBLEM("unavailable", &err);
    close(proxy.listener);
}
