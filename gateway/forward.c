#include "forward.h"

#include "cors.h"
#include "problems.h"

#include <endian.h>

/* ---- writing ---- */

void write_bytes(struct writer *writer, const void *bytes, size_t length)
{
    if ((size_t)(writer->end - writer->at) < length) {
        writer->full = true;
        return;
    }
    memcpy(writer->at, bytes, length);
    writer->at += length;
}

void write_view(struct writer *writer, struct view view)
{
    write_bytes(writer, view.bytes, view.length);
}

void write_text(struct writer *writer, const char *text)
{
    write_bytes(writer, text, strlen(text));
}

void write_number(struct writer *writer, int64_t number)
{
    char digits[24], *end = digits + sizeof digits, *at = end;
    uint64_t rest = number < 0 ? 0 : (uint64_t)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    write_bytes(writer, at, (size_t)(end - at));
}

void write_header(struct writer *out, const struct http1_header *header)
{
    write_view(out, header->name);
    WRITE_LITERAL(out, ": ");
    write_view(out, header->value);
    WRITE_LITERAL(out, "\r\n");
}

/* ---- who and which ---- */

/* The eight digits of a number, the first of them in the highest byte: each half byte gets a byte of its own, and
 * those above nine are moved on to the letters. */
static uint64_t hex_digits(uint64_t number)
{
    number = (number << 16 | number) & 0x0000ffff0000ffffu;
    number = (number << 8 | number) & 0x00ff00ff00ff00ffu;
    number = (number << 4 | number) & 0x0f0f0f0f0f0f0f0fu;
    const uint64_t letters = (number + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    return number + 0x3030303030303030u + letters * ('a' - '0' - 10);
}

static void write_hex(char *out, uint64_t number)
{
    const uint64_t halves[2] = {htobe64(hex_digits(number >> 32)), htobe64(hex_digits(number & UINT32_MAX))};
    memcpy(out, halves, sizeof halves);
}

static bool lower_hex(const char *at, size_t length, bool *nonzero)
{
    *nonzero = false;
    for (size_t i = 0; i < length; i++) {
        if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f')))
            return false;
        *nonzero |= at[i] != '0';
    }
    return true;
}

/* W3C Trace Context: version, trace id, parent id, flags; later versions may have more behind them. */
static bool traceparent_valid(struct view value)
{
    bool nonzero;
    const char *at = value.bytes;
    if (value.length < 55 || at[2] != '-' || at[35] != '-' || at[52] != '-' || (value.length > 55 && at[55] != '-'))
        return false;
    if (!lower_hex(at, 2, &nonzero) || memcmp(at, "ff", 2) == 0 || (memcmp(at, "00", 2) == 0 && value.length > 55))
        return false;
    return lower_hex(at + 3, 32, &nonzero) && nonzero && lower_hex(at + 36, 16, &nonzero) && nonzero &&
           lower_hex(at + 53, 2, &nonzero);
}

static bool request_id_valid(struct view id)
{
    if (!id.length || id.length >= REQUEST_ID_BYTES)
        return false;
    for (size_t i = 0; i < id.length; i++) {
        char c = id.bytes[i];
        if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* Of several lines the last: a proxy that adds a line of its own adds it behind what the client sent. */
static const struct http1_header *last_chain(const struct http1_headers *headers)
{
    for (size_t i = headers->first[HEADER_FORWARDED_FOR] ? headers->count : 0; i-- > 0;)
        if (headers->list[i].id == HEADER_FORWARDED_FOR)
            return &headers->list[i];
    return NULL;
}

/* The last address in X-Forwarded-For that is none of our proxies. */
static void believe_forwarded(struct exchange *x)
{
    const struct networks *trusted = &x->loop->gateway->trusted;
    const struct http1_header *chain = last_chain(&x->loop->request.headers);
    struct address address = x->client->address;
    const char *at = chain ? chain->value.bytes + chain->value.length : NULL;
    while (chain && at > chain->value.bytes && networks_have(trusted, &address)) {
        const char *end = at;
        while (at > chain->value.bytes && at[-1] != ',')
            at--;
        const char *start = at;
        while (start < end && *start == ' ')
            start++;
        while (end > start && end[-1] == ' ')
            end--;
        if (!address_parse((struct view){start, (size_t)(end - start)}, &address))
            break;
        if (at > chain->value.bytes)
            at--; /* the comma */
    }
    x->peer = address;
    address_print(&x->peer, x->address);
}

void forward_identify(struct exchange *x)
{
    const struct http1_headers *headers = &x->loop->request.headers;
    x->peer = x->client->address;
    x->proxied = networks_have(&x->loop->gateway->trusted, &x->client->address);
    memcpy(x->address, x->client->address_text, sizeof x->address);
    if (x->proxied)
        believe_forwarded(x);
    const struct http1_header *parent = http1_header(headers, HEADER_TRACEPARENT);
    x->traced = parent && traceparent_valid(parent->value);
    if (x->traced) {
        memcpy(x->trace_id, parent->value.bytes + 3, 32);
        memcpy(x->parent_span, parent->value.bytes + 36, 16);
        memcpy(x->trace_flags, parent->value.bytes + 53, 2);
    } else {
        write_hex(x->trace_id, loop_random(x->loop));
        write_hex(x->trace_id + 16, loop_random(x->loop));
        const bool sampled = loop_random(x->loop) % 100 < (uint64_t)x->loop->gateway->config->trace_percent;
        memcpy(x->trace_flags, sampled ? "01" : "00", 2);
    }
    write_hex(x->span, loop_random(x->loop) | 1);
    x->trace_id[32] = '\0';
    const struct http1_header *id = http1_header(headers, HEADER_REQUEST_ID);
    if (id && request_id_valid(id->value))
        memcpy(x->request_id, id->value.bytes, id->value.length);
    else
        memcpy(x->request_id, x->trace_id, 32);
    x->request_id[id && request_id_valid(id->value) ? id->value.length : 32] = '\0';
}

/* ---- to the service ---- */

bool forward_passes(const struct http1_headers *headers, const struct http1_header *header, int ours)
{
    if (header->look_alike || (HTTP1_HEADER_FLAGS[header->id] & (HEADER_HOP | ours)))
        return false;
    return !headers->first[HEADER_CONNECTION] || !http1_connection_names(headers, header->name);
}

/* One address: whom we believe to be the client. Services know us, not the proxies in front of us: of a chain they
 * would take the nearest of those for everybody's address. */
static void write_forwarded(struct exchange *x, struct writer *out)
{
    const struct http1_headers *headers = &x->loop->request.headers;
    const struct http1_header *scheme = x->proxied ? http1_header(headers, HEADER_FORWARDED_PROTO) : NULL;
    bool https = scheme ? view_equals_nocase(scheme->value, VIEW("https")) : x->client->tls != NULL;
    WRITE_LITERAL(out, "X-Forwarded-For: ");
    write_text(out, x->address);
    WRITE_LITERAL(out, "\r\nX-Forwarded-Proto: ");
    write_text(out, https ? "https" : "http");
    /* RFC 7239 */
    bool v4 = address_is_v4(&x->peer);
    write_text(out, v4 ? "\r\nForwarded: for=" : "\r\nForwarded: for=\"[");
    write_text(out, x->address);
    write_text(out, v4 ? ";proto=" : "]\";proto=");
    write_text(out, https ? "https\r\n" : "http\r\n");
}

static void write_trace(struct exchange *x, struct writer *out)
{
    const struct http1_headers *headers = &x->loop->request.headers;
    const struct http1_header *state = http1_header(headers, HEADER_TRACESTATE);
    WRITE_LITERAL(out, "X-Request-Id: ");
    write_text(out, x->request_id);
    WRITE_LITERAL(out, "\r\ntraceparent: 00-");
    write_text(out, x->trace_id);
    WRITE_LITERAL(out, "-");
    write_bytes(out, x->span, 16);
    WRITE_LITERAL(out, "-");
    write_bytes(out, x->trace_flags, 2);
    WRITE_LITERAL(out, "\r\n");
    if (x->traced && state)
        write_header(out, state);
}

bool forward_request(struct exchange *x, struct err *err)
{
    const struct http1_request *request = &x->loop->request;
    const struct http1_headers *headers = &request->headers;
    const size_t room = request->head_length + 768;
    struct buffer *buffer = x->request = buffer_take(&x->loop->buffers, room);
    struct writer out = {buffer->bytes, buffer->bytes + buffer->capacity, false};
    write_text(&out, HTTP1_METHOD_NAMES[request->method]);
    WRITE_LITERAL(&out, " ");
    write_view(&out, request->target);
    WRITE_LITERAL(&out, " HTTP/1.1\r\nHost: ");
    write_view(&out, request->host.length ? request->host : VIEW("localhost"));
    WRITE_LITERAL(&out, "\r\n");
    for (size_t i = 0; i < headers->count; i++)
        if (forward_passes(headers, &headers->list[i], HEADER_REQ))
            write_header(&out, &headers->list[i]);
    write_trace(x, &out);
    write_forwarded(x, &out);
    if (request->chunked) {
        WRITE_LITERAL(&out, "Transfer-Encoding: chunked\r\n");
    } else if (request->content_length >= 0) {
        WRITE_LITERAL(&out, "Content-Length: ");
        write_number(&out, request->content_length);
        WRITE_LITERAL(&out, "\r\n");
    }
    if (x->websocket)
        WRITE_LITERAL(&out, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    WRITE_LITERAL(&out, "\r\n");
    buffer->end = (uint32_t)(out.at - buffer->bytes);
    return !out.full || err_set(err, &ERR_HEADERS_TOO_LARGE, "the headers are too large");
}

/* ---- to the client ---- */

static void write_limit(struct exchange *x, struct writer *out)
{
    if (!x->limit_rate)
        return;
    WRITE_LITERAL(out, "RateLimit-Policy: \"");
    write_text(out, x->limit_name);
    WRITE_LITERAL(out, "\";q=");
    write_number(out, x->limit_rate->events);
    WRITE_LITERAL(out, ";w=");
    write_number(out, x->limit_rate->per_ms / 1000);
    WRITE_LITERAL(out, "\r\nRateLimit: \"");
    write_text(out, x->limit_name);
    WRITE_LITERAL(out, "\";r=");
    write_number(out, x->limit.left);
    WRITE_LITERAL(out, ";t=");
    write_number(out, x->limit.full_s);
    WRITE_LITERAL(out, "\r\n");
}

void forward_common(struct exchange *x, struct writer *out, bool has_policy)
{
    WRITE_LITERAL(out, "X-Request-Id: ");
    write_text(out, x->request_id);
    WRITE_LITERAL(out,
                  "\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\n");
    if (!has_policy)
        WRITE_LITERAL(out, "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n");
    if (x->client->tls)
        WRITE_LITERAL(out, "Strict-Transport-Security: max-age=31536000\r\n");
    write_limit(x, out);
    if (x->origin[0]) {
        if (x->origin_allowed) {
            WRITE_LITERAL(out, "Access-Control-Allow-Origin: ");
            write_text(out, x->origin);
            WRITE_LITERAL(out, "\r\n");
            write_text(out, CORS_EXPOSED);
        }
        WRITE_LITERAL(out, "Vary: Origin\r\n");
    }
}

/* How the client learns where the body ends. */
static void write_framing(struct exchange *x, const struct http1_response *response, struct writer *out)
{
    if (response->content_length >= 0 && !x->chunk_response && response->status != 204 && !x->tunnel) {
        WRITE_LITERAL(out, "Content-Length: ");
        write_number(out, response->content_length);
        WRITE_LITERAL(out, "\r\n");
    } else if (x->chunk_response) {
        WRITE_LITERAL(out, "Transfer-Encoding: chunked\r\n");
    }
    if (x->tunnel)
        WRITE_LITERAL(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    else if (!x->keep_alive)
        WRITE_LITERAL(out, "Connection: close\r\n");
}

void forward_response(struct exchange *x, struct writer *out)
{
    const struct http1_response *response = &x->loop->response;
    const struct http1_headers *headers = &response->headers;
    WRITE_LITERAL(out, "HTTP/1.1 ");
    write_number(out, response->status);
    WRITE_LITERAL(out, " ");
    write_view(out, response->reason);
    WRITE_LITERAL(out, "\r\n");
    for (size_t i = 0; i < headers->count; i++)
        if (forward_passes(headers, &headers->list[i], HEADER_RES))
            write_header(out, &headers->list[i]);
    forward_common(x, out, headers->first[HEADER_CONTENT_SECURITY_POLICY] != 0);
    write_framing(x, response, out);
    WRITE_LITERAL(out, "\r\n");
}
