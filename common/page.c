#include "page.h"

#include "crypto.h"

#include <string.h>

enum { CURSOR_BYTES = 1 + 8 + 16, CURSOR_TEXT_LENGTH = 34 };

void cursor_print(const struct cursor *cursor, char text[CURSOR_TEXT_BYTES])
{
    unsigned char bytes[CURSOR_BYTES] = {(unsigned char)cursor->kind};
    for (int i = 0; i < 8; i++)
        bytes[1 + i] = (unsigned char)((uint64_t)cursor->number >> (56 - 8 * i));
    struct uuid id = {{0}};
    (void)uuid_parse(cursor->id, &id);
    memcpy(bytes + 9, id.bytes, sizeof id.bytes);
    AUTO_STR encoded;
    str_init(&encoded);
    crypto_base64url(bytes, sizeof bytes, &encoded);
    memcpy(text, encoded.bytes, encoded.length + 1);
}

bool cursor_read(const char *text, char kind, int64_t number_max, struct cursor *cursor, struct err *err)
{
    unsigned char bytes[CURSOR_TEXT_LENGTH];
    const size_t length = strlen(text);
    if (length != CURSOR_TEXT_LENGTH || crypto_base64url_decode(text, length, bytes) != CURSOR_BYTES ||
        bytes[0] != (unsigned char)kind)
        return err_add_field(err, "cursor", "not a cursor of this list");
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | bytes[1 + i];
    if (number > (uint64_t)number_max)
        return err_add_field(err, "cursor", "not a cursor of this list");
    struct uuid id;
    memcpy(id.bytes, bytes + 9, sizeof id.bytes);
    cursor->kind = kind;
    cursor->number = (int64_t)number;
    uuid_format(&id, cursor->id);
    return true;
}

bool page_read(struct request *req, char kind, int64_t number_max, struct page *page, struct err *err)
{
    *page = (struct page){0};
    const char *text = http_query(req, "cursor");
    if (text && !cursor_read(text, kind, number_max, &page->after, err))
        return false;
    page->goes_on = text != NULL;
    return http_query_i64(req, "limit", PAGE_LIMIT_DEFAULT, 1, PAGE_LIMIT_MAX, &page->limit, err);
}

void page_open(struct str *out)
{
    json_open(out, NULL, '{');
    json_open(out, "items", '[');
}

void page_close(struct str *out, const struct cursor *last)
{
    char text[CURSOR_TEXT_BYTES];
    if (last)
        cursor_print(last, text);
    json_close(out, ']');
    json_text(out, "next_cursor", last ? text : NULL);
    json_close(out, '}');
}
