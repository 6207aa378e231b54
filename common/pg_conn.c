#include "pg_conn.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PREPARED_MAX = 512, /* statements kept prepared on a connection; more run unprepared */
    SCHEMA_NAME_MAX = 63,
    COPY_PIECE = 1 << 18,
};

/* A transaction that its owner left open (a process stopped by SIGSTOP, say) gives its locks back after this. */
#define IDLE_IN_TRANSACTION_MS "15000"

/* ---- connecting
 * ------------------------------------------------------------------------------------------------------ */

static bool schema_name_ok(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length && length <= SCHEMA_NAME_MAX && !name[length] && (name[0] < '0' || name[0] > '9');
}

static void on_notice(void *payload, const PGresult *result)
{
    (void)payload;
    const char *words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    log_event(LOG_DEBUG, "pg_notice", LOG_TEXT("message", words ? words : ""));
}

static bool unavailable(struct err *err, const char *what, const char *words)
{
    err_set_internal(err, &ERR_UNAVAILABLE, "%s: %.*s", what, (int)strcspn(words, "\n"), words);
    err->retry_after_s = 1;
    return false;
}

/* Waits for `events` on the connection's socket; false when the deadline is over. */
static bool wait_socket(PGconn *libpq, short events, int64_t deadline_ms)
{
    struct pollfd wait = {.fd = PQsocket(libpq), .events = events};
    for (;;) {
        int64_t left = deadline_ms - clock_monotonic_ms();
        int ready = poll(&wait, 1, left > 0 ? (int)left : 0);
        if (ready > 0)
            return true;
        if (ready == 0 && left <= 0)
            return false;
        if (ready < 0 && errno != EINTR)
            return true; /* libpq finds out what is wrong with the socket */
    }
}

static bool finish_connect(PGconn *libpq, int64_t deadline_ms, struct err *err)
{
    if (PQstatus(libpq) == CONNECTION_BAD)
        return unavailable(err, "database", PQerrorMessage(libpq));
    short events = POLLOUT;
    for (;;) {
        if (!wait_socket(libpq, events, deadline_ms))
            return unavailable(err, "database", "no answer to the connection attempt");
        switch (PQconnectPoll(libpq)) {
        case PGRES_POLLING_OK:
            return true;
        case PGRES_POLLING_FAILED:
            return unavailable(err, "database", PQerrorMessage(libpq));
        case PGRES_POLLING_READING:
            events = POLLIN;
            break;
        default:
            events = POLLOUT;
            break;
        }
    }
}

struct pg_conn *pg_conn_open(const char *url, const char *schema, int limit_ms, struct err *err)
{
    if (schema && !schema_name_ok(schema)) {
        err_set_internal(err, &ERR_INTERNAL, "schema name \"%.70s\": lower-case letters, digits and _ only", schema);
        return NULL;
    }
    char options[256];
    (void)snprintf(options, sizeof options,
                   "%s%s -c statement_timeout=%d -c idle_in_transaction_session_timeout=%s -c jit=off",
                   schema ? "-c search_path=" : "", schema ? schema : "", PG_STATEMENT_MS, IDLE_IN_TRANSACTION_MS);
    /* What stands before dbname can be changed by the URL; what stands behind it can't. */
    const char *const names[] = {"gssencmode",          "application_name", "keepalives_idle",
                                 "keepalives_interval", "keepalives_count", "dbname",
                                 "client_encoding",     "options",          NULL};
    const char *const values[] = {"disable", "madang", "10", "3", "3", url, "UTF8", options, NULL};
    PGconn *libpq = PQconnectStartParams(names, values, 1);
    if (!libpq) {
        unavailable(err, "database", "no memory for a connection");
        return NULL;
    }
    struct pg_conn *conn = MEM_NEW(pg_conn);
    conn->libpq = libpq;
    if (!finish_connect(libpq, clock_monotonic_ms() + limit_ms, err) || PQsetnonblocking(libpq, 1) != 0) {
        if (!err->problem)
            unavailable(err, "database", PQerrorMessage(libpq));
        pg_conn_release(&conn);
        return NULL;
    }
    (void)PQsetNoticeReceiver(libpq, on_notice, NULL);
    return conn;
}

void pg_conn_release(struct pg_conn **conn)
{
    if (!*conn)
        return;
    PQfinish((*conn)->libpq);
    free((*conn)->prepared);
    free((*conn)->posted);
    free(*conn);
    *conn = NULL;
}

