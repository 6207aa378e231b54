/* pg_copy.h - rows for COPY ... FROM STDIN (FORMAT binary), which pg_tx_copy() sends:
 *
 *     AUTO_STR rows = {0};
 *     pg_copy_begin(&rows);
 *     char *at = pg_copy_row(&rows, 2, 100);      // columns of this row, bytes of its values at most
 *     at = pg_copy_uuid(at, id);
 *     at = pg_copy_i64(at, 7);
 *     pg_copy_row_end(&rows, at);
 *     pg_copy_end(&rows);
 *
 * Values are of exactly the column's type: nothing is converted. Inline: the inner loop of those who write much. */
#ifndef MADANG_PG_COPY_H
#define MADANG_PG_COPY_H

#include "pg.h"
#include "str.h"
#include "uuid.h"

#include <endian.h>

enum { PG_COPY_VALUE_BYTES = 20 }; /* of a value that is no text, with its length */

static inline char *pg_copy_u16(char *at, uint16_t value)
{
    value = htobe16(value);
    return (char *)memcpy(at, &value, sizeof value) + sizeof value;
}

static inline char *pg_copy_u32(char *at, uint32_t value)
{
    value = htobe32(value);
    return (char *)memcpy(at, &value, sizeof value) + sizeof value;
}

static inline void pg_copy_begin(struct str *rows)
{
    static const char HEAD[19] = "PGCOPY\n\377\r\n\0"; /* and no flags, no extension */
    str_add_bytes(rows, HEAD, sizeof HEAD);
}

static inline char *pg_copy_row(struct str *rows, uint16_t columns, size_t bytes_most)
{
    str_reserve(rows, sizeof columns + bytes_most);
    return pg_copy_u16(rows->bytes + rows->length, columns);
}

static inline void pg_copy_row_end(struct str *rows, const char *at)
{
    rows->length = (size_t)(at - rows->bytes);
}

static inline void pg_copy_end(struct str *rows)
{
    static const unsigned char TAIL[2] = {0xff, 0xff};
    str_add_bytes(rows, TAIL, sizeof TAIL);
}

static inline char *pg_copy_null(char *at)
{
    return pg_copy_u32(at, UINT32_MAX);
}

static inline char *pg_copy_bytes(char *at, const void *bytes, size_t length) /* text too */
{
    return (char *)memcpy(pg_copy_u32(at, (uint32_t)length), bytes, length) + length;
}

static inline char *pg_copy_text(char *at, const char *text) /* NULL: NULL */
{
    return text ? pg_copy_bytes(at, text, strlen(text)) : pg_copy_null(at);
}

static inline char *pg_copy_uuid(char *at, struct uuid value)
{
    return pg_copy_bytes(at, value.bytes, sizeof value.bytes);
}

static inline char *pg_copy_i64(char *at, int64_t value) /* bigint */
{
    const uint64_t wire = htobe64((uint64_t)value);
    return pg_copy_bytes(at, &wire, sizeof wire);
}

static inline char *pg_copy_bool(char *at, bool value)
{
    return pg_copy_bytes(at, value ? "\1" : "\0", 1);
}

static inline char *pg_copy_time(char *at, int64_t unix_ms) /* timestamptz */
{
    enum { YEAR_2000_S = 946684800 }; /* the server counts microseconds from there */
    return pg_copy_i64(at, (unix_ms - INT64_C(1000) * YEAR_2000_S) * 1000);
}

#endif
