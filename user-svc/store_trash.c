#include "store.h"

static const struct pg_statement TRASH_ADD = {
    "trash_add", "INSERT INTO trash (key, due) VALUES ($1, now() + $2::bigint * interval '1 second')"};
/* What a profile shows is never in the trash; NOT EXISTS says so once more, because a picture lost is lost. */
static const struct pg_statement TRASH_CLAIM = {
    "trash_claim", "UPDATE trash SET claimed = true, due = now() + interval '1 minute' WHERE key IN"
                   " (SELECT t.key FROM trash t WHERE t.due <= now()"
                   "  AND NOT EXISTS (SELECT FROM people p WHERE p.avatar_key = t.key)"
                   "  ORDER BY t.due LIMIT $1 FOR UPDATE OF t SKIP LOCKED) RETURNING key"};
static const struct pg_statement TRASH_DONE = {"trash_done", "DELETE FROM trash WHERE key = ANY ($1) AND claimed"};

bool store_trash_add(struct pg_pool *db, const char *key, int64_t seconds, struct err *err)
{
    return pg_exec(db, &TRASH_ADD, PARAMS(PG_TEXT(key), PG_I64(seconds)), NULL, err);
}

bool store_trash_claim(struct pg_pool *db, struct arena *arena, struct texts *keys, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &TRASH_CLAIM, PARAMS(PG_I64(TRASH_BATCH)), err);
    if (!rows)
        return false;
    keys->count = (size_t)pg_rows(rows);
    keys->items = arena_alloc(arena, (keys->count + 1) * sizeof(char *));
    for (size_t i = 0; i < keys->count; i++)
        keys->items[i] = arena_text(arena, pg_text(rows, (int)i, 0));
    return true;
}

bool store_trash_done(struct pg_pool *db, const struct texts *keys, struct err *err)
{
    return pg_exec(db, &TRASH_DONE, PARAMS(PG_TEXTS(keys->items, keys->count)), NULL, err);
}
