/* str.h - a growable string, and a view of bytes that someone else owns.
 * A struct str is NUL-terminated at all times; `length` does not count the NUL. Owner: who called str_init frees with
 * str_free. Growth has no limit of its own: callers append bounded things. Threads: one at a time. */
#ifndef MADANG_STR_H
#define MADANG_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
    const char *bytes; /* not NUL-terminated */
    size_t length;
};

#define VIEW(literal) ((struct view){(literal), sizeof(literal) - 1})
static inline struct view view_of(const char *text)
{
    return (struct view){text, strlen(text)};
}
static inline bool view_equals(struct view a, struct view b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}
bool view_equals_nocase(struct view a, struct view b); /* ASCII case only */

struct str {
    char *bytes;
    size_t length, capacity;
};

#define AUTO_STR __attribute__((cleanup(str_free))) struct str

void str_init(struct str *str);
void str_free(struct str *str); /* leaves an empty str that can be used again */
void str_clear(struct str *str);
void str_reserve(struct str *str, size_t more); /* room for `more` bytes and the NUL */
void str_add(struct str *str, const char *text);
void str_add_bytes(struct str *str, const void *bytes, size_t length);
void str_add_char(struct str *str, char c);
void str_add_i64(struct str *str, int64_t value);
void str_printf(struct str *str, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds `bytes` as a JSON string with quotes. Invalid UTF-8 becomes U+FFFD. */
void str_add_json(struct str *str, const char *bytes, size_t length);
/* Percent-encodes all but RFC 3986 unreserved characters (and '/' when keep_slash). */
void str_add_percent(struct str *str, const char *text, bool keep_slash);

#endif
