#include "stomp.h"

#include "utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const VERSION_NAMES[STOMP_VERSIONS] = {"1.0", "1.1", "1.2"};

static const struct {
    const char *name;
    enum stomp_command command;
} COMMANDS[] = {
    {"CONNECT", STOMP_CONNECT},
    {"STOMP", STOMP_CONNECT},
    {"SEND", STOMP_SEND},
    {"SUBSCRIBE", STOMP_SUBSCRIBE},
    {"UNSUBSCRIBE", STOMP_UNSUBSCRIBE},
    {"ACK", STOMP_ACK},
    {"NACK", STOMP_NACK},
    {"BEGIN", STOMP_BEGIN},
    {"COMMIT", STOMP_COMMIT},
    {"ABORT", STOMP_ABORT},
    {"DISCONNECT", STOMP_DISCONNECT},
};

static const char TOO_LONG_HEAD[] = "the headers are too long", TOO_LONG_BODY[] = "the body is too long",
                  TOO_MANY_HEADERS[] = "too many headers", TOO_LONG_LINE[] = "a header is too long";

bool stomp_too_large(const char *why)
{
    return why == TOO_LONG_HEAD || why == TOO_LONG_BODY || why == TOO_MANY_HEADERS || why == TOO_LONG_LINE;
}

const char *stomp_version_name(enum stomp_version version)
{
    return VERSION_NAMES[version];
}

const char *stomp_header(const struct stomp_frame *frame, const char *name)
{
    for (size_t i = 0; i < frame->header_count; i++)
        if (strcmp(frame->headers[i].name, name) == 0)
            return frame->headers[i].value;
    return NULL;
}

/* ---- where a frame ends ---- */

void stomp_feed(struct stomp_parser *parser, struct view chunk)
{
    parser->from_kept = parser->kept.length > 0;
    if (parser->from_kept) {
        str_add_bytes(&parser->kept, chunk.bytes, chunk.length);
        parser->input = (struct view){parser->kept.bytes, parser->kept.length};
    } else {
        parser->input = chunk;
    }
}

static void next_frame(struct stomp_parser *parser)
{
    parser->scanned = parser->head_length = 0;
    parser->content_length = -1;
}

static void skip(struct stomp_parser *parser, size_t length)
{
    parser->input.bytes += length;
    parser->input.length -= length;
}

static void skip_line_ends(struct stomp_parser *parser)
{
    if (parser->scanned)
        return; /* inside a frame */
    struct view *input = &parser->input;
    while (input->length &&
           (*input->bytes == '\n' || (*input->bytes == '\r' && input->length > 1 && input->bytes[1] == '\n')))
        skip(parser, 1);
}

/* Everything that is left waits for the next chunk. */
static enum stomp_result keep(struct stomp_parser *parser)
{
    const struct view rest = parser->input;
    if (!rest.length) {
        str_free(&parser->kept);
    } else if (parser->from_kept) {
        memmove(parser->kept.bytes, rest.bytes, rest.length);
        parser->kept.length = rest.length;
        parser->kept.bytes[rest.length] = '\0';
    } else {
        str_clear(&parser->kept);
        str_add_bytes(&parser->kept, rest.bytes, rest.length);
    }
    parser->input = (struct view){0};
    return STOMP_MORE;
}

/* Looks for the empty line; each byte is looked at once, however small the chunks are. */
static const char *find_head(struct stomp_parser *parser)
{
    const char *bytes = parser->input.bytes;
    size_t at = parser->scanned;
    for (; at < parser->input.length; at++) {
        if (bytes[at] == '\0')
            return "a frame ends before its empty line";
        if (bytes[at] != '\n')
            continue;
        if (at && (bytes[at - 1] == '\n' || (bytes[at - 1] == '\r' && at > 1 && bytes[at - 2] == '\n'))) {
            parser->head_length = at + 1;
            parser->scanned = at + 1;
            return at > STOMP_HEAD_MAX ? TOO_LONG_HEAD : NULL;
        }
    }
    parser->scanned = at;
    return at > STOMP_HEAD_MAX ? TOO_LONG_HEAD : NULL;
}

/* ---- the head ---- */

static size_t line_length(const char *line, const char *end, const char **next)
{
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop)
        stop = end;
    *next = stop < end ? stop + 1 : end;
    if (stop > line && stop[-1] == '\r')
        stop--;
    return (size_t)(stop - line);
}