bool pg_conn_alive(struct pg_conn *conn)
{
    struct pollfd look = {.fd = PQsocket(conn->libpq), .events = POLLIN | POLLRDHUP};
    if (conn->broken || look.fd < 0)
        return false;
    if (poll(&look, 1, 0) <= 0)
        return true;
    /* Something came in while it was idle: a setting that changed, or the server's farewell. */
    if (look.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL) || !PQconsumeInput(conn->libpq))
        return false;
    return PQstatus(conn->libpq) == CONNECTION_OK;
}

void pg_conn_sleep(struct pg_conn *conn, int other_fd, int limit_ms)
{
    struct pollfd fds[2] = {{.fd = conn && !conn->broken ? PQsocket(conn->libpq) : -1, .events = POLLIN},
                            {.fd = other_fd, .events = POLLIN}};
    (void)poll(fds, 2, limit_ms);
    if (conn && fds[0].revents && !PQconsumeInput(conn->libpq))
        conn->broken = true;
}

/* ---- statements that are prepared already
 * ----------------------------------------------------------------------------- */

static size_t prepared_slot(const struct pg_conn *conn, const struct pg_statement *statement)
{
    size_t at = (size_t)((uintptr_t)statement >> 4) * 0x9e3779b97f4a7c15U >> 32;
    while (conn->prepared[at & (conn->prepared_size - 1)] &&
           conn->prepared[at & (conn->prepared_size - 1)] != statement)
        at++;
    return at & (conn->prepared_size - 1);
}

static bool is_prepared(const struct pg_conn *conn, const struct pg_statement *statement)
{
    return conn->prepared_size && conn->prepared[prepared_slot(conn, statement)];
}

static void remember_prepared(struct pg_conn *conn, const struct pg_statement *statement)
{
    if (conn->prepared_count * 2 >= conn->prepared_size) {
        const struct pg_statement **old = conn->prepared;
        size_t old_size = conn->prepared_size;
        conn->prepared_size = old_size ? old_size * 2 : 64;
        conn->prepared = mem_new(conn->prepared_size, sizeof *conn->prepared);
        for (size_t i = 0; i < old_size; i++)
            if (old[i])
                conn->prepared[prepared_slot(conn, old[i])] = old[i];
        free(old);
    }
    conn->prepared[prepared_slot(conn, statement)] = statement;
    conn->prepared_count++;
}

/* ---- sending and waiting
 * ---------------------------------------------------------------------------------------------- */

/* The next result, or NULL with *over set when the deadline came first. NULL otherwise means: no more of this command.
 */
static PGresult *next_result(struct pg_conn *conn, int64_t deadline_ms, bool *over)
{
    for (;;) {
        int unsent = PQflush(conn->libpq);
        if (unsent <= 0 && !PQisBusy(conn->libpq))
            return PQgetResult(conn->libpq);
        if (!wait_socket(conn->libpq, unsent > 0 ? POLLIN | POLLOUT : POLLIN, deadline_ms)) {
            *over = true;
            return NULL;
        }
        (void)PQconsumeInput(conn->libpq); /* a failure shows in the result */
    }
}

static bool good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

struct command {
    const char *name;
    int64_t deadline_ms;
    PGresult *failed; /* the first failure */
    int done;         /* results that were good */
    bool over;
    bool ended; /* all results came */
};

static bool is_copy(ExecStatusType status)
{
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* Whatever one result means for the command that it belongs to (NULL: nobody wants it). False: give up. */
static bool take_result(struct pg_conn *conn, PGresult *result, const struct pg_posted *posted, struct command *command)
{
    ExecStatusType status = PQresultStatus(result);
    if (good(result)) {
        command->done++;
        if (posted && posted->preparing && conn->prepared_count < PREPARED_MAX)
            remember_prepared(conn, posted->preparing);
        if (posted && posted->result) {
            *posted->result = (struct pg_result *)result;
            return true;
        }
    } else if (!command->failed && status != PGRES_PIPELINE_ABORTED) {
        command->failed = result;
        command->name = posted ? posted->name : command->name;
        return !is_copy(status); /* never asked for: the connection is given up */
    }
    PQclear(result);
    return true;
}

/* Takes all results up to the end of the exchange: PIPELINE_SYNC in pipeline mode, else NULL. */
static void take_results(struct pg_conn *conn, const struct pg_posted *one, struct command *command)
{
    const bool pipeline = !one;
    for (size_t at = 0;;) {
        PGresult *result = next_result(conn, command->deadline_ms, &command->over);
        if (command->over)
            return;
        if (!result) {
            if (!pipeline || PQstatus(conn->libpq) != CONNECTION_OK) {
                command->ended = !pipeline;
                return;
            }
            at++; /* the end of one command of the pipeline */
            continue;
        }
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            command->ended = true;
            return;
        }
        if (!take_result(conn, result, one ? one : at < conn->posted_count ? &conn->posted[at] : NULL, command))
            return;
    }
}

