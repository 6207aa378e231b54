/* pg.h - PostgreSQL by libpq: a bounded pool, prepared statements, typed parameters, transactions that can run again.
 *
 *     static const struct pg_statement FIND_USER = {"find_user", "SELECT id, handle FROM accounts WHERE email = $1"};
 *     AUTO(pg_result) rows = pg_query(db, &FIND_USER, PARAMS(PG_TEXT(email)), err);
 *     if (!rows) return false;                    // failure; err is set
 *     if (pg_rows(rows) == 0) ...
 *
 * Parameters only, never glued SQL: a statement's text is a constant. A statement is prepared once per connection.
 * Failures: unique violation -> ERR_CONFLICT with detail = constraint name (pg_violated asks for it); no connection,
 * time-out, too many waiting -> ERR_UNAVAILABLE; anything else -> ERR_INTERNAL with the server's words in detail.
 * Time-outs: connect 3 s, statement_timeout 10 s, 2 s for a free connection.
 * Threads: the pool is thread-safe, a transaction belongs to one thread. One request never holds two connections. */
#ifndef MADANG_PG_H
#define MADANG_PG_H

#include "errors.h"
#include "json.h"
#include "mem.h"

#include <stdint.h>

struct pg_pool;
struct pg_tx;
struct pg_result;

struct pg_statement {
    const char *name; /* unique in the process, at most 60 characters */
    const char *sql;
};

/* One parameter, sent as text ($n with the server's own type) or binary for bytea. */
struct pg_param {
    const char *text; /* NULL: SQL NULL, unless `kind` says number */
    enum {
        PG_KIND_TEXT,
        PG_KIND_I64,
        PG_KIND_BOOL,
        PG_KIND_BYTES,
        PG_KIND_TEXTS,
        PG_KIND_I64S,
        PG_KIND_UUIDS,
        PG_KIND_BIGINTS
    } kind;
    int64_t number;
    const void *bytes;
    size_t length;            /* of bytes, or items */
    const char *const *texts; /* an item may be NULL */
    const int64_t *numbers;
};
#define PG_TEXT(value) ((struct pg_param){.kind = PG_KIND_TEXT, .text = (value)})
#define PG_NULL ((struct pg_param){.kind = PG_KIND_TEXT, .text = NULL})
#define PG_I64(value) ((struct pg_param){.kind = PG_KIND_I64, .number = (value)})
#define PG_BOOL(value) ((struct pg_param){.kind = PG_KIND_BOOL, .number = (value) ? 1 : 0})
#define PG_BYTES(pointer, size) ((struct pg_param){.kind = PG_KIND_BYTES, .bytes = (pointer), .length = (size)})
#define PG_TEXTS(items, count)                                                                                         \
    ((struct pg_param){.kind = PG_KIND_TEXTS, .texts = (items), .length = (count)}) /* text[] */
#define PG_I64S(items, count)                                                                                          \
    ((struct pg_param){.kind = PG_KIND_I64S, .numbers = (items), .length = (count)}) /* bigint[] */
/* bigint[] and nothing else, sent as bytes: for thousands of them. */
#define PG_BIGINTS(items, count) ((struct pg_param){.kind = PG_KIND_BIGINTS, .numbers = (items), .length = (count)})
#define PG_UUIDS(items, count)                                                                                         \
    ((struct pg_param){.kind = PG_KIND_UUIDS, .bytes = (items), .length = (count)}) /* uuid[] of struct uuid, sent as  \
                                                                                       bytes; one of zeros is NULL */

struct pg_params {
    const struct pg_param *items;
    int count;
};
#define PARAMS(...)                                                                                                    \
    ((struct pg_params){(const struct pg_param[]){__VA_ARGS__},                                                        \
                        (int)(sizeof((const struct pg_param[]){__VA_ARGS__}) / sizeof(struct pg_param))})
#define NO_PARAMS ((struct pg_params){NULL, 0})

/* `url`: postgresql://...; `schema` becomes the search_path; at most `connections` at a time, opened when needed.
 * Fails when the first connection fails. */
struct pg_pool *pg_pool_open(const char *url, const char *schema, int connections, struct err *err);
void pg_pool_release(struct pg_pool **pool);
bool pg_pool_ready(void *pool); /* SELECT 1 within 1 s; a ready_check; the answer is kept for 1 s */
const char *pg_pool_url(const struct pg_pool *pool); /* for a module that needs a connection of its own */
const char *pg_pool_schema(const struct pg_pool *pool);