/* Unescapes in place; false: an escape that the version does not have. */
static bool unescape(char *text, enum stomp_version version)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        switch (*++from) {
        case 'n':
            *to++ = '\n';
            break;
        case 'c':
            *to++ = ':';
            break;
        case '\\':
            *to++ = '\\';
            break;
        case 'r':
            if (version < STOMP_1_2)
                return false;
            *to++ = '\r';
            break;
        default:
            return false;
        }
    }
    *to = '\0';
    return true;
}

static void trim(char **text)
{
    *text += strspn(*text, " \t");
    size_t length = strlen(*text);
    while (length && ((*text)[length - 1] == ' ' || (*text)[length - 1] == '\t'))
        (*text)[--length] = '\0';
}

static const char *take_header(struct stomp_frame *frame, char *line, enum stomp_version version)
{
    char *colon = strchr(line, ':');
    if (!colon || colon == line)
        return "a header without a name";
    if (frame->header_count == STOMP_HEADERS_MAX)
        return TOO_MANY_HEADERS;
    *colon = '\0';
    char *name = line, *value = colon + 1;
    if (frame->command != STOMP_CONNECT && version != STOMP_1_0 &&
        (!unescape(name, version) || !unescape(value, version)))
        return "an escape that nobody defined";
    if (version == STOMP_1_0 || frame->command == STOMP_CONNECT) { /* 1.0 clients write "name: value" */
        trim(&name);
        trim(&value);
    }
    frame->headers[frame->header_count++] = (struct stomp_header){name, value};
    return NULL;
}

static const char *take_head(const struct stomp_parser *parser, struct stomp_frame *frame)
{
    const size_t length = parser->head_length;
    if (!utf8_valid(parser->input.bytes, length))
        return "the headers are not UTF-8";
    memcpy(frame->head, parser->input.bytes, length);
    frame->head[length] = '\0';
    frame->header_count = 0;
    const char *end = frame->head + length, *next;
    char *line = frame->head;
    size_t size = line_length(line, end, &next);
    line[size] = '\0';
    size_t i = 0;
    while (i < sizeof COMMANDS / sizeof *COMMANDS && strcmp(COMMANDS[i].name, line) != 0)
        i++;
    if (i == sizeof COMMANDS / sizeof *COMMANDS)
        return "an unknown command";
    frame->command = COMMANDS[i].command;
    while (next < end) {
        line = (char *)(uintptr_t)next;
        size = line_length(line, end, &next);
        if (size == 0)
            break;
        if (size > STOMP_LINE_MAX)
            return TOO_LONG_LINE;
        line[size] = '\0';
        const char *why = take_header(frame, line, parser->version);
        if (why)
            return why;
    }
    return NULL;
}

static const char *content_length_of(const struct stomp_frame *frame, int64_t *length)
{
    *length = -1;
    const char *text = stomp_header(frame, "content-length");
    if (!text)
        return NULL;
    if (!*text || strlen(text) > 9 || text[strspn(text, "0123456789")])
        return strlen(text) > 9 && !text[strspn(text, "0123456789")] ? TOO_LONG_BODY : "content-length is not a number";
    *length = strtoll(text, NULL, 10);
    return *length > STOMP_BODY_MAX ? TOO_LONG_BODY : NULL;
}

/* ---- the next frame ---- */

/* Where the body ends: its length, or -1 when that has not come yet. */
static int64_t find_body(struct stomp_parser *parser, const char **why)
{
    const struct view input = parser->input;
    const size_t start = parser->head_length;
    if (parser->content_length >= 0) {
        const size_t end = start + (size_t)parser->content_length;
        if (input.length <= end)
            return -1;
        if (input.bytes[end] != '\0')
            *why = "content-length does not fit";
        return parser->content_length;
    }
    const char *nul = memchr(input.bytes + parser->scanned, '\0', input.length - parser->scanned);
    parser->scanned = input.length;
    const size_t length = (size_t)((nul ? nul : input.bytes + input.length) - (input.bytes + start));
    if (length > STOMP_BODY_MAX)
        *why = TOO_LONG_BODY;
    return nul ? (int64_t)length : -1;
}

