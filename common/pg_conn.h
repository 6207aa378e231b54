/* pg_conn.h - one connection to PostgreSQL with bounded waits: what pg.c, pg_tx.c, pg_lock.c and the outbox relay stand
 * on. Private to common/: services use pg.h. No call waits past its time limit: a server that is stopped or cut off
 * costs the limit, then the connection is `broken` and its owner throws it away. Threads: one at a time. */
#ifndef MADANG_PG_CONN_H
#define MADANG_PG_CONN_H

#include "pg.h"

#include <libpq-fe.h>

enum {
    PG_CONNECT_MS = 3000,
    PG_STATEMENT_MS = 10000,             /* statement_timeout: the server ends it */
    PG_WAIT_MS = PG_STATEMENT_MS + 2000, /* we end it: the server does not answer at all */
    PG_SCRIPT_MS = 600000,               /* a migration may build an index */
    PG_PARAMS_MAX = 32,
};

/* One command of an exchange. */
struct pg_posted {
    const char *name;
    const struct pg_statement *preparing; /* it prepares this one; NULL: it runs something */
    struct pg_result **result;            /* whose it is; may be NULL */
};

struct pg_conn {
    PGconn *libpq;
    bool broken;                          /* no more statements over this connection */
    const struct pg_statement **prepared; /* open addressing by pointer */
    size_t prepared_count, prepared_size;
    struct pg_posted *posted; /* what leaves with the next exchange, in order */
    size_t posted_count, posted_room;
};

/* How a statement ended, beyond what err says: who may run it again. */
enum pg_outcome {
    PG_OK,
    PG_FAILED,    /* the server refused it; the connection goes on */
    PG_RACE,      /* serialization failure or deadlock: the transaction may run again */
    PG_NOT_RUN,   /* the connection is useless and the server has not run the statement */
    PG_LOST,      /* the connection broke; whether the statement ran is unknown */
    PG_TIMED_OUT, /* the same, after the full wait: not worth another try */
};

struct pg_conn *pg_conn_open(const char *url, const char *schema, int limit_ms, struct err *err);
void pg_conn_release(struct pg_conn **conn);

/* False when the server has closed an idle connection; costs one system call and no round trip. */
bool pg_conn_alive(struct pg_conn *conn);

/* Runs one prepared statement (preparing it at its first use). `begin`: sends BEGIN ahead, in the same round trip.
 * NULL and err on failure; *outcome (may be NULL) always. */
struct pg_result *pg_conn_run(struct pg_conn *conn, const struct pg_statement *statement, struct pg_params params,
                              bool begin, int limit_ms, enum pg_outcome *outcome, struct err *err);
/* Several statements in one exchange: posted ones leave, in order, with the next pg_conn_run or pg_conn_flush. *result
 * (may be NULL) is set there and has to live until then. False and err: the connection is of no use, or the parameters
 * are. `begin` as above. */
bool pg_conn_post(struct pg_conn *conn, const struct pg_statement *statement, struct pg_params params, bool begin,
                  struct pg_result **result, enum pg_outcome *outcome, struct err *err);
/* One of BEGIN, COMMIT, ROLLBACK: neither prepared nor with parameters. */
bool pg_conn_post_plain(struct pg_conn *conn, const char *sql, enum pg_outcome *outcome, struct err *err);
/* Sends what was posted and takes all answers. False: err and *outcome are of the first that failed; those behind it
 * have not run. */
bool pg_conn_flush(struct pg_conn *conn, int limit_ms, enum pg_outcome *outcome, struct err *err);
/* Whoever wanted the results of what was posted is gone. */
void pg_conn_forget_results(struct pg_conn *conn);

/* COPY ... FROM STDIN with all its rows. Nothing may be posted. */
bool pg_conn_copy(struct pg_conn *conn, const struct pg_statement *statement, struct view rows, int64_t *count,
                  int limit_ms, enum pg_outcome *outcome, struct err *err);

/* Plain SQL without parameters and without rows: LISTEN, migrations. Nothing may be posted. */
bool pg_conn_script(struct pg_conn *conn, const char *sql, int limit_ms, enum pg_outcome *outcome, struct err *err);
/* Sleeps until the server sends something (conn may be NULL), other_fd (-1: none) is readable, or the limit is over. */
void pg_conn_sleep(struct pg_conn *conn, int other_fd, int limit_ms);

/* Parameters as libpq wants them; lives on the stack of one call. */
struct pg_wire {
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
    char numbers[PG_PARAMS_MAX][24];
    struct str arrays[PG_PARAMS_MAX];
    int count;
};
bool pg_wire_fill(struct pg_wire *wire, struct pg_params params, struct err *err);
void pg_wire_free(struct pg_wire *wire);

/* What a failed result means: sets err, tells who may run it again. */
enum pg_outcome pg_failure(const PGresult *result, const char *statement_name, struct err *err);

/* The first of the two numbers of an advisory lock. */
int32_t pg_lock_number(const char *name);

/* True for a text that only reads: SELECT, or WITH that changes nothing. */
bool pg_is_read(const char *sql);

#endif
