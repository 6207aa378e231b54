/* test_store.h - a schema of its own for each test program, on the PostgreSQL of PG_URL.
 *     static struct test_schema schema;       // the name is t_<name>_<pid>; dropped when the program ends
 *     struct pg_pool *pool = test_pool("outbox", 4);   // pool in that schema, made when it is not there yet
 * Small helpers for tests only: any failure ends the program with the reason. */
#ifndef MADANG_TEST_STORE_H
#define MADANG_TEST_STORE_H

#include "pg.h"
#include "test.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char test_schema_name[64];

/* Runs SQL over a connection of its own, outside of what is tested; gives the first value ("" when there is none). */
__attribute__((unused)) static const char *test_sql(const char *format, ...) __attribute__((format(printf, 1, 2)));
__attribute__((unused)) static const char *test_sql(const char *format, ...)
{
    static _Thread_local char value[512];
    char sql[4096];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    PGconn *conn = PQconnectdb(test_env("PG_URL"));
    char path[128];
    (void)snprintf(path, sizeof path, "SET client_min_messages = error; SET search_path = %s",
                   *test_schema_name ? test_schema_name : "public");
    PQclear(PQexec(conn, path));
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        printf("test_sql: %s: %s\n", sql, PQerrorMessage(conn));
        exit(1);
    }
    (void)snprintf(value, sizeof value, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
    return value;
}

static void test_schema_drop(void)
{
    (void)test_sql("DROP SCHEMA IF EXISTS %s CASCADE", test_schema_name);
}

/* The schema of this program, empty at first. */
__attribute__((unused)) static const char *test_schema(const char *name)
{
    if (!*test_schema_name) {
        char wanted[64];
        (void)snprintf(wanted, sizeof wanted, "t_%s_%d", name, (int)getpid());
        (void)test_sql("CREATE SCHEMA %s", wanted);
        (void)snprintf(test_schema_name, sizeof test_schema_name, "%s", wanted);
        (void)atexit(test_schema_drop);
    }
    return test_schema_name;
}

__attribute__((unused)) static struct pg_pool *test_pool(const char *name, int connections)
{
    struct err err = {0};
    struct pg_pool *pool = pg_pool_open(test_env("PG_URL"), test_schema(name), connections, &err);
    if (!pool) {
        printf("test_pool: %s %s\n", err.message, err.detail);
        exit(1);
    }
    return pool;
}

#endif
