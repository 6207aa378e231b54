#include "store.h"

#include "crypto.h"
#include "store_rows.h"

#include <stdio.h>

/* ---- heads, notices and marks of many users at once; `place` is the index into what was asked, from 1 ---- */

static const struct pg_statement HEADS = {
    "heads", "SELECT coalesce(i.last_seq, 0), coalesce(i.read_up_to, 0), coalesce(i.read_rev, 0)"
             " FROM unnest($1::uuid[]) WITH ORDINALITY AS w (user_id, place) LEFT JOIN inboxes i USING (user_id) ORDER "
             "BY place"};
static const struct pg_statement UNREAD_OF = {
    "unread_of", "SELECT (SELECT count(*) FROM notices n WHERE n.user_id = w.user_id AND n.read_at IS NULL)"
                 " FROM unnest($1::uuid[]) WITH ORDINALITY AS w (user_id, place) ORDER BY place"};
static const struct pg_statement NOTICES_OF = {
    "notices_of", "SELECT w.place, n.* FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS w "
                  "(user_id, after, newest, place)"
                  " CROSS JOIN LATERAL ("
                  "  (SELECT " SQL_NOTICE(
                      "a") " FROM notices a WHERE w.newest = 0 AND a.user_id = w.user_id AND a.seq > w.after"
                           "    ORDER BY a.seq LIMIT $4)"
                           "  UNION ALL"
                           "  (SELECT " SQL_NOTICE(
                               "u") " FROM notices u WHERE w.newest = 1 AND u.user_id = w.user_id AND u.read_at IS NULL"
                                    "    ORDER BY u.seq DESC LIMIT $4)) AS n"
                                    " ORDER BY w.place, n.seq"};
static const struct pg_statement MARKS_OF = {
    "marks_of",
    "SELECT w.place, n.id, n.read_rev FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS w (user_id, rev, place)"
    " CROSS JOIN LATERAL (SELECT id, read_rev FROM notices m WHERE m.user_id = w.user_id AND m.read_rev > w.rev"
    "  ORDER BY m.read_rev LIMIT $3) AS n ORDER BY w.place, n.read_rev"};

bool store_heads(struct pg_pool *db, struct arena *arena, const char *const *ids, size_t count, struct head *heads,
                 struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &HEADS, PARAMS(PG_TEXTS(ids, count)), err);
    for (int row = 0; rows && row < pg_rows(rows); row++)
        heads[row] = (struct head){arena_text(arena, ids[row]), pg_i64(rows, row, 0), pg_i64(rows, row, 1),
                                   pg_i64(rows, row, 2)};
    return rows != NULL;
}

bool store_unread_of(struct pg_pool *db, const char *const *ids, size_t count, int64_t *unread, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &UNREAD_OF, PARAMS(PG_TEXTS(ids, count)), err);
    for (int row = 0; rows && row < pg_rows(rows); row++)
        unread[row] = pg_i64(rows, row, 0);
    return rows != NULL;
}

bool store_notices_of(struct pg_pool *db, struct arena *arena, const char *const *ids, const int64_t *after,
                      const int64_t *unread_newest, size_t count, int64_t limit, struct user_notices *notices,
                      struct err *err)
{
    AUTO(pg_result)
    rows = pg_query(db, &NOTICES_OF,
                    PARAMS(PG_TEXTS(ids, count), PG_I64S(after, count), PG_I64S(unread_newest, count), PG_I64(limit)),
                    err);
    if (!rows)
        return false;
    notices->count = (size_t)pg_rows(rows);
    notices->items = arena_alloc(arena, (notices->count + 1) * sizeof *notices->items);
    for (size_t i = 0; i < notices->count; i++)
        notices->items[i] =
            (struct user_notice){(size_t)pg_i64(rows, (int)i, 0) - 1, row_notice(rows, (int)i, 1, arena)};
    return true;
}

bool store_marks_of(struct pg_pool *db, struct arena *arena, const char *const *ids, const int64_t *revs, size_t count,
                    int64_t limit, struct user_marks *marks, struct err *err)
{
    AUTO(pg_result)
    rows = pg_query(db, &MARKS_OF, PARAMS(PG_TEXTS(ids, count), PG_I64S(revs, count), PG_I64(limit)), err);
    if (!rows)
        return false;
    marks->count = (size_t)pg_rows(rows);
    marks->items = arena_alloc(arena, (marks->count + 1) * sizeof *marks->items);
    for (size_t i = 0; i < marks->count; i++)
        marks->items[i] = (struct user_mark){(size_t)pg_i64(rows, (int)i, 0) - 1,
                                             arena_text(arena, pg_text(rows, (int)i, 1)), pg_i64(rows, (int)i, 2)};
    return true;
}

/* ---- sessions ---- */

static const struct pg_statement MAKE_KEY = {"make_stream_key",
                                             "INSERT INTO stream_keys (key) VALUES ($1) ON CONFLICT DO NOTHING"};
static const struct pg_statement GET_KEY = {"get_stream_key", "SELECT key FROM stream_keys"};
/* The row lock decides between a ticket and the end of its session: whoever comes second sees the other. */
static const struct pg_statement SESSION_OPENS = {
    "session_opens", "INSERT INTO stream_sessions AS s (session_id, user_id) VALUES ($1, $2) ON CONFLICT (session_id)"
                     " DO UPDATE SET used_at = now() WHERE s.ended_at IS NULL AND s.user_id = excluded.user_id"
                     " RETURNING session_id"};
static const struct pg_statement SESSION_FIND = {
    "session_find",
    "UPDATE stream_sessions SET used_at = now() WHERE session_id = $1 AND ended_at IS NULL RETURNING user_id"};

bool store_stream_key(struct pg_pool *db, unsigned char key[STREAM_KEY_BYTES], struct err *err)
{
    crypto_random(key, STREAM_KEY_BYTES);
    if (!pg_exec(db, &MAKE_KEY, PARAMS(PG_BYTES(key, STREAM_KEY_BYTES)), NULL, err))
        return false;
    AUTO(pg_result) row = pg_query(db, &GET_KEY, NO_PARAMS, err);
    AUTO(arena) arena = arena_open(4096);
    if (!row || pg_rows(row) != 1)
        return row ? err_set_internal(err, &ERR_INTERNAL, "table stream_keys is empty") : false;
    const struct view bytes = pg_bytes(row, 0, 0, arena);
    if (bytes.length != STREAM_KEY_BYTES)
        return err_set_internal(err, &ERR_INTERNAL, "the key in stream_keys is not one");
    memcpy(key, bytes.bytes, STREAM_KEY_BYTES);
    return true;
}

bool store_stream_session(struct pg_pool *db, const char *session_id, const char *user_id, struct err *err)
{
    AUTO(pg_result) row = pg_query(db, &SESSION_OPENS, PARAMS(PG_TEXT(session_id), PG_TEXT(user_id)), err);
    return row && (pg_rows(row) == 1 || err_set(err, &ERR_SESSION_ENDED, "the session has ended"));
}

bool store_stream_session_find(struct pg_pool *db, const char *session_id, char user_id[UUID_TEXT_BYTES],
                               struct err *err)
{
    AUTO(pg_result) row = pg_query(db, &SESSION_FIND, PARAMS(PG_TEXT(session_id)), err);
    if (!row)
        return false;
    if (pg_rows(row) == 0)
        return err_set(err, &ERR_SESSION_ENDED, "the session has ended");
    (void)snprintf(user_id, UUID_TEXT_BYTES, "%s", pg_text(row, 0, 0));
    return true;
}
