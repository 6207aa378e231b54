/* json.h - JSON <-> struct by field tables; an appender for hot replies.
 *
 *     static const struct field SIGNUP_FIELDS[] = {
 *         FIELD_TEXT(struct signup, email, .required = true, .min = 3, .max = 254),
 *         FIELD_BOOL(struct signup, cookie),
 *         {0},
 *     };
 *     struct signup wish;
 *     if (!json_decode(arena, body, SIGNUP_FIELDS, &wish, err)) ...
 *
 * Decoding: RFC 8259, one object, at most JSON_DEPTH_MAX deep, valid UTF-8 without NUL, no doubled members, nothing
 * after it. An unknown member, a wrong type, a missing required one or one out of bounds is an err field with its JSON
 * pointer; all wrong fields are told at once. null counts as absent unless .nullable. Text is copied to the arena.
 * Numbers: integers only where the table says i64; 1.0 and 1e3 are refused there. Thread-safe. */
#ifndef MADANG_JSON_H
#define MADANG_JSON_H

#include "arena.h"
#include "errors.h"
#include "str.h"

#include <stdint.h>

enum { JSON_DEPTH_MAX = 16 };

enum field_kind { FIELD_KIND_TEXT, FIELD_KIND_I64, FIELD_KIND_BOOL, FIELD_KIND_TEXTS, FIELD_KIND_UUID, FIELD_KIND_RAW };

/* An array of texts. */
struct texts {
    const char **items;
    size_t count;
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    size_t seen_offset; /* of a bool that tells "was present (null included)"; 0 = none, so never the first member */
    bool required;
    bool nullable; /* JSON null is taken: text becomes NULL, and `seen` is set */
    int64_t min,
        max; /* i64: the value; text: code points; texts: items. max 0 = the default (text: 4000, texts: 100) */
    int64_t item_min, item_max; /* texts: code points of each item (item_max 0 = 200) */
    const char *const *one_of;  /* text: NULL-ended list of the values allowed */
};

#define FIELD_OF(type, member_, kind_, ...)                                                                            \
    {                                                                                                                  \
        .name = #member_, .kind = (kind_), .offset = offsetof(type, member_), ##__VA_ARGS__                            \
    }
/* const char * (NULL when absent) */
#define FIELD_TEXT(type, member, ...) FIELD_OF(type, member, FIELD_KIND_TEXT, ##__VA_ARGS__)
/* const char *: a UUID, lower-cased */
#define FIELD_UUID(type, member, ...) FIELD_OF(type, member, FIELD_KIND_UUID, ##__VA_ARGS__)
/* int64_t (0 when absent) */
#define FIELD_I64(type, member, ...) FIELD_OF(type, member, FIELD_KIND_I64, ##__VA_ARGS__)
/* bool (false when absent) */
#define FIELD_BOOL(type, member, ...) FIELD_OF(type, member, FIELD_KIND_BOOL, ##__VA_ARGS__)
/* struct texts */
#define FIELD_TEXTS(type, member, ...) FIELD_OF(type, member, FIELD_KIND_TEXTS, ##__VA_ARGS__)
/* const char *: any JSON value, printed again without white space */
#define FIELD_RAW(type, member, ...) FIELD_OF(type, member, FIELD_KIND_RAW, ##__VA_ARGS__)
/* For .seen_offset */
#define FIELD_SEEN(type, member) .seen_offset = offsetof(type, member)

/* Reads `body` into *out (zeroed first; its size must cover the table's offsets). */
bool json_decode(struct arena *arena, struct view body, const struct field *table, void *out, size_t out_size,
                 struct err *err);
/* For events: unknown members are skipped (a newer sender), all else as above. */
bool json_decode_lenient(struct arena *arena, struct view body, const struct field *table, void *out, size_t out_size,
                         struct err *err);
#define JSON_DECODE(arena, body, table, out, err) json_decode((arena), (body), (table), (out), sizeof *(out), (err))
#define JSON_DECODE_LENIENT(arena, body, table, out, err)                                                              \
    json_decode_lenient((arena), (body), (table), (out), sizeof *(out), (err))

/* Appends the struct as an object; NULL texts are left out (or null when .nullable). */
void json_encode(struct str *out, const struct field *table, const void *in);

/* The appender. Commas come by themselves: each call looks at the last byte written.
 *     json_open(out, NULL, '{'); json_text(out, "id", id); json_i64(out, "seq", 7); json_close(out, '}');
 * `name` NULL inside arrays. */
void json_open(struct str *out, const char *name, char bracket);
void json_close(struct str *out, char bracket);
void json_text(struct str *out, const char *name, const char *value); /* NULL writes null */
void json_i64(struct str *out, const char *name, int64_t value);
void json_bool(struct str *out, const char *name, bool value);
void json_raw(struct str *out, const char *name, const char *value); /* value is JSON already */
void json_time(struct str *out, const char *name, int64_t at_ms);

#endif