/* One statement outside a transaction. A read (text begins with SELECT or WITH ... and is not a data-changing WITH) is
 * sent once more over a new connection when the old one turns out dead; a write whose reply was lost is ERR_UNAVAILABLE
 * (unknown). */
struct pg_result *pg_query(struct pg_pool *pool, const struct pg_statement *statement, struct pg_params params,
                           struct err *err);

/* Runs `body` between BEGIN and COMMIT. When it returns false: ROLLBACK, and its err is the result. Serialization
 * failures, deadlocks and a connection that broke before COMMIT was sent run it again (3 times in all), so it may
 * touch only the database and *payload in a way that can be repeated. A COMMIT whose answer was lost: ERR_UNAVAILABLE.
 */
bool pg_transaction(struct pg_pool *pool, bool (*body)(struct pg_tx *tx, void *payload, struct err *err), void *payload,
                    struct err *err);
struct pg_result *pg_tx_query(struct pg_tx *tx, const struct pg_statement *statement, struct pg_params params,
                              struct err *err);
/* The same where no rows are wanted; *changed (may be NULL) = rows touched. */
bool pg_exec(struct pg_pool *pool, const struct pg_statement *statement, struct pg_params params, int64_t *changed,
             struct err *err);
bool pg_tx_exec(struct pg_tx *tx, const struct pg_statement *statement, struct pg_params params, int64_t *changed,
                struct err *err);

/* One round trip for several statements: a posted one leaves with the next pg_tx_query, pg_tx_exec, pg_tx_flush, or
 * with COMMIT, behind those that were posted before it. *result (may be NULL: nobody wants rows) is set by then, NULL
 * before, and must live so long; its owner releases it. When a statement fails, what stands behind it has not run, and
 * whatever sent it fails with its err; with COMMIT that is pg_transaction, and nothing is committed. */
bool pg_tx_post(struct pg_tx *tx, const struct pg_statement *statement, struct pg_params params,
                struct pg_result **result, struct err *err);
bool pg_tx_flush(struct pg_tx *tx, struct err *err);

/* Many new rows: `statement` is COPY table (columns) FROM STDIN (FORMAT binary), `rows` are of pg_copy.h. Half the
 * server's work of an INSERT from arrays; it knows no ON CONFLICT. The text is parsed each time. *count: rows that are
 * in. */
bool pg_tx_copy(struct pg_tx *tx, const struct pg_statement *statement, struct view rows, int64_t *count,
                struct err *err);

/* Several statements without parameters: migrations only. */
bool pg_tx_script(struct pg_tx *tx, const char *sql, struct err *err);

int pg_rows(const struct pg_result *result);
int64_t pg_changed(const struct pg_result *result);
bool pg_is_null(const struct pg_result *result, int row, int column);
const char *pg_text(const struct pg_result *result, int row, int column); /* lent; NULL for SQL NULL */
size_t pg_text_length(const struct pg_result *result, int row, int column);
int64_t pg_i64(const struct pg_result *result, int row, int column); /* 0 for SQL NULL */
bool pg_bool(const struct pg_result *result, int row, int column);
/* Bytes of a bytea from the arena. */
struct view pg_bytes(const struct pg_result *result, int row, int column, struct arena *arena);
/* Items of a text[] from the arena; an empty list for SQL NULL. */
struct texts pg_texts(const struct pg_result *result, int row, int column, struct arena *arena);
void pg_result_release(struct pg_result **result);

/* True when err is a unique (or check, or foreign key) violation of this constraint. */
bool pg_violated(const struct err *err, const char *constraint);

/* Times cross as milliseconds: write to_timestamp($1::bigint / 1000.0) and read with this expression in SQL. */
#define SQL_MS(column) "(extract(epoch from " column ") * 1000)::bigint"

/* A lock that lives as long as its connection (pg_try_advisory_lock on a connection of its own): the outbox relay, the
 * instance slot. */
struct pg_lock;
struct pg_lock *pg_lock_open(const char *url, struct err *err);
void pg_lock_release(struct pg_lock **lock);
bool pg_lock_try(struct pg_lock *lock, const char *name,
                 int32_t number);        /* false: someone else has it, or no connection */
bool pg_lock_held(struct pg_lock *lock); /* asks the server; false when the connection died */

#endif
