/* page.h - keyset pages: where a list goes on, and {items, next_cursor}.
 * A cursor is (number, id, seq) in the list's own order; on the wire base64url of these and the kind, so a cursor of
 * one list is refused by another, and what this list did not give out is bad_input. */
#ifndef MADANG_PAGE_H
#define MADANG_PAGE_H

#include "http.h"
#include "json.h"
#include "uuid.h"

enum { CURSOR_TEXT_BYTES = 48, PAGE_LIMIT_DEFAULT = 20, PAGE_LIMIT_MAX = 100 };

struct cursor {
    char kind;                /* of the list: a letter */
    int64_t number;           /* a time or a sequence; from 0 */
    char id[UUID_TEXT_BYTES]; /* "": all zero */
    int64_t seq;              /* from 0; lists without one leave it */
};
void cursor_print(const struct cursor *cursor, char text[CURSOR_TEXT_BYTES]);
/* `number_max`: what the list's statements bear; PostgreSQL refuses times beyond CURSOR_MS_MAX or CURSOR_US_MAX. */
#define CURSOR_MS_MAX (INT64_C(1) << 47) /* the year 6400 */
#define CURSOR_US_MAX (INT64_C(1) << 57) /* the year 6500 */
bool cursor_read(const char *text, char kind, int64_t number_max, struct cursor *cursor, struct err *err);

/* `limit` (1..100, default 20) and `cursor` of the query. */
struct page {
    int64_t limit;
    bool goes_on;        /* there was a cursor */
    struct cursor after; /* that cursor */
};
bool page_read(struct request *req, char kind, int64_t number_max, struct page *page, struct err *err);
static inline const struct cursor *page_after(const struct page *page)
{
    return page->goes_on ? &page->after : NULL;
}

/* Opens and closes {items, next_cursor}; `last` is the last item shown when there are more, else NULL. */
void page_open(struct str *out);
void page_close(struct str *out, const struct cursor *last);

#endif
