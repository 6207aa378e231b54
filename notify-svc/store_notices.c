#include "store.h"

#include "store_rows.h"

static const struct pg_statement LIST = {"list_notices",
                                         "SELECT " SQL_NOTICE("n") " FROM notices n WHERE n.user_id = $1 AND n.seq < $2"
                                                                   " ORDER BY n.seq DESC LIMIT $3"};
static const struct pg_statement LIST_UNREAD = {
    "list_unread_notices", "SELECT " SQL_NOTICE("n") " FROM notices n WHERE n.user_id = $1 AND n.seq < $2"
                                                     " AND n.read_at IS NULL ORDER BY n.seq DESC LIMIT $3"};
static const struct pg_statement UNREAD = {"count_unread",
                                           "SELECT count(*) FROM notices WHERE user_id = $1 AND read_at IS NULL"};

/* Read marks are written under the lock of the inbox: its read_rev orders them for all streams. */
static const struct pg_statement LOCK_INBOX = {
    "lock_inbox", "SELECT last_seq, read_up_to, read_rev FROM inboxes WHERE user_id = $1 FOR UPDATE"};
static const struct pg_statement MARK_UP_TO = {
    "mark_up_to", "UPDATE notices SET read_at = now() WHERE user_id = $1 AND seq <= $2 AND read_at IS NULL"};
static const struct pg_statement MARK_IDS = {
    "mark_ids", "UPDATE notices SET read_at = now(), read_rev = $3 WHERE user_id = $1 AND id = ANY ($2::uuid[])"
                " AND read_at IS NULL"};
static const struct pg_statement MOVE_MARK = {
    "move_mark",
    "UPDATE inboxes SET read_up_to = greatest(read_up_to, $2::bigint), read_rev = read_rev + 1 WHERE user_id = $1"};

bool store_list(struct pg_pool *db, struct arena *arena, const char *user_id, bool unread_only, int64_t before,
                int64_t limit, struct notice_page *page, struct err *err)
{
    AUTO(pg_result)
    rows = pg_query(db, unread_only ? &LIST_UNREAD : &LIST,
                    PARAMS(PG_TEXT(user_id), PG_I64(before ? before : INT64_MAX), PG_I64(limit + 1)), err);
    if (!rows)
        return false;
    const int count = pg_rows(rows);
    page->more = count > limit;
    page->count = page->more ? (size_t)limit : (size_t)count;
    page->items = arena_alloc(arena, (page->count + 1) * sizeof *page->items);
    for (size_t i = 0; i < page->count; i++)
        page->items[i] = row_notice(rows, (int)i, 0, arena);
    return true;
}

bool store_unread(struct pg_pool *db, const char *user_id, int64_t *unread, struct err *err)
{
    AUTO(pg_result) row = pg_query(db, &UNREAD, PARAMS(PG_TEXT(user_id)), err);
    if (row)
        *unread = pg_i64(row, 0, 0);
    return row != NULL;
}

struct mark_work {
    const char *user_id;
    const struct read_wish *wish;
    int64_t unread;
    bool changed;
};

static bool mark(struct pg_tx *tx, struct mark_work *work, const struct pg_result *inbox, struct err *err)
{
    const int64_t last_seq = pg_i64(inbox, 0, 0), was_up_to = pg_i64(inbox, 0, 1), rev = pg_i64(inbox, 0, 2);
    const struct read_wish *wish = work->wish;
    const int64_t up_to = wish->up_to < last_seq ? wish->up_to : last_seq;
    int64_t marked = 0;
    const bool good =
        wish->ids_seen
            ? pg_tx_exec(tx, &MARK_IDS,
                         PARAMS(PG_TEXT(work->user_id), PG_TEXTS(wish->ids.items, wish->ids.count), PG_I64(rev + 1)),
                         &marked, err)
            : pg_tx_exec(tx, &MARK_UP_TO, PARAMS(PG_TEXT(work->user_id), PG_I64(up_to)), &marked, err);
    if (!good)
        return false;
    work->changed = marked > 0 || (!wish->ids_seen && up_to > was_up_to);
    return !work->changed ||
           pg_tx_exec(tx, &MOVE_MARK, PARAMS(PG_TEXT(work->user_id), PG_I64(wish->ids_seen ? 0 : up_to)), NULL, err);
}

static bool mark_read(struct pg_tx *tx, void *payload, struct err *err)
{
    struct mark_work *work = payload;
    work->changed = false;
    work->unread = 0;
    AUTO(pg_result) inbox = pg_tx_query(tx, &LOCK_INBOX, PARAMS(PG_TEXT(work->user_id)), err);
    if (!inbox)
        return false;
    if (pg_rows(inbox) == 0)
        return true;
    if (!mark(tx, work, inbox, err))
        return false;
    AUTO(pg_result) unread = pg_tx_query(tx, &UNREAD, PARAMS(PG_TEXT(work->user_id)), err);
    if (unread)
        work->unread = pg_i64(unread, 0, 0);
    return unread != NULL;
}

bool store_mark_read(struct pg_pool *db, const char *user_id, const struct read_wish *wish, int64_t *unread,
                     bool *changed, struct err *err)
{
    struct mark_work work = {.user_id = user_id, .wish = wish};
    if (!pg_transaction(db, mark_read, &work, err))
        return false;
    *unread = work.unread;
    *changed = work.changed;
    return true;
}
