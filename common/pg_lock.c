#include "pg_conn.h"

#include <stdlib.h>

enum { HELD_MS = 2000 }; /* a server that says nothing for so long counts as gone */

struct pg_lock {
    char *url;
    struct pg_conn *conn; /* NULL while there is none */
    bool held;            /* a lock was taken over this connection */
};

struct pg_lock *pg_lock_open(const char *url, struct err *err)
{
    struct pg_lock *lock = MEM_NEW(pg_lock);
    lock->url = mem_text(url);
    lock->conn = pg_conn_open(url, NULL, PG_CONNECT_MS, err);
    if (!lock->conn)
        pg_lock_release(&lock);
    return lock;
}

void pg_lock_release(struct pg_lock **lock)
{
    if (!*lock)
        return;
    pg_conn_release(&(*lock)->conn); /* the server lets the locks go with their connection */
    free((*lock)->url);
    free(*lock);
    *lock = NULL;
}

/* FNV-1a: the same number in every version and process. */
int32_t pg_lock_number(const char *name)
{
    uint32_t hash = 2166136261U;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619U;
    return (int32_t)hash;
}

static void drop_connection(struct pg_lock *lock)
{
    pg_conn_release(&lock->conn);
    lock->held = false;
}

bool pg_lock_try(struct pg_lock *lock, const char *name, int32_t number)
{
    static const struct pg_statement TRY = {"pg_lock_try", "SELECT pg_try_advisory_lock($1::int, $2::int)"};
    struct err err = {0};
    if (lock->conn && !pg_conn_alive(lock->conn))
        drop_connection(lock);
    if (!lock->conn && !(lock->conn = pg_conn_open(lock->url, NULL, PG_CONNECT_MS, &err)))
        return false;
    AUTO(pg_result)
    row =
        pg_conn_run(lock->conn, &TRY, PARAMS(PG_I64(pg_lock_number(name)), PG_I64(number)), false, HELD_MS, NULL, &err);
    bool mine = row && pg_bool(row, 0, 0);
    lock->held = lock->held || mine;
    if (lock->conn->broken)
        drop_connection(lock);
    return mine;
}

bool pg_lock_held(struct pg_lock *lock)
{
    static const struct pg_statement ASK = {"pg_lock_ask", "SELECT 1"};
    if (!lock->conn || !lock->held)
        return false;
    struct err err = {0};
    AUTO(pg_result)
    row = pg_conn_alive(lock->conn) ? pg_conn_run(lock->conn, &ASK, NO_PARAMS, false, HELD_MS, NULL, &err) : NULL;
    if (!row)
        drop_connection(lock);
    return row != NULL;
}
