#include "text.h"

#include "mem.h"
#include "utf8.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { BIGRAMS_MAX = 256, EMAIL_MAX = 254, LOCAL_MAX = 64, LABEL_MAX = 63 };

/* ---- Unicode -------------------------------------------------------------------------------------------------------
 */

struct range {
    uint32_t from, to;
};

/* C0, DEL and C1. */
static const struct range CONTROLS[] = {{0x00, 0x1f}, {0x7f, 0x9f}};
/* On one line also what breaks lines, and what turns the direction of the text around it: a name could show itself, and
 * what stands beside it, as something else. */
static const struct range LINE_CONTROLS[] = {{0x2028, 0x202e}, {0x2066, 0x2069}};
/* The property White_Space. */
static const struct range SPACES[] = {{0x09, 0x0d},     {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},
                                      {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                                      {0x205f, 0x205f}, {0x3000, 0x3000}};

static bool within(uint32_t code, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (code >= ranges[i].from && code <= ranges[i].to)
            return true;
    return false;
}

static bool allowed(const char *utf8, size_t length, bool multiline)
{
    for (size_t at = 0, step; at < length; at += step) {
        uint32_t code;
        step = utf8_decode(utf8 + at, length - at, &code);
        if (step == 0)
            return false;
        if (multiline && (code == '\t' || code == '\n'))
            continue;
        if (within(code, CONTROLS, ARRAY_LENGTH(CONTROLS)) ||
            (!multiline && within(code, LINE_CONTROLS, ARRAY_LENGTH(LINE_CONTROLS))))
            return false;
    }
    return true;
}

static char *map(struct arena *arena, const char *utf8, utf8proc_option_t options)
{
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t length =
        utf8proc_map((const utf8proc_uint8_t *)utf8, (utf8proc_ssize_t)strlen(utf8), &mapped, options);
    char *text = length >= 0 ? arena_bytes(arena, mapped, (size_t)length) : NULL;
    free(mapped);
    return text;
}

char *text_nfc(struct arena *arena, const char *utf8, bool multiline)
{
    if (!allowed(utf8, strlen(utf8), multiline))
        return NULL;
    return map(arena, utf8, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
}

char *text_fold(struct arena *arena, const char *utf8)
{
    if (!utf8_valid(utf8, strlen(utf8)))
        return NULL;
    /* IGNORE takes the default ignorables away: names that differ by a zero-width joiner only look the same. */
    return map(arena, utf8, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
}

char *text_trim(struct arena *arena, const char *utf8)
{
    size_t length = strlen(utf8), used = 0;
    char *out = arena_bytes(arena, utf8, length); /* never longer than what came in */
    bool gap = false;
    for (size_t at = 0, step; at < length; at += step) {
        uint32_t code;
        step = utf8_decode(utf8 + at, length - at, &code);
        if (step == 0)
            return NULL;
        if (within(code, SPACES, ARRAY_LENGTH(SPACES))) {
            gap = used > 0;
            continue;
        }
        if (gap)
            out[used++] = ' ';
        gap = false;
        memcpy(out + used, utf8 + at, step);
        used += step;
    }
    out[used] = '\0';
    return out;
}

const char **text_bigrams(struct arena *arena, const char *folded, size_t *count)
{
    const char **bigrams = arena_alloc(arena, BIGRAMS_MAX * sizeof *bigrams);
    uint64_t seen[BIGRAMS_MAX];
    size_t length = strlen(folded), used = 0, previous_step = 0;
    uint32_t previous = 0;
    for (size_t at = 0, step; at < length && used < BIGRAMS_MAX; at += step) {
        uint32_t code;
        step = utf8_decode(folded + at, length - at, &code);
        if (step == 0)
            break;
        if (previous_step > 0) {
            uint64_t pair = (uint64_t)previous << 32 | code;
            size_t i = 0;
            while (i < used && seen[i] != pair)
                i++;
            if (i == used) {
                seen[used] = pair;
                bigrams[used++] = arena_bytes(arena, folded + at - previous_step, previous_step + step);
            }
        }
        previous = code;
        previous_step = step;
    }
    *count = used;
    return bigrams;
}

/* ---- addresses -----------------------------------------------------------------------------------------------------
 */

/* RFC 5321 dot-string. */
static bool is_local_part(const char *text, size_t length)
{
    if (length == 0 || length > LOCAL_MAX || text[0] == '.' || text[length - 1] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        bool atom = c < 0x80 && (isalnum(c) || (c && strchr("!#$%&'*+/=?^_`{|}~-", c)));
        if (!atom && !(c == '.' && text[i - 1] != '.'))
            return false;
    }
    return true;
}

static bool is_label(const char *text, size_t length)
{
    if (length == 0 || length > LABEL_MAX || text[0] == '-' || text[length - 1] == '-')
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80 || (!isalnum(c) && c != '-'))
            return false;
    }
    return true;
}

/* Two labels or more; the last one is no number, so that no IPv4 address passes. */
static bool is_domain(const char *text)
{
    size_t labels = 0;
    for (;;) {
        size_t length = strcspn(text, ".");
        if (!is_label(text, length))
            return false;
        labels++;
        if (text[length] == '\0')
            return labels >= 2 && strspn(text, "0123456789") < length;
        text += length + 1;
    }
}

bool text_is_email(const char *text)
{
    const char *at = strrchr(text, '@');
    return at && strlen(text) <= EMAIL_MAX && is_local_part(text, (size_t)(at - text)) && is_domain(at + 1);
}

char *text_mask_email(struct arena *arena, const char *email)
{
    const char *at = strrchr(email, '@');
    if (!at || at == email)
        return arena_text(arena, "***");
    uint32_t code;
    size_t first = utf8_decode(email, (size_t)(at - email), &code);
    return arena_printf(arena, "%.*s***%s", (int)first, email, at);
}
