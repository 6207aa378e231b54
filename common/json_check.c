#include "json_check.h"

#include "json.h"
#include "utf8.h"

#include <math.h>
#include <stdlib.h>

struct reader {
    const char *start, *at, *end;
    int depth;
    size_t values;
    struct json_top *top;
    const char *fault; /* the first one; `at` stays where it was found */
};

static bool fail(struct reader *reader, const char *fault)
{
    if (!reader->fault)
        reader->fault = fault;
    return false;
}

static bool next_is(const struct reader *reader, char c)
{
    return reader->at < reader->end && *reader->at == c;
}

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r'))
        reader->at++;
}

static bool take(struct reader *reader, char c)
{
    if (!next_is(reader, c))
        return false;
    reader->at++;
    return true;
}

static bool take_word(struct reader *reader, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return fail(reader, "unknown word");
    reader->at += length;
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits; -1 when they are not there. */
static int take_hex(struct reader *reader)
{
    int code = 0;
    if (reader->end - reader->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(reader->at[i]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    reader->at += 4;
    return code;
}

static bool take_escape(struct reader *reader)
{
    if (reader->at == reader->end)
        return fail(reader, "unfinished text");
    char c = *reader->at++;
    if (c != 'u')
        return (c && strchr("\"\\/bfnrt", c)) || fail(reader, "unknown escape");
    int code = take_hex(reader);
    if (code < 0)
        return fail(reader, "wrong \\u escape");
    if (code == 0)
        return fail(reader, "zero character");
    if (code >= 0xd800 && code <= 0xdbff) {
        if (!take(reader, '\\') || !take(reader, 'u'))
            return fail(reader, "half of a surrogate pair");
        code = take_hex(reader);
        return (code >= 0xdc00 && code <= 0xdfff) || fail(reader, "half of a surrogate pair");
    }
    return (code < 0xdc00 || code > 0xdfff) || fail(reader, "half of a surrogate pair");
}

static bool take_text(struct reader *reader)
{
    if (!take(reader, '"'))
        return fail(reader, "text in quotes expected");
    while (reader->at < reader->end) {
        unsigned char c = (unsigned char)*reader->at;
        if (c == '"') {
            reader->at++;
            return true;
        }
        if (c < 0x20)
            return fail(reader, "control character in a text");
        if (c < 0x80) {
            reader->at++;
            if (c == '\\' && !take_escape(reader))
                return false;
            continue;
        }
        uint32_t code;
        size_t size = utf8_decode(reader->at, (size_t)(reader->end - reader->at), &code);
        if (!size)
            return fail(reader, "invalid UTF-8");
        reader->at += size;
    }
    return fail(reader, "unfinished text");
}

static size_t take_digits(struct reader *reader)
{
    const char *first = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return (size_t)(reader->at - first);
}

static bool take_number(struct reader *reader)
{
    const char *first = reader->at;
    (void)take(reader, '-');
    const char *whole = reader->at;
    size_t digits = take_digits(reader);
    if (digits == 0)
        return fail(reader, "value expected");
    if (digits > 1 && *whole == '0')
        return fail(reader, "number with a leading zero");
    if (take(reader, '.') && take_digits(reader) == 0)
        return fail(reader, "digits expected after the point");
    if (take(reader, 'e') || take(reader, 'E')) {
        if (!take(reader, '+'))
            (void)take(reader, '-');
        if (take_digits(reader) == 0)
            return fail(reader, "digits expected in the exponent");
    }
    char text[JSON_NUMBER_BYTES + 1];
    size_t length = (size_t)(reader->at - first);
    if (length > JSON_NUMBER_BYTES)
        return fail(reader, "number too long");
    memcpy(text, first, length);
    text[length] = '\0';
    return isfinite(strtod(text, NULL)) || fail(reader, "number too large");
}

static bool take_value(struct reader *reader);

static bool take_array(struct reader *reader)
{
    reader->at++;
    skip_space(reader);
    if (take(reader, ']'))
        return true;
    do {
        if (!take_value(reader))
            return false;
    } while (take(reader, ','));
    return take(reader, ']') || fail(reader, "comma or ] expected");
}

/* Remembers where a value of the outermost object stands. */
static bool note_top(struct reader *reader, const char *first)
{
    struct json_top *top = reader->top;
    if (top->count == JSON_TOP_MAX)
        return fail(reader, "too many members");
    top->values[top->count++] = (struct view){first, (size_t)(reader->at - first)};
    return true;
}

static bool take_object(struct reader *reader)
{
    size_t members = 0;
    reader->at++;
    skip_space(reader);
    if (take(reader, '}'))
        return true;
    do {
        if (++members > JSON_MEMBERS_MAX)
            return fail(reader, "too many members");
        skip_space(reader);
        if (!take_text(reader))
            return false;
        skip_space(reader);
        if (!take(reader, ':'))
            return fail(reader, "colon expected");
        skip_space(reader);
        const char *first = reader->at;
        if (!take_value(reader) || (reader->depth == 1 && !note_top(reader, first)))
            return false;
    } while (take(reader, ','));
    return take(reader, '}') || fail(reader, "comma or } expected");
}

/* One value and the white space around it. */
static bool take_value(struct reader *reader)
{
    bool ok;
    skip_space(reader);
    if (reader->at == reader->end)
        return fail(reader, "value expected");
    if (++reader->values > JSON_VALUES_MAX)
        return fail(reader, "too many values");
    if (reader->depth == JSON_DEPTH_MAX)
        return fail(reader, "nested too deep");
    reader->depth++;
    switch (*reader->at) {
    case '{':
        ok = take_object(reader);
        break;
    case '[':
        ok = take_array(reader);
        break;
    case '"':
        ok = take_text(reader);
        break;
    case 't':
        ok = take_word(reader, "true");
        break;
    case 'f':
        ok = take_word(reader, "false");
        break;
    case 'n':
        ok = take_word(reader, "null");
        break;
    default:
        ok = take_number(reader);
    }
    reader->depth--;
    if (ok)
        skip_space(reader);
    return ok;
}

bool json_check(struct view body, struct json_top *top, struct err *err)
{
    top->count = 0;
    struct reader reader = {.start = body.bytes, .at = body.bytes, .end = body.bytes + body.length, .top = top};
    if (body.length == 0)
        return err_set(err, &ERR_BAD_INPUT, "The body is empty: a JSON object is expected");
    skip_space(&reader);
    if (!next_is(&reader, '{'))
        fail(&reader, "an object is expected");
    else if (take_value(&reader) && reader.at != reader.end)
        fail(&reader, "something follows the object");
    if (reader.fault)
        return err_set(err, &ERR_BAD_INPUT, "The body is not valid JSON: %s (byte %zu)", reader.fault,
                       (size_t)(reader.at - reader.start));
    return true;
}
