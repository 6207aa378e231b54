#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "pg_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
    POOL_WAIT_MS = 2000,
    READY_MS = 1000,       /* an answer of the database is believed this long, and waited for this long */
    SLOW_US = 1000 * 1000, /* a statement worth a line in the log */
};

struct pg_pool {
    char *url, *schema;
    int connections; /* at most */
    pthread_mutex_t mutex;
    pthread_cond_t given_back;
    struct pg_conn **idle; /* a stack: the one used last is warm, so it is used first */
    int idle_count, open_count;
    _Atomic int waiting;
    _Atomic int64_t answered_ms; /* monotonic: when the database last answered */
    struct metric_child *seconds, *failures, *retries;
};

/* The pool that this thread holds a connection of. Two at a time per request would let requests wait for each other. */
static _Thread_local const struct pg_pool *held;

/* ---- the pool
 * -------------------------------------------------------------------------------------------------------- */

static int64_t read_in_use(void *payload)
{
    struct pg_pool *pool = payload;
    pthread_mutex_lock(&pool->mutex);
    int in_use = pool->open_count - pool->idle_count;
    pthread_mutex_unlock(&pool->mutex);
    return in_use;
}

static int64_t read_waiting(void *payload)
{
    struct pg_pool *pool = payload;
    return pool->waiting;
}

static void pool_add_metrics(struct pg_pool *pool)
{
    pool->seconds = METRIC_CHILD(metric_histogram(
        "madang_pg_query_seconds", "Time of one round trip: a statement, or several that left together", NULL));
    pool->failures =
        METRIC_CHILD(metric_counter("madang_pg_failures_total", "Round trips with a statement that failed", NULL));
    pool->retries =
        METRIC_CHILD(metric_counter("madang_pg_retries_total", "Statements and transactions that ran again", NULL));
    metric_gauge_read("madang_pg_connections_in_use", "Connections that run something", read_in_use, pool);
    metric_gauge_read("madang_pg_waiting", "Threads that wait for a connection", read_waiting, pool);
}

struct pg_pool *pg_pool_open(const char *url, const char *schema, int connections, struct err *err)
{
    struct pg_pool *pool = MEM_NEW(pg_pool);
    pool->url = mem_text(url);
    pool->schema = mem_text(schema);
    pool->connections = connections > 0 ? connections : 1;
    pool->idle = mem_new((size_t)pool->connections, sizeof(struct pg_conn *));
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->given_back, &clock);
    pthread_condattr_destroy(&clock);
    pool_add_metrics(pool);
    struct pg_conn *first = pg_pool_take(pool, PG_CONNECT_MS, err);
    if (first)
        pg_pool_give(pool, &first);
    else
        pg_pool_release(&pool);
    return pool;
}

void pg_pool_release(struct pg_pool **pool)
{
    struct pg_pool *dead = *pool;
    if (!dead)
        return;
    metric_forget(dead);
    while (dead->idle_count)
        pg_conn_release(&dead->idle[--dead->idle_count]);
    pthread_cond_destroy(&dead->given_back);
    pthread_mutex_destroy(&dead->mutex);
    free(dead->idle);
    free(dead->schema);
    free(dead->url);
    free(dead);
    *pool = NULL;
}

const char *pg_pool_url(const struct pg_pool *pool)
{
    return pool->url;
}

const char *pg_pool_schema(const struct pg_pool *pool)
{
    return pool->schema;
}