enum stomp_result stomp_next(struct stomp_parser *parser, struct stomp_frame *frame, const char **why)
{
    *why = NULL;
    skip_line_ends(parser);
    if (!parser->input.length || (!parser->scanned && parser->input.length == 1 && *parser->input.bytes == '\r'))
        return keep(parser);
    const bool begins = !parser->head_length;
    if (begins) {
        *why = find_head(parser);
        if (*why)
            return STOMP_BROKEN;
        if (!parser->head_length)
            return keep(parser);
        *why = take_head(parser, frame); /* told at once, not after a body that may never come */
        if (!*why)
            *why = content_length_of(frame, &parser->content_length);
        if (*why)
            return STOMP_BROKEN;
    }
    const int64_t length = find_body(parser, why);
    if (*why)
        return STOMP_BROKEN;
    if (length < 0)
        return keep(parser);
    if (!begins)
        *why = take_head(parser, frame); /* `frame` was used for others meanwhile */
    if (!*why && length && frame->command != STOMP_SEND)
        *why = "only SEND has a body";
    if (*why)
        return STOMP_BROKEN;
    frame->body = (struct view){parser->input.bytes + parser->head_length, (size_t)length};
    const size_t whole = parser->head_length + (size_t)length + 1;
    skip(parser, whole);
    next_frame(parser);
    return STOMP_FRAME;
}

bool stomp_receipt_of_broken(const struct stomp_parser *parser, char *receipt, size_t size)
{
    static const char NAME[] = "\nreceipt:";
    const char *at = memmem(parser->input.bytes, parser->input.length, NAME, sizeof NAME - 1);
    if (!at)
        return false;
    at += sizeof NAME - 1;
    const char *next;
    const size_t left = (size_t)(parser->input.bytes + parser->input.length - at),
                 length = line_length(at, at + left, &next);
    if (length == 0 || length >= size || memchr(at, '\0', length) || memchr(at, '\\', length) ||
        !utf8_valid(at, length))
        return false;
    memcpy(receipt, at, length);
    receipt[length] = '\0';
    return true;
}

void stomp_parser_free(struct stomp_parser *parser)
{
    str_free(&parser->kept);
    parser->input = (struct view){0};
    next_frame(parser);
}

/* ---- encoding ---- */

void stomp_begin(struct str *out, const char *command)
{
    str_add(out, command);
    str_add_char(out, '\n');
}

static void add_escaped(struct str *out, enum stomp_version version, const char *text)
{
    for (; *text; text++) {
        const char *escape = *text == '\n'   ? "\\n"
                             : *text == ':'  ? "\\c"
                             : *text == '\\' ? "\\\\"
                             : *text == '\r' ? "\\r"
                                             : NULL;
        if (version == STOMP_1_0 || (*text == '\r' && version == STOMP_1_1)) {
            str_add_char(out, *text == '\n' || *text == '\r' ? ' ' : *text); /* these can't be said */
        } else if (escape) {
            str_add(out, escape);
        } else {
            str_add_char(out, *text);
        }
    }
}

void stomp_add(struct str *out, enum stomp_version version, const char *name, const char *value)
{
    str_add(out, name);
    str_add_char(out, ':');
    add_escaped(out, version, value);
    str_add_char(out, '\n');
}

void stomp_add_i64(struct str *out, const char *name, int64_t value)
{
    str_add(out, name);
    str_add_char(out, ':');
    str_add_i64(out, value);
    str_add_char(out, '\n');
}

void stomp_end(struct str *out, struct view body)
{
    if (body.length)
        stomp_add_i64(out, "content-length", (int64_t)body.length);
    str_add_char(out, '\n');
    str_add_bytes(out, body.bytes ? body.bytes : "", body.length);
    str_add_bytes(out, "", 1);
}

/* ---- negotiation ---- */

bool stomp_parse_beats(const char *text, int64_t *can_ms, int64_t *wants_ms)
{
    char *end;
    *can_ms = *wants_ms = 0;
    if (!isdigit((unsigned char)*text) || strlen(text) > 24)
        return false;
    *can_ms = strtoll(text, &end, 10);
    if (*end != ',' || !isdigit((unsigned char)end[1]))
        return false;
    *wants_ms = strtoll(end + 1, &end, 10);
    return *end == '\0' && *can_ms >= 0 && *can_ms <= INT32_MAX && *wants_ms <= INT32_MAX;
}

bool stomp_choose_version(const char *accept, enum stomp_version *version)
{
    *version = STOMP_1_0;
    if (!accept || !*accept)
        return true; /* a client of 1.0 does not name it */
    bool found = false;
    for (const char *at = accept; *at;) {
        at += strspn(at, ", ");
        const size_t length = strcspn(at, ", ");
        for (int known = STOMP_1_0; known < STOMP_VERSIONS; known++) {
            if (length == 3 && strncmp(at, VERSION_NAMES[known], 3) == 0 && (!found || known > (int)*version)) {
                *version = (enum stomp_version)known;
                found = true;
            }
        }
        at += length;
    }
    return found;
}
