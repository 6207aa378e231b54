#include "http1.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static const struct {
    int status;
    const char *words;
} FAULTS[] = {
#define HTTP1_FAULT_ROW(name, status, words) [name] = {status, words},
    HTTP1_FAULTS(HTTP1_FAULT_ROW)
#undef HTTP1_FAULT_ROW
};

int http1_fault_status(enum http1_fault fault)
{
    return FAULTS[fault].status;
}

const char *http1_fault_words(enum http1_fault fault)
{
    return FAULTS[fault].words;
}

const char *const HTTP1_METHOD_NAMES[HTTP1_METHODS] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

/* ---- classes of bytes ---- */

/* PLAIN: stands for itself in a path, and is no dot. */
enum { IN_TOKEN = 1, IN_PATH = 2, IN_QUERY = 4, IN_HOST = 8, IS_HEX = 16, IS_DIGIT = 32, PLAIN = 64 };

#define ALNUM_CLASS (IN_TOKEN | IN_PATH | IN_QUERY | IN_HOST | PLAIN)
#define UNRESERVED_CLASS (IN_PATH | IN_QUERY | IN_HOST)
static const unsigned char CLASS[256] = {
    ['0' ... '9'] = ALNUM_CLASS | IS_HEX | IS_DIGIT,
    ['a' ... 'f'] = ALNUM_CLASS | IS_HEX,
    ['g' ... 'z'] = ALNUM_CLASS,
    ['A' ... 'F'] = ALNUM_CLASS | IS_HEX,
    ['G' ... 'Z'] = ALNUM_CLASS,
    ['-'] = UNRESERVED_CLASS | IN_TOKEN | PLAIN,
    ['.'] = UNRESERVED_CLASS | IN_TOKEN,
    ['_'] = UNRESERVED_CLASS | IN_TOKEN | PLAIN,
    ['~'] = IN_PATH | IN_QUERY | IN_TOKEN,
    ['!'] = IN_PATH | IN_QUERY | IN_TOKEN,
    ['$'] = IN_PATH | IN_QUERY | IN_TOKEN,
    ['&'] = IN_PATH | IN_QUERY | IN_TOKEN,
    ['\''] = IN_PATH | IN_QUERY | IN_TOKEN,
    ['*'] = IN_PATH | IN_QUERY | IN_TOKEN,
    ['+'] = IN_PATH | IN_QUERY | IN_TOKEN,
    ['('] = IN_PATH | IN_QUERY,
    [')'] = IN_PATH | IN_QUERY,
    [','] = IN_PATH | IN_QUERY,
    [';'] = IN_PATH | IN_QUERY,
    ['='] = IN_PATH | IN_QUERY,
    [':'] = IN_PATH | IN_QUERY,
    ['@'] = IN_PATH | IN_QUERY,
    ['/'] = IN_PATH | IN_QUERY,
    ['?'] = IN_QUERY,
    /* browsers leave these as they are in queries (WHATWG URL); they mean nothing to us */
    ['['] = IN_QUERY,
    [']'] = IN_QUERY,
    ['{'] = IN_QUERY,
    ['}'] = IN_QUERY,
    ['|'] = IN_QUERY | IN_TOKEN,
    ['^'] = IN_QUERY | IN_TOKEN,
    ['`'] = IN_QUERY | IN_TOKEN,
    ['#'] = IN_TOKEN,
    ['%'] = IN_TOKEN,
};

static inline bool is(char c, int class)
{
    return (CLASS[(unsigned char)c] & class) != 0;
}

static int hex_value(char c)
{
    return is(c, IS_DIGIT) ? c - '0' : (c | 0x20) - 'a' + 10;
}

bool http1_token_byte(char c)
{
    return is(c, IN_TOKEN);
}

typedef unsigned char bytes16 __attribute__((vector_size(16)));

/* 0xff where a byte may not stand in a field value: control bytes, among them the tab, which may. */
static inline bytes16 unfit(const char *at)
{
    bytes16 bytes;
    memcpy(&bytes, at, sizeof bytes);
    return (bytes16)(bytes < 0x20) | (bytes16)(bytes == 0x7f);
}

/* Which is the first byte that is 0xff, of bytes that are so or zero; 16: none is. */
static inline unsigned first_set(bytes16 bytes)
{
#ifdef __SSE2__
    const unsigned bits = (unsigned)_mm_movemask_epi8((__m128i)bytes);
    return bits ? (unsigned)__builtin_ctz(bits) : sizeof bytes;
#else
    unsigned at = 0;
    while (at < sizeof bytes && !bytes[at])
        at++;
    return at;
#endif
}

