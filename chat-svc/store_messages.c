#include "store_messages.h"

#include "store_rows.h"

struct message row_message(const struct pg_result *rows, int row, int column, struct arena *arena, int64_t *unread_by)
{
    const char *client_id = pg_text(rows, row, column + 4), *sender_id = pg_text(rows, row, column + 5);
    const char *file_id = pg_text(rows, row, column + 10);
    if (unread_by)
        *unread_by = pg_i64(rows, row, column + 16);
    return (struct message){
        .room_id = arena_text(arena, pg_text(rows, row, column)),
        .seq = pg_i64(rows, row, column + 1),
        .rev = pg_i64(rows, row, column + 2),
        .id = arena_text(arena, pg_text(rows, row, column + 3)),
        .client_id = client_id ? arena_text(arena, client_id) : NULL,
        .sender_id = sender_id ? arena_text(arena, sender_id) : NULL,
        .nickname = arena_text(arena, pg_text(rows, row, column + 6)),
        .avatar_url = arena_text(arena, pg_text(rows, row, column + 7)),
        .kind = arena_text(arena, pg_text(rows, row, column + 8)),
        .content = arena_text(arena, pg_text(rows, row, column + 9)),
        .file_id = file_id ? arena_text(arena, file_id) : NULL,
        .reply_to = pg_i64(rows, row, column + 11),
        .reactions = arena_text(arena, pg_text(rows, row, column + 12)),
        .edited_ms = pg_i64(rows, row, column + 13),
        .deleted = pg_bool(rows, row, column + 14),
        .at_ms = pg_i64(rows, row, column + 15),
    };
}

struct texts row_reactions(const struct pg_result *rows, int row, int column, struct arena *arena)
{
    struct texts emojis = pg_texts(rows, row, column, arena);
    if (!emojis.items)
        emojis.items = arena_alloc(arena, sizeof(char *));
    return emojis;
}

/* clang-format off */
/* $1 room, $2 viewer. */
#define SQL_MY_REACTIONS                                                                                               \
    "CASE WHEN m.reactions = '{}' THEN '{}' ELSE ARRAY(SELECT e.emoji FROM reactions e"                                \
    "  WHERE e.room_id = m.room_id AND e.seq = m.seq AND e.user_id = $2 ORDER BY e.emoji) END "
#define SQL_MAY_SEE                                                                                                    \
    "WHERE r.id = $1 AND (r.kind IN ('global', 'company')"                                                             \
    "  OR EXISTS (SELECT FROM members c WHERE c.room_id = r.id AND c.user_id = $2)) "

/* $3 edge, $4 how many. One row without a message: the room is empty here. None: it is not the viewer's. */
#define SQL_HISTORY(side, order)                                                                                       \
    SQL_MARKS "SELECT " SQL_MESSAGE SQL_UNREAD_BY ", " SQL_MY_REACTIONS                                                \
    "FROM rooms r LEFT JOIN LATERAL"                                                                                   \
    "  (SELECT * FROM messages WHERE room_id = $1 AND seq " side " $3 ORDER BY seq " order " LIMIT $4) m ON true "     \
    "LEFT JOIN people p ON p.user_id = m.sender_id " SQL_MAY_SEE "ORDER BY m.seq " order
static const struct pg_statement BACKWARDS = {"history_backwards", SQL_HISTORY("<", "DESC")};
static const struct pg_statement FORWARDS = {"history_forwards", SQL_HISTORY(">", "ASC")};
static const struct pg_statement MY_REACTIONS = {"my_reactions",
    "SELECT " SQL_MY_REACTIONS "FROM rooms r JOIN messages m ON m.room_id = r.id " SQL_MAY_SEE "AND m.seq = $3"};
/* clang-format on */

bool store_history(struct pg_pool *db, struct arena *arena, const struct history_wish *wish, struct seen_message **out,
                   size_t *count, struct err *err)
{
    AUTO(pg_result)
    rows = pg_query(db, wish->forwards ? &FORWARDS : &BACKWARDS,
                    PARAMS(PG_TEXT(wish->room_id), PG_TEXT(wish->viewer_id), PG_I64(wish->edge), PG_I64(wish->limit)),
                    err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_NOT_FOUND, "no such room");
    *count = 0;
    *out = arena_alloc(arena, ((size_t)pg_rows(rows) + 1) * sizeof **out);
    for (int row = 0; row < pg_rows(rows); row++) {
        struct seen_message *seen = &(*out)[*count];
        if (pg_is_null(rows, row, 0))
            continue;
        seen->message = row_message(rows, row, 0, arena, &seen->view.unread_by);
        seen->view.my_reactions = row_reactions(rows, row, MESSAGE_COLUMNS, arena);
        ++*count;
    }
    return true;
}

bool store_my_reactions(struct pg_pool *db, struct arena *arena, const char *room_id, int64_t seq,
                        const char *viewer_id, struct texts *emojis, struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &MY_REACTIONS, PARAMS(PG_TEXT(room_id), PG_TEXT(viewer_id), PG_I64(seq)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_NOT_FOUND, "no such message");
    *emojis = row_reactions(rows, 0, 0, arena);
    return true;
}
