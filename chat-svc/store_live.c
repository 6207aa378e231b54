#include "store_live.h"

#include "store_rows.h"

/* ---- at connect ---- */

static const struct pg_statement LIVE_ROOMS = {
    "live_rooms", "SELECT r.id, r.kind, r.last_seq, m.read_seq, m.muted, m.hidden, r.rev FROM "
                  "members m JOIN rooms r ON r.id = m.room_id WHERE m.user_id = $1"};
static const struct pg_statement LIVE_FRIENDS = {
    "live_friends", "SELECT b FROM relations WHERE a = $1 AND friend AND blocked_by = '{}'"
                    " UNION ALL SELECT a FROM relations WHERE b = $1 AND friend AND blocked_by = '{}'"};

static bool load_rooms(struct pg_pool *db, struct arena *arena, const char *user_id, struct live_user *user,
                       struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &LIVE_ROOMS, PARAMS(PG_TEXT(user_id)), err);
    if (!rows)
        return false;
    user->room_count = (size_t)pg_rows(rows);
    user->rooms = arena_alloc(arena, (user->room_count + 1) * sizeof *user->rooms);
    for (int row = 0; row < pg_rows(rows); row++) {
        struct live_room *room = &user->rooms[row];
        *room = (struct live_room){
            .room_id = arena_text(arena, pg_text(rows, row, 0)),
            .last_seq = pg_i64(rows, row, 2),
            .read_seq = pg_i64(rows, row, 3),
            .muted = pg_bool(rows, row, 4),
            .hidden = pg_bool(rows, row, 5),
            .rev = pg_i64(rows, row, 6),
        };
        (void)room_kind_parse(pg_text(rows, row, 1), &room->kind);
    }
    return true;
}

bool store_live_user(struct pg_pool *db, struct arena *arena, const char *user_id, struct live_user *user,
                     struct err *err)
{
    *user = (struct live_user){0};
    if (!load_rooms(db, arena, user_id, user, err))
        return false;
    AUTO(pg_result) rows = pg_query(db, &LIVE_FRIENDS, PARAMS(PG_TEXT(user_id)), err);
    if (!rows)
        return false;
    user->friend_count = (size_t)pg_rows(rows);
    user->friends = arena_alloc(arena, (user->friend_count + 1) * sizeof *user->friends);
    for (int row = 0; row < pg_rows(rows); row++)
        user->friends[row] = arena_text(arena, pg_text(rows, row, 0));
    return true;
}

/* ---- at SUBSCRIBE ---- */

/* $3 after, $4 rev (< 0: not asked), $5 limit. One statement is one snapshot: the room's numbers and the messages fit.
 * When more new ones were missed than the limit, nothing is looked up at all. One row more than the limit tells that
 * there are more. */
/* clang-format off */
static const struct pg_statement CATCH_UP = {"catch_up",
    SQL_MARKS "SELECT r.kind, r.last_seq, r.rev, coalesce(c.read_seq, r.last_seq), m.changed, " SQL_MESSAGE SQL_UNREAD_BY
    "FROM rooms r LEFT JOIN members c ON c.room_id = r.id AND c.user_id = $2 LEFT JOIN LATERAL ("
    " (SELECT false AS changed, n.* FROM messages n WHERE n.room_id = $1 AND n.seq > $3::bigint"
    "  AND $3::bigint >= 0 AND r.last_seq - $3::bigint <= $5::bigint ORDER BY n.seq LIMIT $5::bigint + 1)"
    " UNION ALL"
    " (SELECT true, n.* FROM messages n WHERE n.room_id = $1 AND n.rev > $4::bigint AND $4::bigint >= 0"
    "  AND ($3::bigint < 0 OR (n.seq <= $3::bigint AND r.last_seq - $3::bigint <= $5::bigint))"
    "  ORDER BY n.rev LIMIT $5::bigint + 1)"
    ") m ON true LEFT JOIN people p ON p.user_id = m.sender_id "
    "WHERE r.id = $1 AND (c.user_id IS NOT NULL OR r.kind IN ('global', 'company')) ORDER BY m.seq"};