/* The first byte that may not stand in a field value: a control byte other than tab. Many bytes at a time, as tokens
 * and cookies are long. */
static const char *value_end(const char *at, const char *end)
{
    enum { STEP = sizeof(bytes16) };
    while (end - at >= 4 * STEP &&
           first_set(unfit(at) | unfit(at + STEP) | unfit(at + 2 * STEP) | unfit(at + 3 * STEP)) == STEP)
        at += 4 * STEP;
    while (end - at >= STEP) {
        const unsigned fit = first_set(unfit(at));
        at += fit;
        if (fit < STEP && *at++ != '\t')
            return at - 1;
    }
    while (at < end && (((unsigned char)*at >= 0x20 && *at != 0x7f) || *at == '\t'))
        at++;
    return at;
}

/* ---- header lines ---- */

static enum http1_result bad(enum http1_fault *fault, enum http1_fault why)
{
    *fault = why;
    return HTTP1_BAD;
}

/* At `end` with no line end yet: the head must still be able to become a good one. */
static enum http1_result more(size_t length, enum http1_fault *fault)
{
    return length >= HTTP1_HEAD_MAX ? bad(fault, HTTP1_FAULT_HEADERS_LARGE) : HTTP1_MORE;
}

/* CR LF at *at, and steps over it. */
static enum http1_result line_end(const char **at, const char *end, enum http1_fault *fault)
{
    if (*at == end)
        return HTTP1_MORE;
    if (**at != '\r')
        return bad(fault, HTTP1_FAULT_LINE_END);
    if (*at + 1 == end)
        return HTTP1_MORE;
    if ((*at)[1] != '\n')
        return bad(fault, HTTP1_FAULT_LINE_END);
    *at += 2;
    return HTTP1_DONE;
}

/* The colon after a name that is no longer than those we know; NULL: none there. */
static const char *near_colon(const char *at, const char *end)
{
    enum { STEP = sizeof(bytes16) };
    for (; end - at >= STEP; at += STEP) {
        bytes16 bytes;
        memcpy(&bytes, at, sizeof bytes);
        const unsigned before = first_set((bytes16)(bytes == ':'));
        if (before < STEP)
            return at + before;
    }
    return end > at ? memchr(at, ':', (size_t)(end - at)) : NULL;
}

/* The name at the start of a line, up to its colon. One that we know needs no look at each of its bytes. */
static enum http1_result parse_name(const char *at, const char *end, struct http1_header *header,
                                    enum http1_fault *fault)
{
    const ptrdiff_t near = end - at < HTTP1_KNOWN_NAME_MAX + 1 ? end - at : HTTP1_KNOWN_NAME_MAX + 1;
    const char *c = near_colon(at, at + near);
    header->id = HEADER_OTHER;
    header->look_alike = false;
    if (c) {
        header->name = (struct view){at, (size_t)(c - at)};
        header->id = (unsigned char)http1_header_find(header->name, &header->look_alike);
    }
    if (header->id != HEADER_OTHER)
        return HTTP1_DONE;
    for (c = at; c < end && is(*c, IN_TOKEN);)
        c++;
    if (c == end)
        return HTTP1_MORE;
    if (*c != ':' || c == at)
        return bad(fault, c == at && (*c == ' ' || *c == '\t') ? HTTP1_FAULT_FOLD : HTTP1_FAULT_HEADER);
    header->name = (struct view){at, (size_t)(c - at)};
    return HTTP1_DONE;
}

/* One that stands there twice where it must not. */
static enum http1_result note_header(struct http1_headers *headers, enum http1_header_id id, enum http1_fault *fault)
{
    if (!headers->first[id])
        headers->first[id] = (unsigned char)headers->count;
    else if (id == HEADER_CONTENT_LENGTH)
        return bad(fault, HTTP1_FAULT_LENGTH);
    else if (id == HEADER_HOST)
        return bad(fault, HTTP1_FAULT_HOST);
    else if (id == HEADER_TRANSFER_ENCODING)
        return bad(fault, HTTP1_FAULT_CODING);
    else if (HTTP1_HEADER_FLAGS[id] & HEADER_ONCE)
        return bad(fault, HTTP1_FAULT_TWICE);
    return HTTP1_DONE;
}