static bool conclude(struct pg_conn *conn, struct command *command, enum pg_outcome *outcome, struct err *err)
{
    *outcome = PG_OK;
    if (command->over) {
        unavailable(err, command->name, "the database does not answer");
        *outcome = PG_TIMED_OUT;
    } else if (command->failed) {
        *outcome = pg_failure(command->failed, command->name, err);
    } else if (!command->done || !command->ended) {
        unavailable(err, command->name, PQerrorMessage(conn->libpq));
        *outcome = PG_LOST;
    }
    PQclear(command->failed);
    if (*outcome >= PG_NOT_RUN || PQstatus(conn->libpq) != CONNECTION_OK)
        conn->broken = true;
    return *outcome == PG_OK;
}

static bool not_sent(struct pg_conn *conn, const char *name, enum pg_outcome *outcome, struct err *err)
{
    unavailable(err, name, conn->broken ? "the connection is broken" : PQerrorMessage(conn->libpq));
    conn->broken = true;
    *outcome = PG_NOT_RUN;
    return false;
}

static bool send_prepared(struct pg_conn *conn, const char *name, const struct pg_wire *wire)
{
    return PQsendQueryPrepared(conn->libpq, name, wire->count, wire->values, wire->lengths, wire->formats, 0) == 1;
}

/* ---- exchanges of several statements
 * ---------------------------------------------------------------------------------- */

static void note_posted(struct pg_conn *conn, struct pg_posted posted)
{
    if (conn->posted_count == conn->posted_room) {
        conn->posted_room = conn->posted_room ? conn->posted_room * 2 : 16;
        conn->posted = mem_grow(conn->posted, conn->posted_room, sizeof *conn->posted);
    }
    conn->posted[conn->posted_count++] = posted;
}

static bool enter_pipeline(struct pg_conn *conn)
{
    return !conn->broken && (conn->posted_count || PQenterPipelineMode(conn->libpq));
}

static bool post_plain(struct pg_conn *conn, const char *sql)
{
    if (!enter_pipeline(conn) || !PQsendQueryParams(conn->libpq, sql, 0, NULL, NULL, NULL, NULL, 0))
        return false;
    note_posted(conn, (struct pg_posted){.name = sql});
    return true;
}

/* Is it on its way to be prepared already, in this exchange? */
static bool is_being_prepared(const struct pg_conn *conn, const struct pg_statement *statement)
{
    for (size_t i = 0; i < conn->posted_count; i++)
        if (conn->posted[i].preparing == statement)
            return true;
    return is_prepared(conn, statement);
}

static bool post(struct pg_conn *conn, const struct pg_statement *statement, const struct pg_wire *wire,
                 struct pg_result **result)
{
    const bool keep = conn->prepared_count + conn->posted_count < PREPARED_MAX;
    const bool prepare = !is_being_prepared(conn, statement);
    const char *name = keep || !prepare ? statement->name : "";
    if (!enter_pipeline(conn))
        return false;
    if (prepare) {
        if (!PQsendPrepare(conn->libpq, name, statement->sql, 0, NULL))
            return false;
        note_posted(conn, (struct pg_posted){.name = statement->name, .preparing = keep ? statement : NULL});
    }
    if (!send_prepared(conn, name, wire))
        return false;
    note_posted(conn, (struct pg_posted){.name = statement->name, .result = result});
    return true;
}

bool pg_conn_post_plain(struct pg_conn *conn, const char *sql, enum pg_outcome *outcome, struct err *err)
{
    return post_plain(conn, sql) || not_sent(conn, sql, outcome, err);
}

bool pg_conn_post(struct pg_conn *conn, const struct pg_statement *statement, struct pg_params params, bool begin,
                  struct pg_result **result, enum pg_outcome *outcome, struct err *err)
{
    struct pg_wire wire;
    if (!pg_wire_fill(&wire, params, err)) {
        pg_wire_free(&wire);
        *outcome = PG_FAILED;
        return false;
    }
    const bool posted = (!begin || post_plain(conn, "BEGIN")) && post(conn, statement, &wire, result);
    pg_wire_free(&wire);
    return posted || not_sent(conn, statement->name, outcome, err);
}

bool pg_conn_flush(struct pg_conn *conn, int limit_ms, enum pg_outcome *outcome, struct err *err)
{
    *outcome = PG_OK;
    if (!conn->posted_count)
        return true;
    struct command command = {.name = conn->posted[conn->posted_count - 1].name,
                              .deadline_ms = clock_monotonic_ms() + limit_ms};
    if (conn->broken || !PQpipelineSync(conn->libpq)) {
        conn->posted_count = 0;
        return not_sent(conn, command.name, outcome, err);
    }
    take_results(conn, NULL, &command);
    const bool ok = conclude(conn, &command, outcome, err);
    conn->posted_count = 0;
    if (!conn->broken && !PQexitPipelineMode(conn->libpq))
        conn->broken = true;
    return ok;
}

