/* pg_tx.c - transactions: BEGIN travels with the first statement, races run the body again, an unknown COMMIT says so.
 */
#include "pg_pool.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    RUNS_MAX = 3,
    RACE_PAUSE_MS = 5, /* times the number of runs, times 1..2 by chance, so that two rivals don't meet again */
};

struct pg_tx {
    struct pg_pool *pool;
    struct pg_conn *conn;
    bool begun;
    enum pg_outcome outcome; /* of the first statement that failed */
};

static void note(struct pg_tx *tx, enum pg_outcome outcome)
{
    tx->begun = true;
    if (tx->outcome == PG_OK)
        tx->outcome = outcome;
}

struct pg_result *pg_tx_query(struct pg_tx *tx, const struct pg_statement *statement, struct pg_params params,
                              struct err *err)
{
    enum pg_outcome outcome;
    struct pg_result *result = pg_pool_run(tx->pool, tx->conn, statement, params, !tx->begun, &outcome, err);
    note(tx, outcome);
    return result;
}

bool pg_tx_post(struct pg_tx *tx, const struct pg_statement *statement, struct pg_params params,
                struct pg_result **result, struct err *err)
{
    enum pg_outcome outcome = PG_OK;
    bool ok = pg_conn_post(tx->conn, statement, params, !tx->begun, result, &outcome, err);
    note(tx, outcome);
    return ok;
}

bool pg_tx_flush(struct pg_tx *tx, struct err *err)
{
    enum pg_outcome outcome;
    bool ok = pg_pool_flush(tx->pool, tx->conn, &outcome, err);
    if (!ok)
        note(tx, outcome);
    return ok;
}

bool pg_tx_exec(struct pg_tx *tx, const struct pg_statement *statement, struct pg_params params, int64_t *changed,
                struct err *err)
{
    AUTO(pg_result) result = pg_tx_query(tx, statement, params, err);
    if (result && changed)
        *changed = pg_changed(result);
    return result != NULL;
}

static bool begin(struct pg_tx *tx, enum pg_outcome *outcome, struct err *err)
{
    return tx->begun || pg_conn_script(tx->conn, "BEGIN", PG_WAIT_MS, outcome, err);
}

bool pg_tx_copy(struct pg_tx *tx, const struct pg_statement *statement, struct view rows, int64_t *count,
                struct err *err)
{
    enum pg_outcome outcome = PG_OK;
    bool ok = pg_tx_flush(tx, err) && begin(tx, &outcome, err) &&
              pg_conn_copy(tx->conn, statement, rows, count, PG_WAIT_MS, &outcome, err);
    note(tx, outcome);
    return ok;
}

bool pg_tx_script(struct pg_tx *tx, const char *sql, struct err *err)
{
    enum pg_outcome outcome = PG_OK;
    bool ok =
        pg_tx_flush(tx, err) &&
        (tx->begun || pg_conn_script(tx->conn, "BEGIN; SET LOCAL statement_timeout = 0", PG_WAIT_MS, &outcome, err)) &&
        pg_conn_script(tx->conn, sql, PG_SCRIPT_MS, &outcome, err);
    note(tx, outcome);
    return ok;
}

/* True when committed; *again when nothing is committed and another run may succeed. What is posted still leaves with
 * COMMIT; when one of it fails the server does not come to COMMIT. */
static bool commit(struct pg_tx *tx, bool *again, struct err *err)
{
    enum pg_outcome outcome = PG_OK;
    if (!pg_conn_alive(tx->conn)) { /* gone before COMMIT was sent */
        tx->conn->broken = *again = true;
        err_set_internal(err, &ERR_UNAVAILABLE, "the connection broke before COMMIT");
        err->retry_after_s = 1;
        return false;
    }
    if (!pg_conn_post_plain(tx->conn, "COMMIT", &outcome, err)) {
        *again = true;
        return false;
    }
    bool ok = pg_pool_flush(tx->pool, tx->conn, &outcome, err);
    *again = outcome == PG_RACE || (outcome == PG_NOT_RUN && !ok && PQstatus(tx->conn->libpq) == CONNECTION_OK);
    if (outcome >= PG_NOT_RUN && !*again) {
        err_set_internal(err, &ERR_UNAVAILABLE, "the answer to COMMIT was lost: the outcome is unknown");
        err->retry_after_s = 1;
    }
    return ok;
}

/* What is posted is not wanted any more, but the connection can't take it back. */
static void roll_back(struct pg_tx *tx)
{
    struct err ignored = {0};
    enum pg_outcome outcome;
    pg_conn_forget_results(tx->conn);
    if (tx->begun && !tx->conn->broken)
        (void)pg_conn_flush(tx->conn, PG_WAIT_MS, &outcome, &ignored);
    if (!tx->conn->broken && PQtransactionStatus(tx->conn->libpq) != PQTRANS_IDLE)
        (void)pg_conn_script(tx->conn, "ROLLBACK", PG_WAIT_MS, NULL, &ignored);
}

static bool run_once(struct pg_pool *pool, bool (*body)(struct pg_tx *tx, void *payload, struct err *err),
                     void *payload, bool *again, struct err *err)
{
    *again = false;
    struct pg_tx tx = {.pool = pool, .conn = pg_pool_take(pool, PG_CONNECT_MS, err)};
    if (!tx.conn)
        return false;
    bool ok = body(&tx, payload, err);
    if (tx.outcome == PG_RACE || tx.outcome == PG_NOT_RUN || tx.outcome == PG_LOST)
        *again = true;
    if (ok && tx.outcome != PG_OK) /* the server would answer COMMIT with ROLLBACK, in silence */
        ok = err_set_internal(err, *again ? &ERR_UNAVAILABLE : &ERR_INTERNAL,
                              "a transaction went on after a failed statement");
    ok = ok && (!tx.begun || commit(&tx, again, err));
    if (!ok)
        roll_back(&tx);
    pg_pool_give(pool, &tx.conn);
    return ok;
}

static void pause_by_chance(int run)
{
    unsigned char chance = 0;
    (void)!getrandom(&chance, sizeof chance, GRND_NONBLOCK);
    long ms = (long)RACE_PAUSE_MS * run * (256 + chance) / 256;
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

bool pg_transaction(struct pg_pool *pool, bool (*body)(struct pg_tx *tx, void *payload, struct err *err), void *payload,
                    struct err *err)
{
    for (int run = 1;; run++) {
        bool again;
        if (run_once(pool, body, payload, &again, err))
            return true;
        if (!again || run == RUNS_MAX)
            return false;
        pg_pool_count_retry(pool);
        pause_by_chance(run);
        err_clear(err);
    }
}