static enum http1_result parse_header(const char **at, const char *end, struct http1_headers *headers,
                                      enum http1_fault *fault)
{
    struct http1_header found;
    const enum http1_result named = parse_name(*at, end, &found, fault);
    if (named != HTTP1_DONE)
        return named;
    const char *value = found.name.bytes + found.name.length + 1, *stop = value_end(value, end), *c = stop;
    enum http1_result ended = line_end(&c, end, fault);
    if (ended != HTTP1_DONE)
        return ended;
    while (value < stop && (*value == ' ' || *value == '\t'))
        value++;
    while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    if (headers->count == HTTP1_HEADERS_MAX)
        return bad(fault, HTTP1_FAULT_HEADERS_MANY);
    found.value = (struct view){value, (size_t)(stop - value)};
    headers->list[headers->count++] = found;
    *at = c;
    return found.id == HEADER_OTHER ? HTTP1_DONE : note_header(headers, found.id, fault);
}

/* All header lines and the empty line that ends them. */
static enum http1_result parse_headers(const char *bytes, const char **at, const char *end,
                                       struct http1_headers *headers, enum http1_fault *fault)
{
    headers->count = 0;
    memset(headers->first, 0, sizeof headers->first);
    for (;;) {
        if (*at < end && **at == '\r') {
            enum http1_result result = line_end(at, end, fault);
            if (result == HTTP1_DONE && *at - bytes > HTTP1_HEAD_MAX)
                return bad(fault, HTTP1_FAULT_HEADERS_LARGE);
            return result;
        }
        enum http1_result result = *at == end ? HTTP1_MORE : parse_header(at, end, headers, fault);
        if (result != HTTP1_DONE)
            return result;
    }
}

bool http1_list_has(struct view list, const char *token)
{
    struct view wanted = view_of(token);
    const char *at = list.bytes, *end = at + list.length;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end, *last = stop;
        while (at < last && (*at == ' ' || *at == '\t'))
            at++;
        while (last > at && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (view_equals_nocase((struct view){at, (size_t)(last - at)}, wanted))
            return true;
        at = stop + 1;
    }
    return false;
}

static bool connection_has(const struct http1_headers *headers, const char *token)
{
    if (!headers->first[HEADER_CONNECTION])
        return false;
    for (size_t i = headers->first[HEADER_CONNECTION] - 1u; i < headers->count; i++)
        if (headers->list[i].id == HEADER_CONNECTION && http1_list_has(headers->list[i].value, token))
            return true;
    return false;
}

bool http1_connection_names(const struct http1_headers *headers, struct view name)
{
    char text[128];
    if (!headers->first[HEADER_CONNECTION] || name.length >= sizeof text)
        return false;
    memcpy(text, name.bytes, name.length);
    text[name.length] = '\0';
    return connection_has(headers, text);
}

/* Content-Length and Transfer-Encoding, which decide where the body ends. */
static enum http1_result parse_framing(const struct http1_headers *headers, int minor, bool *chunked, int64_t *length,
                                       enum http1_fault *fault)
{
    const struct http1_header *coding = http1_header(headers, HEADER_TRANSFER_ENCODING);
    const struct http1_header *size = http1_header(headers, HEADER_CONTENT_LENGTH);
    *chunked = false;
    *length = -1;
    if (coding && size)
        return bad(fault, HTTP1_FAULT_BOTH);
    if (coding) {
        if (minor == 0)
            return bad(fault, HTTP1_FAULT_CODING_10);
        if (!view_equals_nocase(coding->value, VIEW("chunked")))
            return bad(fault, HTTP1_FAULT_CODING);
        *chunked = true;
    }
    if (!size)
        return HTTP1_DONE;
    if (size->value.length == 0 || size->value.length > 18)
        return bad(fault, HTTP1_FAULT_LENGTH);
    *length = 0;
    for (size_t i = 0; i < size->value.length; i++) {
        if (!is(size->value.bytes[i], IS_DIGIT))
            return bad(fault, HTTP1_FAULT_LENGTH);
        *length = *length * 10 + (size->value.bytes[i] - '0');
    }
    return HTTP1_DONE;
}

/* ---- requests ---- */

/* %XX with two hex digits; the value, or -1. */
static int percent_value(const char *at, const char *end)
{
    if (end - at < 3 || !is(at[1], IS_HEX) || !is(at[2], IS_HEX))
        return -1;
    return hex_value(at[1]) * 16 + hex_value(at[2]);
}

