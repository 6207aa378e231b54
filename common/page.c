#include "page.h"

#include "crypto.h"

#include <string.h>

enum { CURSOR_ID = 1 + 8, CURSOR_SEQ = CURSOR_ID + 16, CURSOR_BYTES = CURSOR_SEQ + 8, CURSOR_TEXT_LENGTH = 44 };

static void put_number(unsigned char *to, int64_t number)
{
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)((uint64_t)number >> (56 - 8 * i));
}

static uint64_t get_number(const unsigned char *from)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | from[i];
    return number;
}

void cursor_print(const struct cursor *cursor, char text[CURSOR_TEXT_BYTES])
{
    unsigned char bytes[CURSOR_BYTES] = {(unsigned char)cursor->kind};
    struct uuid id = {{0}};
    (void)uuid_parse(cursor->id, &id);
    put_number(bytes + 1, cursor->number);
    memcpy(bytes + CURSOR_ID, id.bytes, sizeof id.bytes);
    put_number(bytes + CURSOR_SEQ, cursor->seq);
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
    const uint64_t number = get_number(bytes + 1), seq = get_number(bytes + CURSOR_SEQ);
    if (number > (uint64_t)number_max || seq > INT64_MAX)
        return err_add_field(err, "cursor", "not a cursor of this list");
    struct uuid id;
    memcpy(id.bytes, bytes + CURSOR_ID, sizeof id.bytes);
    *cursor = (struct cursor){.kind = kind, .number = (int64_t)number, .seq = (int64_t)seq};
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