static struct timespec monotonic_at(int64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

/* Waits until a connection is idle (gives it) or may be opened (gives NULL with *may_open). Holds the mutex. */
static struct pg_conn *wait_for_one(struct pg_pool *pool, int limit_ms, bool *may_open)
{
    struct timespec until = monotonic_at(clock_monotonic_ms() + limit_ms);
    *may_open = false;
    for (bool over = false;;) {
        if (pool->idle_count)
            return pool->idle[--pool->idle_count];
        if ((*may_open = pool->open_count < pool->connections)) {
            pool->open_count++;
            return NULL;
        }
        if (over)
            return NULL;
        pool->waiting++;
        over = pthread_cond_timedwait(&pool->given_back, &pool->mutex, &until) != 0;
        pool->waiting--;
    }
}

static void forget_one(struct pg_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->open_count--;
    pthread_cond_signal(&pool->given_back);
    pthread_mutex_unlock(&pool->mutex);
}

static struct pg_conn *open_one(struct pg_pool *pool, int limit_ms, struct err *err)
{
    struct pg_conn *conn =
        pg_conn_open(pool->url, pool->schema, limit_ms < PG_CONNECT_MS ? limit_ms : PG_CONNECT_MS, err);
    if (conn)
        held = pool;
    else
        forget_one(pool);
    return conn;
}

struct pg_conn *pg_pool_take(struct pg_pool *pool, int limit_ms, struct err *err)
{
    if (held == pool) {
        err_set_internal(err, &ERR_INTERNAL, "a thread asked for a second connection while it holds one");
        return NULL;
    }
    for (;;) {
        bool may_open;
        pthread_mutex_lock(&pool->mutex);
        struct pg_conn *conn = wait_for_one(pool, limit_ms < POOL_WAIT_MS ? limit_ms : POOL_WAIT_MS, &may_open);
        pthread_mutex_unlock(&pool->mutex);
        if (may_open)
            return open_one(pool, limit_ms, err);
        if (!conn) {
            err_set_internal(err, &ERR_UNAVAILABLE, "no database connection became free in time");
            err->retry_after_s = 1;
            return NULL;
        }
        if (pg_conn_alive(conn)) {
            held = pool;
            return conn;
        }
        pg_conn_release(&conn);
        forget_one(pool);
    }
}

void pg_pool_give(struct pg_pool *pool, struct pg_conn **conn)
{
    held = NULL;
    if ((*conn)->broken || PQtransactionStatus((*conn)->libpq) != PQTRANS_IDLE) {
        pg_conn_release(conn);
        forget_one(pool);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->idle[pool->idle_count++] = TAKE(*conn);
    pthread_cond_signal(&pool->given_back);
    pthread_mutex_unlock(&pool->mutex);
}

/* ---- statements
 * ------------------------------------------------------------------------------------------------------ */

void pg_pool_count_retry(struct pg_pool *pool)
{
    metric_add(pool->retries, 1);
}

static void note_exchange(struct pg_pool *pool, int64_t start_us, const char *name, enum pg_outcome outcome)
{
    int64_t end_us = clock_monotonic_us();
    metric_observe_us(pool->seconds, end_us - start_us);
    if (outcome < PG_NOT_RUN)
        atomic_store_explicit(&pool->answered_ms, end_us / 1000, memory_order_relaxed);
    if (outcome != PG_OK)
        metric_add(pool->failures, 1);
    if (end_us - start_us > SLOW_US)
        log_event(LOG_WARN, "pg_slow", LOG_TEXT("statement", name), LOG_I64("ms", (end_us - start_us) / 1000));
}

static struct pg_result *run_timed(struct pg_pool *pool, struct pg_conn *conn, const struct pg_statement *statement,
                                   struct pg_params params, bool begin, int limit_ms, enum pg_outcome *outcome,
                                   struct err *err)
{
    int64_t start_us = clock_monotonic_us();
    struct pg_result *result = pg_conn_run(conn, statement, params, begin, limit_ms, outcome, err);
    note_exchange(pool, start_us, statement->name, *outcome);
    return result;
}

bool pg_pool_flush(struct pg_pool *pool, struct pg_conn *conn, enum pg_outcome *outcome, struct err *err)
{
    int64_t start_us = clock_monotonic_us();
    *outcome = PG_OK;
    if (!conn->posted_count)
        return true;
    const char *last = conn->posted[conn->posted_count - 1].name;
    bool ok = pg_conn_flush(conn, PG_WAIT_MS, outcome, err);
    note_exchange(pool, start_us, last, *outcome);
    return ok;
}

struct pg_result *pg_pool_run(struct pg_pool *pool, struct pg_conn *conn, const struct pg_statement *statement,
                              struct pg_params params, bool begin, enum pg_outcome *outcome, struct err *err)
{
    return run_timed(pool, conn, statement, params, begin, PG_WAIT_MS, outcome, err);
}

struct pg_result *pg_query(struct pg_pool *pool, const struct pg_statement *statement, struct pg_params params,
                           struct err *err)
{
    for (bool again = false;; again = true) {
        struct pg_conn *conn = pg_pool_take(pool, PG_CONNECT_MS, err);
        if (!conn)
            return NULL;
        enum pg_outcome outcome;
        struct pg_result *result = pg_pool_run(pool, conn, statement, params, false, &outcome, err);
        pg_pool_give(pool, &conn);
        bool harmless = outcome == PG_NOT_RUN || (outcome == PG_LOST && pg_is_read(statement->sql));
        if (result || again || !harmless)
            return result;
        pg_pool_count_retry(pool);
        err_clear(err);
    }
}

bool pg_exec(struct pg_pool *pool, const struct pg_statement *statement, struct pg_params params, int64_t *changed,
             struct err *err)
{
    AUTO(pg_result) result = pg_query(pool, statement, params, err);
    if (result && changed)
        *changed = pg_changed(result);
    return result != NULL;
}

bool pg_pool_ready(void *payload)
{
    static const struct pg_statement PING = {"pg_ping", "SELECT 1"};
    struct pg_pool *pool = payload;
    if (clock_monotonic_ms() - atomic_load_explicit(&pool->answered_ms, memory_order_relaxed) < READY_MS)
        return true;
    struct err err = {0};
    struct pg_conn *conn = pg_pool_take(pool, READY_MS, &err);
    if (!conn)
        return false;
    enum pg_outcome outcome;
    AUTO(pg_result) result = run_timed(pool, conn, &PING, NO_PARAMS, false, READY_MS, &outcome, &err);
    pg_pool_give(pool, &conn);
    return result != NULL;
}