/* One segment from *at up to '/', '?' or the end; counts it in dots when it consists of dots, encoded or not. */
static enum http1_fault path_segment(const char **at, const char *end)
{
    size_t dots = 0, others = 0;
    const char *c = *at;
    while (c < end && *c != '/' && *c != '?') {
        if (is(*c, PLAIN)) {
            others++;
            c++;
            continue;
        }
        int value = (unsigned char)*c;
        size_t step = 1;
        if (*c == '%') {
            value = percent_value(c, end);
            if (value < 0)
                return HTTP1_FAULT_TARGET;
            if (value < 0x20 || value == 0x7f || value == '/' || value == '\\')
                return HTTP1_FAULT_PATH;
            step = 3;
        } else if (*c == '\\') {
            return HTTP1_FAULT_PATH;
        } else if (!is(*c, IN_PATH)) {
            return HTTP1_FAULT_TARGET;
        }
        if (value == '.')
            dots++;
        else
            others++;
        c += step;
    }
    *at = c;
    if (!others && (dots == 1 || dots == 2))
        return HTTP1_FAULT_PATH;
    if (!others && !dots && c < end && *c == '/')
        return HTTP1_FAULT_PATH; /* empty, and not the last one */
    return HTTP1_FAULT_NONE;
}

/* Checks an origin-form target and splits it. */
static enum http1_fault parse_origin_form(struct http1_request *out)
{
    const char *at = out->target.bytes, *end = at + out->target.length;
    while (at < end && *at == '/') {
        at++;
        enum http1_fault fault = path_segment(&at, end);
        if (fault != HTTP1_FAULT_NONE)
            return fault;
    }
    out->path = (struct view){out->target.bytes, (size_t)(at - out->target.bytes)};
    out->query = (struct view){at, 0};
    if (at == end)
        return HTTP1_FAULT_NONE;
    out->query = (struct view){at + 1, (size_t)(end - at - 1)};
    for (at++; at < end; at++)
        if (*at == '%' ? percent_value(at, end) < 0 : !is(*at, IN_QUERY))
            return HTTP1_FAULT_TARGET;
    return HTTP1_FAULT_NONE;
}

/* http://host/path -> the host, and the target as origin-form. */
static enum http1_fault parse_absolute_form(struct http1_request *out, struct view *host)
{
    struct view target = out->target;
    size_t scheme = target.length > 8 && view_equals_nocase((struct view){target.bytes, 8}, VIEW("https://"))  ? 8
                    : target.length > 7 && view_equals_nocase((struct view){target.bytes, 7}, VIEW("http://")) ? 7
                                                                                                               : 0;
    if (!scheme)
        return HTTP1_FAULT_TARGET;
    const char *authority = target.bytes + scheme, *end = target.bytes + target.length, *at = authority;
    while (at < end && *at != '/' && *at != '?')
        at++;
    *host = (struct view){authority, (size_t)(at - authority)};
    if (at < end && *at == '?')
        return HTTP1_FAULT_TARGET; /* http://host?query: legal and never seen; a path must be there */
    out->target = at == end ? VIEW("/") : (struct view){at, (size_t)(end - at)};
    return HTTP1_FAULT_NONE;
}

/* host or [v6], then :port perhaps. */
static bool host_valid(struct view host)
{
    const char *at = host.bytes, *end = at + host.length;
    if (at < end && *at == '[') {
        const char *start = ++at;
        while (at < end && (is(*at, IS_HEX) || *at == ':' || *at == '.'))
            at++;
        if (at == end || *at != ']' || at == start)
            return false;
        at++;
    } else {
        const char *start = at;
        while (at < end && is(*at, IN_HOST))
            at++;
        if (at == start || at - start > 255)
            return false;
    }
    if (at == end)
        return true;
    if (*at++ != ':' || at == end || end - at > 5)
        return false;
    while (at < end && is(*at, IS_DIGIT))
        at++;
    return at == end;
}

static bool find_method(struct view name, enum http1_method *method)
{
    *method = HTTP1_GET;
    if (name.length == 3 && memcmp(name.bytes, "GET", 3) == 0) /* most are */
        return true;
    for (int i = 0; i < HTTP1_METHODS; i++)
        if (view_equals(name, view_of(HTTP1_METHOD_NAMES[i]))) {
            *method = (enum http1_method)i;
            return true;
        }
    return false;
}

