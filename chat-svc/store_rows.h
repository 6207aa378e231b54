/* store_rows.h - columns that several statements share, and how a row becomes a struct: for store_*.c of the readers
 * only. */
#ifndef MADANG_CHAT_STORE_ROWS_H
#define MADANG_CHAT_STORE_ROWS_H

#include "codec.h"
#include "pg.h"

/* Times as microseconds: exact, so keyset cursors meet their row again. */
#define SQL_US(column) "(extract(epoch from " column ") * 1000000)::bigint"
#define SQL_FROM_US(parameter) "'epoch'::timestamptz + " parameter "::bigint * interval '1 microsecond'"
#define AFTER_ALL_US (INT64_C(1) << 57)
#define AFTER_ALL_ID "ffffffff-ffff-ffff-ffff-ffffffffffff"

/* clang-format off */
/* Of m: messages, and p: people LEFT JOINed by sender_id. The column after these is how many have not read it, or -1. */
#define SQL_MESSAGE                                                                                                    \
    "m.room_id, m.seq, m.rev, m.id, m.client_id, m.sender_id, coalesce(p.nickname, ''), coalesce(p.avatar_url, ''),"   \
    " m.kind, m.content, m.file_id, m.reply_to, m.reactions, " SQL_MS("m.edited_at") ", m.deleted_at IS NOT NULL, "    \
    SQL_MS("m.at") ", "
enum { MESSAGE_COLUMNS = 17 };

/* "Not read by": members of room $1 whose mark is behind m.seq; -1 in rooms without marks (r: rooms). The marks are read
 * once, in order, and each message is looked up among them: the statement begins with SQL_MARKS. */
#define SQL_MARKS                                                                                                      \
    "WITH marks AS MATERIALIZED (SELECT array_agg(read_seq ORDER BY read_seq) AS list FROM members WHERE room_id = $1) "
#define SQL_UNREAD_BY                                                                                                  \
    "CASE WHEN r.kind IN ('global', 'company') THEN -1"                                                                \
    " ELSE coalesce(width_bucket(m.seq - 1, (SELECT list FROM marks)), 0) END "
/* clang-format on */

/* Texts are copied to the arena; *unread_by (may be NULL) is what the expression gave. */
struct message row_message(const struct pg_result *rows, int row, int column, struct arena *arena, int64_t *unread_by);
/* A text[] of reactions; never NULL items. */
struct texts row_reactions(const struct pg_result *rows, int row, int column, struct arena *arena);

#endif
