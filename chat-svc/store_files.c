#include "store_files.h"

static const struct pg_statement EXPECT_FILE = {
    "expect_file", "INSERT INTO file_trash (key, due) VALUES ($1, now() + interval '10 minutes')"};
static const struct pg_statement ADD_FILE = {
    "add_file",
    "WITH made AS (INSERT INTO files (id, room_id, user_id, key, type, bytes) VALUES ($1, $2, $3, $4, $5, $6)"
    " ON CONFLICT (id) DO NOTHING RETURNING key) DELETE FROM file_trash WHERE key IN (SELECT key FROM made) RETURNING "
    "key"};

bool store_expect_file(struct pg_pool *db, const char *key, struct err *err)
{
    return pg_exec(db, &EXPECT_FILE, PARAMS(PG_TEXT(key)), NULL, err);
}

bool store_add_file(struct pg_pool *db, const struct file *file, struct err *err)
{
    int64_t made = 0;
    if (!pg_exec(db, &ADD_FILE,
                 PARAMS(PG_TEXT(file->id), PG_TEXT(file->room_id), PG_TEXT(file->user_id), PG_TEXT(file->key),
                        PG_TEXT(file->type), PG_I64(file->bytes)),
                 &made, err))
        return false;
    return made > 0 || err_set(err, &ERR_CONFLICT, "the file is there already");
}

#define SQL_FILE "SELECT f.id, f.room_id, f.user_id, f.key, f.type, f.bytes FROM files f "
static const struct pg_statement OWN_FILE = {"own_file", SQL_FILE "WHERE f.id = $1 AND f.user_id = $2"};
static const struct pg_statement FIND_FILE = {
    "find_file", SQL_FILE
    "WHERE f.id = $2 AND f.room_id = $1"
    " AND (EXISTS (SELECT FROM messages m WHERE m.file_id = f.id AND m.room_id = f.room_id AND m.deleted_at IS NULL)"
    "  OR (f.user_id = $3 AND NOT f.used))"};

static bool take_file(const struct pg_result *rows, struct arena *arena, struct file *out, struct err *err)
{
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_NOT_FOUND, "no such file");
    *out = (struct file){
        .id = arena_text(arena, pg_text(rows, 0, 0)),
        .room_id = arena_text(arena, pg_text(rows, 0, 1)),
        .user_id = arena_text(arena, pg_text(rows, 0, 2)),
        .key = arena_text(arena, pg_text(rows, 0, 3)),
        .type = arena_text(arena, pg_text(rows, 0, 4)),
        .bytes = pg_i64(rows, 0, 5),
    };
    return true;
}

bool store_own_file(struct pg_pool *db, struct arena *arena, const char *file_id, const char *user_id, struct file *out,
                    struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &OWN_FILE, PARAMS(PG_TEXT(file_id), PG_TEXT(user_id)), err);
    return take_file(rows, arena, out, err);
}

bool store_find_file(struct pg_pool *db, struct arena *arena, const char *room_id, const char *file_id,
                     const char *viewer_id, struct file *out, struct err *err)
{
    AUTO(pg_result)
    rows = pg_query(db, &FIND_FILE, PARAMS(PG_TEXT(room_id), PG_TEXT(file_id), PG_TEXT(viewer_id)), err);
    return take_file(rows, arena, out, err);
}

/* ---- what goes ---- */

/* Row and trash in one statement: an object is always named by one of the two until it is deleted. */
static const struct pg_statement TRASH_FILES = {
    "trash_files", "WITH gone AS (DELETE FROM files WHERE id = ANY (ARRAY(SELECT id FROM files WHERE NOT used"
                   " AND at < now() - $1::bigint * interval '1 hour' ORDER BY at LIMIT 500 FOR UPDATE SKIP LOCKED)) "
                   "AND NOT used RETURNING key)"
                   " INSERT INTO file_trash (key) SELECT key FROM gone ON CONFLICT DO NOTHING"};
static const struct pg_statement CLAIM = {"claim_trash",
                                          "UPDATE file_trash SET due = now() + interval '1 minute' WHERE key = ANY "
                                          "(ARRAY(SELECT key FROM file_trash WHERE due <= now()"
                                          " ORDER BY due LIMIT 100 FOR UPDATE SKIP LOCKED)) RETURNING key"};
static const struct pg_statement DONE = {"trash_done", "DELETE FROM file_trash WHERE key = ANY ($1::text[])"};

bool store_trash_files(struct pg_pool *db, struct err *err)
{
    return pg_exec(db, &TRASH_FILES, PARAMS(PG_I64(FILE_UNUSED_HOURS)), NULL, err);
}

bool store_trash_claim(struct pg_pool *db, struct arena *arena, struct texts *keys, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &CLAIM, NO_PARAMS, err);
    if (!rows)
        return false;
    keys->items = arena_alloc(arena, ((size_t)pg_rows(rows) + 1) * sizeof(char *));
    keys->count = (size_t)pg_rows(rows);
    for (size_t i = 0; i < keys->count; i++)
        keys->items[i] = arena_text(arena, pg_text(rows, (int)i, 0));
    return true;
}

bool store_trash_done(struct pg_pool *db, const struct texts *keys, struct err *err)
{
    return pg_exec(db, &DONE, PARAMS(PG_TEXTS(keys->items, keys->count)), NULL, err);
}