/* " HTTP/1.x" and the line end. */
static enum http1_result parse_version(const char **at, const char *end, int *minor, enum http1_fault *fault)
{
    static const char PREFIX[] = "HTTP/1.";
    size_t have = (size_t)(end - *at), want = sizeof PREFIX - 1;
    if (memcmp(*at, "HTTP/", have < 5 ? have : 5) != 0)
        return bad(fault, HTTP1_FAULT_LINE);
    if (memcmp(*at, PREFIX, have < want ? have : want) != 0)
        return bad(fault, HTTP1_FAULT_VERSION);
    if (have <= want)
        return HTTP1_MORE;
    char digit = (*at)[want];
    if (digit != '0' && digit != '1')
        return bad(fault, is(digit, IS_DIGIT) ? HTTP1_FAULT_VERSION : HTTP1_FAULT_LINE);
    *minor = digit - '0';
    *at += want + 1;
    return HTTP1_DONE;
}

static enum http1_result parse_request_line(const char **at, const char *end, struct http1_request *out,
                                            enum http1_fault *fault)
{
    const char *c = *at;
    while (c < end && is(*c, IN_TOKEN))
        c++;
    if (c - *at > 32)
        return bad(fault, HTTP1_FAULT_METHOD);
    if (c == end)
        return HTTP1_MORE;
    if (*c != ' ' || c == *at)
        return bad(fault, HTTP1_FAULT_LINE);
    if (!find_method((struct view){*at, (size_t)(c - *at)}, &out->method))
        return bad(fault, HTTP1_FAULT_METHOD);
    const char *target = ++c;
    while (c < end && (unsigned char)*c > ' ' && (unsigned char)*c < 0x7f)
        c++;
    if (c - target > HTTP1_LINE_MAX)
        return bad(fault, HTTP1_FAULT_TARGET_LONG);
    if (c == end)
        return HTTP1_MORE;
    if (*c != ' ')
        return bad(fault, *c == '\r' || *c == '\n' ? HTTP1_FAULT_LINE : HTTP1_FAULT_TARGET);
    out->target = (struct view){target, (size_t)(c - target)};
    c++;
    if (c == end)
        return HTTP1_MORE;
    enum http1_result result = parse_version(&c, end, &out->minor, fault);
    if (result == HTTP1_DONE)
        result = line_end(&c, end, fault);
    *at = c;
    return result;
}

/* Host against the target, and the target itself. */
static enum http1_fault check_target(struct http1_request *out)
{
    const struct http1_header *host = http1_header(&out->headers, HEADER_HOST);
    if (!host && out->minor == 1)
        return HTTP1_FAULT_HOST;
    if (host && !host_valid(host->value))
        return HTTP1_FAULT_HOST;
    out->host = host ? host->value : VIEW("");
    if (out->target.length == 0)
        return HTTP1_FAULT_TARGET;
    if (out->target.bytes[0] != '/') {
        struct view named;
        enum http1_fault fault = parse_absolute_form(out, &named);
        if (fault != HTTP1_FAULT_NONE)
            return fault;
        if (!host || !view_equals_nocase(named, host->value))
            return HTTP1_FAULT_TARGET_HOST;
    }
    return parse_origin_form(out);
}

static enum http1_fault check_expectation(struct http1_request *out)
{
    const struct http1_header *expect = http1_header(&out->headers, HEADER_EXPECT);
    if (!expect || out->minor == 0)
        return HTTP1_FAULT_NONE;
    if (!view_equals_nocase(expect->value, VIEW("100-continue")))
        return HTTP1_FAULT_EXPECT;
    out->expect_continue = out->chunked || out->content_length > 0;
    return HTTP1_FAULT_NONE;
}

static void check_upgrade(struct http1_request *out)
{
    const struct http1_header *upgrade = http1_header(&out->headers, HEADER_UPGRADE);
    if (!upgrade || out->minor == 0 || !connection_has(&out->headers, "upgrade"))
        return;
    const struct http1_header *key = http1_header(&out->headers, HEADER_WEBSOCKET_KEY);
    const struct http1_header *version = http1_header(&out->headers, HEADER_WEBSOCKET_VERSION);
    out->websocket = view_equals_nocase(upgrade->value, VIEW("websocket")) && out->method == HTTP1_GET &&
                     !out->chunked && out->content_length <= 0 && key && key->value.length == 24 && version &&
                     view_equals(version->value, VIEW("13"));
    out->upgrade = !out->websocket;
}

