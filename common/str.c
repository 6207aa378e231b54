#include "str.h"

#include "mem.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool view_equals_nocase(struct view a, struct view b)
{
    if (a.length != b.length)
        return false;
    for (size_t i = 0; i < a.length; i++) {
        unsigned char x = (unsigned char)a.bytes[i], y = (unsigned char)b.bytes[i];
        if (x != y && ((x | 0x20) != (y | 0x20) || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
            return false;
    }
    return true;
}

void str_init(struct str *str)
{
    *str = (struct str){0};
    str_reserve(str, 0);
}

void str_free(struct str *str)
{
    free(str->bytes);
    *str = (struct str){0};
}

void str_clear(struct str *str)
{
    str->length = 0;
    if (str->bytes)
        str->bytes[0] = '\0';
}

void str_reserve(struct str *str, size_t more)
{
    size_t need = str->length + more + 1;
    if (need <= str->capacity)
        return;
    size_t capacity = str->capacity ? str->capacity : 64;
    while (capacity < need)
        capacity *= 2;
    str->bytes = mem_grow(str->bytes, capacity, 1);
    str->capacity = capacity;
    str->bytes[str->length] = '\0';
}

void str_add_bytes(struct str *str, const void *bytes, size_t length)
{
    str_reserve(str, length);
    if (length)
        memcpy(str->bytes + str->length, bytes, length);
    str->length += length;
    str->bytes[str->length] = '\0';
}

void str_add(struct str *str, const char *text)
{
    str_add_bytes(str, text, strlen(text));
}

void str_add_char(struct str *str, char c)
{
    str_add_bytes(str, &c, 1);
}

void str_add_i64(struct str *str, int64_t value)
{
    char digits[24], *end = digits + sizeof digits, *at = end;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--at = '-';
    str_add_bytes(str, at, (size_t)(end - at));
}

void str_printf(struct str *str, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length > 0) {
        str_reserve(str, (size_t)length);
        (void)vsnprintf(str->bytes + str->length, (size_t)length + 1, format, again);
        str->length += (size_t)length;
    }
    va_end(again);
}

/* Bytes that must be escaped or looked at more closely: controls, quote, backslash and everything above ASCII. */
static bool json_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void json_escape(struct str *str, unsigned char c)
{
    static const char SHORT[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
    if (c < sizeof SHORT && SHORT[c]) {
        str_add_char(str, '\\');
        str_add_char(str, SHORT[c]);
    } else {
        str_printf(str, "\\u%04x", c);
    }
}

void str_add_json(struct str *str, const char *bytes, size_t length)
{
    str_reserve(str, length + 2);
    str_add_char(str, '"');
    for (size_t at = 0; at < length;) {
        size_t plain = at;
        while (plain < length && json_plain((unsigned char)bytes[plain]))
            plain++;
        str_add_bytes(str, bytes + at, plain - at);
        at = plain;
        if (at == length)
            break;
        unsigned char c = (unsigned char)bytes[at];
        if (c < 0x80) {
            json_escape(str, c);
            at++;
            continue;
        }
        uint32_t code;
        size_t size = utf8_decode(bytes + at, length - at, &code);
        if (size)
            str_add_bytes(str, bytes + at, size);
        else
            str_add(str, "\xef\xbf\xbd");
        at += size ? size : 1;
    }
    str_add_char(str, '"');
}

void str_add_percent(struct str *str, const char *text, bool keep_slash)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool alnum = (*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z');
        if (alnum || strchr("-._~", *c) || (keep_slash && *c == '/'))
            str_add_char(str, (char)*c);
        else
            str_printf(str, "%%%02X", *c);
    }
}
