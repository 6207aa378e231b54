/* store_rows.h - a row of `notices` as struct notice: for store_*.c only. */
#ifndef MADANG_NOTIFY_STORE_ROWS_H
#define MADANG_NOTIFY_STORE_ROWS_H

#include "store.h"

#define SQL_NOTICE(n)                                                                                                  \
    n ".seq, " n ".id, " n ".kind, " n ".title, " n ".body, " n ".data, " SQL_MS(n ".at") ", " SQL_MS(n ".read_at")

/* The columns of SQL_NOTICE begin at `column`. */
static inline struct notice row_notice(const struct pg_result *rows, int row, int column, struct arena *arena)
{
    return (struct notice){
        .seq = pg_i64(rows, row, column),
        .id = arena_text(arena, pg_text(rows, row, column + 1)),
        .kind = arena_text(arena, pg_text(rows, row, column + 2)),
        .title = arena_text(arena, pg_text(rows, row, column + 3)),
        .body = arena_text(arena, pg_text(rows, row, column + 4)),
        .data = arena_text(arena, pg_text(rows, row, column + 5)),
        .at_ms = pg_i64(rows, row, column + 6),
        .read_at_ms = pg_i64(rows, row, column + 7),
    };
}

#endif