enum http1_result http1_parse_request(const char *bytes, size_t length, struct http1_request *out,
                                      enum http1_fault *fault)
{
    *fault = HTTP1_FAULT_NONE;
    size_t whole = length;
    if (length > HTTP1_HEAD_MAX + 4) /* a longer head is refused, whatever follows */
        length = HTTP1_HEAD_MAX + 4;
    const char *at = bytes, *end = bytes + length;
    out->expect_continue = out->websocket = out->upgrade = false;
    if (at < end && *at == '\r') { /* one empty line before the request line (RFC 9112 2.2) */
        enum http1_result blank = line_end(&at, end, fault);
        if (blank != HTTP1_DONE)
            return blank;
    }
    enum http1_result result = at == end ? HTTP1_MORE : parse_request_line(&at, end, out, fault);
    if (result == HTTP1_DONE)
        result = parse_headers(bytes, &at, end, &out->headers, fault);
    if (result == HTTP1_MORE)
        return more(whole, fault);
    if (result != HTTP1_DONE)
        return result;
    out->head_length = (size_t)(at - bytes);
    if (parse_framing(&out->headers, out->minor, &out->chunked, &out->content_length, fault) == HTTP1_BAD)
        return HTTP1_BAD;
    *fault = check_target(out);
    if (*fault == HTTP1_FAULT_NONE)
        *fault = check_expectation(out);
    if (*fault != HTTP1_FAULT_NONE)
        return HTTP1_BAD;
    out->keep_alive = out->minor == 1 && !connection_has(&out->headers, "close");
    check_upgrade(out);
    return HTTP1_DONE;
}

/* ---- responses ---- */

static enum http1_result parse_status_line(const char **at, const char *end, struct http1_response *out,
                                           enum http1_fault *fault)
{
    const char *c = *at;
    enum http1_result result = parse_version(&c, end, &out->minor, fault);
    if (result != HTTP1_DONE)
        return result;
    if (end - c < 5) {
        /* " NNN" and one byte more; what is there must fit already */
        for (int i = 0; c + i < end; i++)
            if (i == 0 ? c[0] != ' ' : i < 4 && !is(c[i], IS_DIGIT))
                return bad(fault, HTTP1_FAULT_LINE);
        return HTTP1_MORE;
    }
    if (c[0] != ' ' || c[1] < '1' || c[1] > '5' || !is(c[2], IS_DIGIT) || !is(c[3], IS_DIGIT))
        return bad(fault, HTTP1_FAULT_LINE);
    out->status = (c[1] - '0') * 100 + (c[2] - '0') * 10 + (c[3] - '0');
    c += 4;
    if (*c != ' ' && *c != '\r')
        return bad(fault, HTTP1_FAULT_LINE);
    if (*c == ' ')
        c++;
    const char *reason = c;
    c = value_end(c, end);
    out->reason = (struct view){reason, (size_t)(c - reason)};
    result = line_end(&c, end, fault);
    *at = c;
    return result;
}

enum http1_result http1_parse_response(const char *bytes, size_t length, struct http1_response *out,
                                       enum http1_fault *fault)
{
    *fault = HTTP1_FAULT_NONE;
    size_t whole = length;
    if (length > HTTP1_HEAD_MAX + 4)
        length = HTTP1_HEAD_MAX + 4;
    const char *at = bytes, *end = bytes + length;
    enum http1_result result = at == end ? HTTP1_MORE : parse_status_line(&at, end, out, fault);
    if (result == HTTP1_DONE)
        result = parse_headers(bytes, &at, end, &out->headers, fault);
    if (result == HTTP1_MORE)
        return more(whole, fault);
    if (result != HTTP1_DONE)
        return result;
    out->head_length = (size_t)(at - bytes);
    if (parse_framing(&out->headers, out->minor, &out->chunked, &out->content_length, fault) == HTTP1_BAD)
        return HTTP1_BAD;
    out->keep_alive = out->minor == 1 && !connection_has(&out->headers, "close");
    const struct http1_header *upgrade = http1_header(&out->headers, HEADER_UPGRADE);
    out->websocket = out->status == 101 && upgrade && view_equals_nocase(upgrade->value, VIEW("websocket")) &&
                     connection_has(&out->headers, "upgrade");
    return HTTP1_DONE;
}