/* clang-format on */
enum { CAUGHT_COLUMN = 5 };

static void take_message(struct arena *arena, const struct pg_result *rows, int row, struct catch_up *out)
{
    struct message_view view = {0};
    const struct message message = row_message(rows, row, CAUGHT_COLUMN, arena, &view.unread_by);
    AUTO_STR text;
    str_init(&text);
    codec_message(&text, NULL, &message, &view);
    out->messages[out->count++] = (struct caught){
        .seq = message.seq,
        .rev = message.rev,
        .changed = pg_bool(rows, row, CAUGHT_COLUMN - 1),
        .message = arena_bytes(arena, text.bytes, text.length),
    };
}

/* Too much was missed, a part of it is not kept any more, or the client has seen what never was (a restored database).
 */
static bool must_reload(const struct catch_up *out, int64_t after, int64_t rev, int limit, size_t fresh, size_t changed)
{
    const int64_t missed = after < 0 ? 0 : out->last_seq - after;
    return missed < 0 || rev > out->rev || missed > limit || (int64_t)fresh < missed || fresh + changed > (size_t)limit;
}

bool store_catch_up(struct pg_pool *db, struct arena *arena, const char *room_id, const char *user_id, int64_t after,
                    int64_t rev, int limit, struct catch_up *out, struct err *err)
{
    *out = (struct catch_up){0};
    AUTO(pg_result)
    rows = pg_query(db, &CATCH_UP,
                    PARAMS(PG_TEXT(room_id), PG_TEXT(user_id), PG_I64(after), PG_I64(rev), PG_I64(limit)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0 || !room_kind_parse(pg_text(rows, 0, 0), &out->kind))
        return err_set(err, &ERR_NOT_FOUND, "no such room");
    out->last_seq = pg_i64(rows, 0, 1);
    out->rev = pg_i64(rows, 0, 2);
    out->read_seq = pg_i64(rows, 0, 3);
    const bool none = pg_is_null(rows, 0, CAUGHT_COLUMN);
    size_t fresh = 0, changed = 0;
    for (int row = 0; !none && row < pg_rows(rows); row++)
        *(pg_bool(rows, row, CAUGHT_COLUMN - 1) ? &changed : &fresh) += 1;
    out->reload = must_reload(out, after, rev, limit, fresh, changed);
    if (none || out->reload)
        return true;
    out->messages = arena_alloc(arena, (fresh + changed + 1) * sizeof *out->messages);
    for (int row = 0; row < pg_rows(rows); row++)
        take_message(arena, rows, row, out);
    return true;
}

/* ---- unread ---- */

static const struct pg_statement UNREAD_OF = {
    "unread_of", "SELECT greatest(coalesce(r.last_seq - m.read_seq, 0), 0) FROM unnest($1::uuid[], $2::uuid[]) WITH "
                 "ORDINALITY AS x (user_id, room_id, n)"
                 " LEFT JOIN members m ON m.room_id = x.room_id AND m.user_id = x.user_id AND NOT m.hidden"
                 " LEFT JOIN rooms r ON r.id = m.room_id ORDER BY x.n"};

bool store_unread_of(struct pg_pool *db, struct arena *arena, const char *const *user_ids, const char *const *room_ids,
                     size_t count, struct unread_row **out, struct err *err)
{
    *out = arena_alloc(arena, (count + 1) * sizeof **out);
    if (count == 0)
        return true;
    AUTO(pg_result) rows = pg_query(db, &UNREAD_OF, PARAMS(PG_TEXTS(user_ids, count), PG_TEXTS(room_ids, count)), err);
    if (!rows)
        return false;
    for (size_t i = 0; i < count && i < (size_t)pg_rows(rows); i++)
        (*out)[i] = (struct unread_row){user_ids[i], room_ids[i], pg_i64(rows, (int)i, 0)};
    return true;
}
