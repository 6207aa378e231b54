#include "scan.h"

enum { DEPTH_MAX = 16 };

static bool broken(struct scan *scan)
{
    scan->broken = true;
    scan->at = scan->end;
    return false;
}

/* The next byte that is no white space; 0 at the end. */
static char peek(struct scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r'))
        scan->at++;
    return scan->at < scan->end ? *scan->at : '\0';
}

static bool take(struct scan *scan, char wanted)
{
    if (peek(scan) != wanted || scan->at == scan->end)
        return broken(scan);
    scan->at++;
    return true;
}

static bool take_word(struct scan *scan, const char *word)
{
    const size_t length = strlen(word);
    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
        return broken(scan);
    scan->at += length;
    return true;
}

bool scan_text(struct scan *scan, struct view *text)
{
    if (!take(scan, '"'))
        return false;
    const char *start = scan->at;
    while (scan->at < scan->end && *scan->at != '"' && *scan->at != '\\' && (unsigned char)*scan->at >= ' ')
        scan->at++;
    *text = (struct view){start, (size_t)(scan->at - start)};
    return take_word(scan, "\"");
}

bool scan_i64(struct scan *scan, int64_t *value)
{
    const bool negative = peek(scan) == '-';
    uint64_t size = 0;
    scan->at += negative;
    const char *start = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        const uint64_t digit = (uint64_t)(*scan->at++ - '0');
        if (size > ((uint64_t)INT64_MAX - digit) / 10)
            return broken(scan);
        size = size * 10 + digit;
    }
    const char next = scan->at < scan->end ? *scan->at : '\0';
    if (scan->at == start || (*start == '0' && scan->at - start > 1) || next == '.' || next == 'e' || next == 'E')
        return broken(scan);
    *value = negative ? -(int64_t)size : (int64_t)size;
    return true;
}

bool scan_bool(struct scan *scan, bool *value)
{
    *value = peek(scan) == 't';
    return take_word(scan, *value ? "true" : "false");
}

bool scan_member(struct scan *scan, bool *first, struct view *name)
{
    if (*first && !take(scan, '{'))
        return false;
    const char next = peek(scan);
    if (next == '}') {
        scan->at++;
        return false;
    }
    if (!*first && !take(scan, ','))
        return false;
    *first = false;
    return scan_text(scan, name) && take(scan, ':');
}

bool scan_item(struct scan *scan, bool *first)
{
    if (*first && !take(scan, '['))
        return false;
    const char next = peek(scan);
    if (next == ']') {
        scan->at++;
        return false;
    }
    if (!*first && !take(scan, ','))
        return false;
    *first = false;
    return true;
}

static bool skip_text(struct scan *scan)
{
    if (!take(scan, '"'))
        return false;
    while (scan->at < scan->end && *scan->at != '"')
        scan->at += *scan->at == '\\' && scan->end - scan->at > 1 ? 2 : 1;
    return take_word(scan, "\"");
}

/* Numbers and words, as far as they go. */
static bool skip_plain(struct scan *scan)
{
    const char *start = scan->at;
    while (scan->at < scan->end &&
           (*scan->at == '+' || *scan->at == '-' || *scan->at == '.' || (*scan->at >= '0' && *scan->at <= '9') ||
            (*scan->at >= 'a' && *scan->at <= 'z') || *scan->at == 'E'))
        scan->at++;
    return scan->at > start || broken(scan);
}

static bool skip_value(struct scan *scan, int depth);

static bool skip_members(struct scan *scan, int depth)
{
    bool first = true;
    take(scan, '{');
    while (!scan->broken && peek(scan) != '}') {
        if (!first && !take(scan, ','))
            return false;
        first = false;
        if (!skip_text(scan) || !take(scan, ':') || !skip_value(scan, depth))
            return false;
    }
    return take(scan, '}');
}

static bool skip_value(struct scan *scan, int depth)
{
    if (depth == DEPTH_MAX)
        return broken(scan);
    switch (peek(scan)) {
    case '"':
        return skip_text(scan);
    case '{':
        return skip_members(scan, depth + 1);
    case '[':
        for (bool first = true; scan_item(scan, &first);)
            if (!skip_value(scan, depth + 1))
                return false;
        return !scan->broken;
    default:
        return skip_plain(scan);
    }
}

bool scan_skip(struct scan *scan)
{
    return skip_value(scan, 0);
}

bool scan_ended(struct scan *scan)
{
    return peek(scan) == '\0' && scan->at == scan->end && !scan->broken;
}