void pg_conn_forget_results(struct pg_conn *conn)
{
    for (size_t i = 0; i < conn->posted_count; i++)
        conn->posted[i].result = NULL;
}

/* ---- exchanges of one
 * ------------------------------------------------------------------------------------------------- */

/* The usual case: prepared already, and nothing else to send. */
static bool run_alone(struct pg_conn *conn, const struct pg_statement *statement, const struct pg_wire *wire,
                      int limit_ms, struct pg_result **result, enum pg_outcome *outcome, struct err *err)
{
    const struct pg_posted posted = {.name = statement->name, .result = result};
    struct command command = {.name = statement->name, .deadline_ms = clock_monotonic_ms() + limit_ms};
    if (conn->broken || !send_prepared(conn, statement->name, wire))
        return not_sent(conn, statement->name, outcome, err);
    take_results(conn, &posted, &command);
    return conclude(conn, &command, outcome, err);
}

struct pg_result *pg_conn_run(struct pg_conn *conn, const struct pg_statement *statement, struct pg_params params,
                              bool begin, int limit_ms, enum pg_outcome *outcome, struct err *err)
{
    enum pg_outcome ignored;
    struct pg_result *result = NULL;
    bool ok;
    outcome = outcome ? outcome : &ignored;
    if (begin || conn->posted_count || !is_prepared(conn, statement)) {
        ok = pg_conn_post(conn, statement, params, begin, &result, outcome, err) &&
             pg_conn_flush(conn, limit_ms, outcome, err);
    } else {
        struct pg_wire wire;
        ok = pg_wire_fill(&wire, params, err);
        *outcome = PG_FAILED;
        ok = ok && run_alone(conn, statement, &wire, limit_ms, &result, outcome, err);
        pg_wire_free(&wire);
    }
    if (!ok)
        pg_result_release(&result);
    return result;
}

/* Puts all rows on their way, by pieces: libpq holds what the socket does not take at once. A failure shows in the
 * result of the command. */
static void send_rows(struct pg_conn *conn, struct view rows, struct command *command)
{
    while (rows.length && !command->over) {
        const size_t piece = rows.length < COPY_PIECE ? rows.length : COPY_PIECE;
        int unsent;
        if (PQputCopyData(conn->libpq, rows.bytes, (int)piece) != 1)
            return;
        rows = (struct view){rows.bytes + piece, rows.length - piece};
        while ((unsent = PQflush(conn->libpq)) > 0 && !command->over) {
            if (!wait_socket(conn->libpq, POLLIN | POLLOUT, command->deadline_ms))
                command->over = true;
            else
                (void)PQconsumeInput(conn->libpq);
        }
        if (unsent < 0)
            return;
    }
    if (!command->over)
        (void)PQputCopyEnd(conn->libpq, NULL);
}

bool pg_conn_copy(struct pg_conn *conn, const struct pg_statement *statement, struct view rows, int64_t *count,
                  int limit_ms, enum pg_outcome *outcome, struct err *err)
{
    struct pg_result *result = NULL;
    const struct pg_posted posted = {.name = statement->name, .result = &result};
    struct command command = {.name = statement->name, .deadline_ms = clock_monotonic_ms() + limit_ms};
    if (conn->broken || !PQsendQuery(conn->libpq, statement->sql))
        return not_sent(conn, statement->name, outcome, err);
    PGresult *begun = next_result(conn, command.deadline_ms, &command.over);
    if (begun && PQresultStatus(begun) == PGRES_COPY_IN) {
        PQclear(begun);
        send_rows(conn, rows, &command);
    } else {
        command.failed = begun;
    }
    if (!command.over)
        take_results(conn, &posted, &command);
    const bool ok = conclude(conn, &command, outcome, err);
    *count = ok && result ? pg_changed(result) : 0;
    pg_result_release(&result);
    return ok;
}

bool pg_conn_script(struct pg_conn *conn, const char *sql, int limit_ms, enum pg_outcome *outcome, struct err *err)
{
    static const struct pg_posted SCRIPT = {.name = "script"};
    enum pg_outcome ignored;
    struct command command = {.name = SCRIPT.name, .deadline_ms = clock_monotonic_ms() + limit_ms};
    outcome = outcome ? outcome : &ignored;
    if (conn->broken || !PQsendQuery(conn->libpq, sql))
        return not_sent(conn, SCRIPT.name, outcome, err);
    take_results(conn, &SCRIPT, &command);
    return conclude(conn, &command, outcome, err);
}
