/* Bodies: a known length, chunks, or everything until the end of the connection. http1.h has the contract. */
#include "http1.h"

enum {
    CHUNK_SIZE, /* hex digits */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* first byte of a trailer line or of the empty line */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
};

void http1_body_start(struct http1_body *body, enum http1_body_kind kind, int64_t length)
{
    *body = (struct http1_body){.kind = kind};
    if (kind == HTTP1_BODY_LENGTH) {
        body->left = (uint64_t)length;
        if (length == 0)
            body->kind = HTTP1_BODY_NONE;
    }
}

/* Counts what is neither size nor content: extensions and trailers. */
static enum http1_fault chunk_noise(struct http1_body *body)
{
    return ++body->noise > HTTP1_CHUNK_NOISE_MAX || ++body->line > HTTP1_CHUNK_LINE_MAX ? HTTP1_FAULT_CHUNK_NOISE
                                                                                        : HTTP1_FAULT_NONE;
}

static bool hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static bool printable(char c)
{
    return ((unsigned char)c >= 0x20 && c != 0x7f) || c == '\t';
}

static enum http1_fault chunk_size_byte(struct http1_body *body, char c)
{
    if (hex(c)) {
        if (++body->digits > 15)
            return HTTP1_FAULT_CHUNK;
        body->left = body->left * 16 + (uint64_t)hex_value(c);
        return HTTP1_FAULT_NONE;
    }
    if (!body->digits || (c != '\r' && c != ';'))
        return HTTP1_FAULT_CHUNK;
    body->state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
    return HTTP1_FAULT_NONE;
}

/* One byte that is not content. */
static enum http1_fault chunk_byte(struct http1_body *body, char c)
{
    switch (body->state) {
    case CHUNK_SIZE:
        return chunk_size_byte(body, c);
    case CHUNK_EXTENSION:
        if (c == '\r')
            body->state = CHUNK_SIZE_LF;
        else if (!printable(c))
            return HTTP1_FAULT_CHUNK;
        return chunk_noise(body);
    case CHUNK_SIZE_LF:
        body->state = body->left ? CHUNK_DATA : CHUNK_TRAILER;
        body->line = 0;
        return c == '\n' ? HTTP1_FAULT_NONE : HTTP1_FAULT_CHUNK;
    case CHUNK_DATA_CR:
        body->state = CHUNK_DATA_LF;
        return c == '\r' ? HTTP1_FAULT_NONE : HTTP1_FAULT_CHUNK;
    case CHUNK_DATA_LF:
        body->state = CHUNK_SIZE;
        body->digits = 0;
        return c == '\n' ? HTTP1_FAULT_NONE : HTTP1_FAULT_CHUNK;
    case CHUNK_TRAILER:
        body->line = 0;
        body->state = c == '\r' ? CHUNK_END_LF : CHUNK_TRAILER_NAME;
        return c == '\r' || http1_token_byte(c) ? chunk_noise(body) : HTTP1_FAULT_CHUNK;
    case CHUNK_TRAILER_NAME:
        if (c == ':')
            body->state = CHUNK_TRAILER_VALUE;
        else if (!http1_token_byte(c))
            return HTTP1_FAULT_CHUNK;
        return chunk_noise(body);
    case CHUNK_TRAILER_VALUE:
        if (c == '\r')
            body->state = CHUNK_TRAILER_LF;
        else if (!printable(c))
            return HTTP1_FAULT_CHUNK;
        return chunk_noise(body);
    case CHUNK_TRAILER_LF:
        body->state = CHUNK_TRAILER;
        return c == '\n' ? HTTP1_FAULT_NONE : HTTP1_FAULT_CHUNK;
    default: /* CHUNK_END_LF */
        body->kind = HTTP1_BODY_NONE;
        return c == '\n' ? HTTP1_FAULT_NONE : HTTP1_FAULT_CHUNK;
    }
}

static enum http1_result chunked_next(struct http1_body *body, struct view *in, struct view *data,
                                      enum http1_fault *fault)
{
    while (in->length) {
        if (body->state == CHUNK_DATA) {
            size_t size = in->length < body->left ? in->length : (size_t)body->left;
            *data = (struct view){in->bytes, size};
            *in = (struct view){in->bytes + size, in->length - size};
            body->left -= size;
            if (!body->left)
                body->state = CHUNK_DATA_CR;
            return HTTP1_MORE;
        }
        *fault = chunk_byte(body, in->bytes[0]);
        if (*fault != HTTP1_FAULT_NONE)
            return HTTP1_BAD;
        *in = (struct view){in->bytes + 1, in->length - 1};
        if (body->kind == HTTP1_BODY_NONE)
            return HTTP1_DONE;
    }
    return HTTP1_MORE;
}

enum http1_result http1_body_next(struct http1_body *body, struct view *in, struct view *data, enum http1_fault *fault)
{
    *data = (struct view){in->bytes, 0};
    *fault = HTTP1_FAULT_NONE;
    switch (body->kind) {
    case HTTP1_BODY_NONE:
        return HTTP1_DONE;
    case HTTP1_BODY_CHUNKED:
        return chunked_next(body, in, data, fault);
    case HTTP1_BODY_CLOSE:
        *data = *in;
        *in = (struct view){in->bytes + in->length, 0};
        return HTTP1_MORE;
    case HTTP1_BODY_LENGTH:
        break;
    }
    size_t size = in->length < body->left ? in->length : (size_t)body->left;
    *data = (struct view){in->bytes, size};
    *in = (struct view){in->bytes + size, in->length - size};
    body->left -= size;
    if (body->left)
        return HTTP1_MORE;
    body->kind = HTTP1_BODY_NONE;
    return HTTP1_DONE;
}
