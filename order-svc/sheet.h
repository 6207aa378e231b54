/* sheet.h - columns on their way to unnest(): rows are put in cell by cell, columns come out as parameters. From an
 * arena; as many rows as were asked for. Inline: it is the inner loop of settlement. */
#ifndef MADANG_ORDER_SHEET_H
#define MADANG_ORDER_SHEET_H

#include "arena.h"
#include "pg.h"
#include "uuid.h"

enum { SHEET_COLUMNS = 20 };

struct sheet {
    struct arena *arena;
    size_t room, count; /* rows */
    void *columns[SHEET_COLUMNS];
};

static inline struct sheet sheet_open(struct arena *arena, size_t room)
{
    return (struct sheet){.arena = arena, .room = room ? room : 1};
}

static inline void *sheet_column(struct sheet *sheet, int column, size_t size)
{
    if (!sheet->columns[column])
        sheet->columns[column] = arena_alloc(sheet->arena, sheet->room * size);
    return sheet->columns[column];
}

/* Into the row that ends with the next sheet_end_row(). */
static inline void sheet_uuid(struct sheet *sheet, int column, struct uuid value)
{
    ((struct uuid *)sheet_column(sheet, column, sizeof value))[sheet->count] = value;
}

static inline void sheet_i64(struct sheet *sheet, int column, int64_t value)
{
    ((int64_t *)sheet_column(sheet, column, sizeof value))[sheet->count] = value;
}

static inline void sheet_text(struct sheet *sheet, int column, const char *value)
{
    ((const char **)sheet_column(sheet, column, sizeof value))[sheet->count] = value;
}

static inline void sheet_end_row(struct sheet *sheet)
{
    sheet->count++;
}

#define SHEET_UUIDS(sheet, column) PG_UUIDS((sheet).columns[column], (sheet).count)
#define SHEET_I64S(sheet, column) PG_BIGINTS((const int64_t *)(sheet).columns[column], (sheet).count)
#define SHEET_TEXTS(sheet, column) PG_TEXTS((const char *const *)(sheet).columns[column], (sheet).count)

#endif
