/* http1.h - HTTP/1.1 on the wire (RFC 9112), read so that no second reader can read it differently.
 *
 * Idea: a head is parsed whole from the bytes at hand; too few bytes give HTTP1_MORE and the same call is made again
 * with more, so the result never depends on how the bytes were cut. Bodies go through a small decoder that keeps its
 * place. What could be read in two ways is a fault, never repaired: both lengths, two lengths, bare LF or CR, space
 * before a colon, folded lines, control bytes, odd chunk sizes, codings other than exactly "chunked". Pure: no I/O, no
 * allocation, no clock. Views point into the caller's bytes. */
#ifndef GATEWAY_HTTP1_H
#define GATEWAY_HTTP1_H

#include "str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP1_LINE_MAX = 8192,  /* request target */
    HTTP1_HEAD_MAX = 16384, /* request or status line and all header lines */
    HTTP1_HEADERS_MAX = 100,
    HTTP1_KNOWN_NAME_MAX = 39,    /* of a header with an id */
    HTTP1_CHUNK_LINE_MAX = 256,   /* one chunk's size and extensions */
    HTTP1_CHUNK_NOISE_MAX = 4096, /* extensions and trailers of one body */
};

enum http1_result { HTTP1_MORE, HTTP1_DONE, HTTP1_BAD };

/* Why a head or body was refused: the status for a client (an upstream's fault is always 502) and words for its reply.
 */
#define HTTP1_FAULTS(X)                                                                                                \
    X(HTTP1_FAULT_NONE, 0, "")                                                                                         \
    X(HTTP1_FAULT_LINE, 400, "the first line is not valid HTTP/1.1")                                                   \
    X(HTTP1_FAULT_VERSION, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here")                                          \
    X(HTTP1_FAULT_METHOD, 501, "this method is not supported")                                                         \
    X(HTTP1_FAULT_TARGET, 400, "the request target is not valid")                                                      \
    X(HTTP1_FAULT_TARGET_LONG, 414, "the request target is too long")                                                  \
    X(HTTP1_FAULT_PATH, 400, "dot segments, empty segments and encoded slashes are refused")                           \
    X(HTTP1_FAULT_TARGET_HOST, 400, "the target names another host than the Host header")                              \
    X(HTTP1_FAULT_HEADER, 400, "a header line is not valid")                                                           \
    X(HTTP1_FAULT_FOLD, 400, "folded header lines are refused")                                                        \
    X(HTTP1_FAULT_LINE_END, 400, "lines end with CR LF and hold no control bytes")                                     \
    X(HTTP1_FAULT_HEADERS_LARGE, 431, "the headers are too large")                                                     \
    X(HTTP1_FAULT_HEADERS_MANY, 431, "too many headers")                                                               \
    X(HTTP1_FAULT_HOST, 400, "exactly one valid Host header is needed")                                                \
    X(HTTP1_FAULT_TWICE, 400, "a header that must be single is there twice")                                           \
    X(HTTP1_FAULT_LENGTH, 400, "Content-Length is not one plain number")                                               \
    X(HTTP1_FAULT_BOTH, 400, "Content-Length and Transfer-Encoding exclude each other")                                \
    X(HTTP1_FAULT_CODING, 501, "the only transfer coding is chunked")                                                  \
    X(HTTP1_FAULT_CODING_10, 400, "HTTP/1.0 has no Transfer-Encoding")                                                 \
    X(HTTP1_FAULT_EXPECT, 417, "the only expectation is 100-continue")                                                 \
    X(HTTP1_FAULT_CHUNK, 400, "the chunked body is not valid")                                                         \
    X(HTTP1_FAULT_CHUNK_NOISE, 400, "chunk extensions or trailers are too large")

enum http1_fault {
#define HTTP1_FAULT_NAME(name, status, words) name,
    HTTP1_FAULTS(HTTP1_FAULT_NAME)
#undef HTTP1_FAULT_NAME
};
int http1_fault_status(enum http1_fault fault);
const char *http1_fault_words(enum http1_fault fault);

enum http1_method {
    HTTP1_GET,
    HTTP1_HEAD,
    HTTP1_POST,
    HTTP1_PUT,
    HTTP1_PATCH,
    HTTP1_DELETE,
    HTTP1_OPTIONS,
    HTTP1_METHODS
};
extern const char *const HTTP1_METHOD_NAMES[HTTP1_METHODS];

/* What we do with a header by its name. HOP: concerns one connection, never passed on. REQ, RES: ours to write on the
 * way to the service or to the client, so a foreign one is dropped. ONCE: two of them in a request are a fault. */
enum { HEADER_HOP = 1, HEADER_REQ = 2, HEADER_RES = 4, HEADER_ONCE = 8 };
#define HTTP1_HEADER_TABLE(X)                                                                                          \
    X(HEADER_HOST, "host", HEADER_REQ)                                                                                 \
    X(HEADER_CONTENT_LENGTH, "content-length", HEADER_REQ | HEADER_RES)                                                \
    X(HEADER_TRANSFER_ENCODING, "transfer-encoding", HEADER_HOP)                                                       \
    X(HEADER_CONNECTION, "connection", HEADER_HOP)                                                                     \
    X(HEADER_KEEP_ALIVE, "keep-alive", HEADER_HOP)                                                                     \
    X(HEADER_PROXY_CONNECTION, "proxy-connection", HEADER_HOP)                                                         \
    X(HEADER_PROXY_AUTHENTICATE, "proxy-authenticate", HEADER_HOP)                                                     \
    X(HEADER_PROXY_AUTHORIZATION, "proxy-authorization", HEADER_HOP)                                                   \
    X(HEADER_TE, "te", HEADER_HOP)                                                                                     \
    X(HEADER_TRAILER, "trailer", HEADER_HOP)                                                                           \
    X(HEADER_UPGRADE, "upgrade", HEADER_HOP | HEADER_ONCE)                                                             \
    X(HEADER_HTTP2_SETTINGS, "http2-settings", HEADER_HOP)                                                             \
    X(HEADER_EXPECT, "expect", HEADER_HOP | HEADER_ONCE)                                                               \
    X(HEADER_AUTHORIZATION, "authorization", HEADER_ONCE)                                                              \
    X(HEADER_COOKIE, "cookie", 0)                                                                                      \
    X(HEADER_CONTENT_TYPE, "content-type", HEADER_ONCE)                                                                \
    X(HEADER_IDEMPOTENCY_KEY, "idempotency-key", HEADER_ONCE)                                                          \
    X(HEADER_ACCEPT_LANGUAGE, "accept-language", 0)                                                                    \
    X(HEADER_ORIGIN, "origin", HEADER_ONCE)                                                                            \
    X(HEADER_REQUEST_METHOD, "access-control-request-method", 0)                                                       \
    X(HEADER_REQUEST_HEADERS, "access-control-request-headers", 0)                                                     \
    X(HEADER_WEBSOCKET_KEY, "sec-websocket-key", HEADER_ONCE)                                                          \
    X(HEADER_WEBSOCKET_VERSION, "sec-websocket-version", HEADER_ONCE)                                                  \
    X(HEADER_REQUEST_ID, "x-request-id", HEADER_REQ | HEADER_RES)                                                      \
    X(HEADER_TRACEPARENT, "traceparent", HEADER_REQ)                                                                   \
    X(HEADER_TRACESTATE, "tracestate", HEADER_REQ)                                                                     \
    X(HEADER_FORWARDED, "forwarded", HEADER_REQ)                                                                       \
    X(HEADER_FORWARDED_FOR, "x-forwarded-for", HEADER_REQ)                                                             \
    X(HEADER_FORWARDED_PROTO, "x-forwarded-proto", HEADER_REQ)                                                         \
    X(HEADER_FORWARDED_HOST, "x-forwarded-host", HEADER_REQ)                                                           \
    X(HEADER_FORWARDED_PORT, "x-forwarded-port", HEADER_REQ)                                                           \
    X(HEADER_FORWARDED_PREFIX, "x-forwarded-prefix", HEADER_REQ)                                                       \
    X(HEADER_REAL_IP, "x-real-ip", HEADER_REQ)                                                                         \
    X(HEADER_CLIENT_IP, "x-client-ip", HEADER_REQ)                                                                     \
    X(HEADER_TRUE_CLIENT_IP, "true-client-ip", HEADER_REQ)                                                             \
    X(HEADER_CACHE_CONTROL, "cache-control", 0)                                                                        \
    X(HEADER_SET_COOKIE, "set-cookie", 0)                                                                              \
    X(HEADER_VARY, "vary", 0)                                                                                          \
    X(HEADER_DATE, "date", 0)                                                                                          \
    X(HEADER_CONTENT_TYPE_OPTIONS, "x-content-type-options", HEADER_RES)                                               \
    X(HEADER_FRAME_OPTIONS, "x-frame-options", HEADER_RES)                                                             \
    X(HEADER_REFERRER_POLICY, "referrer-policy", HEADER_RES)                                                           \
    X(HEADER_TRANSPORT_SECURITY, "strict-transport-security", HEADER_RES)                                              \
    X(HEADER_CONTENT_SECURITY_POLICY, "content-security-policy", 0)                                                    \
    X(HEADER_ALLOW_ORIGIN, "access-control-allow-origin", HEADER_RES)                                                  \
    X(HEADER_ALLOW_CREDENTIALS, "access-control-allow-credentials", HEADER_RES)                                        \
    X(HEADER_EXPOSE_HEADERS, "access-control-expose-headers", HEADER_RES)                                              \
    X(HEADER_RATELIMIT, "ratelimit", HEADER_RES)                                                                       \
    X(HEADER_RATELIMIT_POLICY, "ratelimit-policy", HEADER_RES)

enum http1_header_id {
    HEADER_OTHER,
#define HTTP1_HEADER_NAME(id, name, flags) id,
    HTTP1_HEADER_TABLE(HTTP1_HEADER_NAME)
#undef HTTP1_HEADER_NAME
        HEADER_IDS,
};
extern const unsigned char HTTP1_HEADER_FLAGS[HEADER_IDS];

struct http1_header {
    struct view name, value; /* value without white space around it */
    unsigned char id;        /* enum http1_header_id */
    bool look_alike;         /* name with '_' for '-' of a header we know: never passed on */
};

struct http1_headers {
    size_t count;
    struct http1_header list[HTTP1_HEADERS_MAX];
    unsigned char first[HEADER_IDS]; /* index + 1 of the first with that id; 0: none */
};

/* NULL when absent. */
static inline const struct http1_header *http1_header(const struct http1_headers *headers, enum http1_header_id id)
{
    return headers->first[id] ? &headers->list[headers->first[id] - 1] : NULL;
}

struct http1_request {
    enum http1_method method;
    struct view target;      /* origin-form: path and query, starts with '/' */
    struct view path, query; /* query without '?' */
    struct view host;        /* "" only for HTTP/1.0 */
    int minor;               /* of HTTP/1.x */
    bool chunked;
    int64_t content_length; /* -1: none */
    bool keep_alive;
    bool expect_continue;
    bool websocket; /* asks to become a WebSocket, and the request is a correct handshake (RFC 6455 4.1) */
    bool upgrade;   /* asks for some other protocol, or wrongly */
    size_t head_length;
    struct http1_headers headers;
};

struct http1_response {
    int status, minor;
    struct view reason;
    bool chunked;
    int64_t content_length;
    bool keep_alive;
    bool websocket; /* 101 to websocket */
    size_t head_length;
    struct http1_headers headers;
};

/* Reads a head from the first bytes. HTTP1_MORE: not complete, and nothing wrong so far. HTTP1_BAD sets *fault. */
enum http1_result http1_parse_request(const char *bytes, size_t length, struct http1_request *out,
                                      enum http1_fault *fault);
enum http1_result http1_parse_response(const char *bytes, size_t length, struct http1_response *out,
                                       enum http1_fault *fault);

/* HEADER_OTHER for an unknown name; look_alike: a known one but for '_' in place of '-'. */
enum http1_header_id http1_header_find(struct view name, bool *look_alike);
/* A byte of a token (RFC 9110 5.6.2): header names, methods. */
bool http1_token_byte(char c);
/* True when the comma-separated list has this token (case does not count). */
bool http1_list_has(struct view list, const char *token);
/* True when a Connection header names this header. */
bool http1_connection_names(const struct http1_headers *headers, struct view name);

/* A body on its way. */
enum http1_body_kind { HTTP1_BODY_NONE, HTTP1_BODY_LENGTH, HTTP1_BODY_CHUNKED, HTTP1_BODY_CLOSE };
struct http1_body {
    enum http1_body_kind kind;
    unsigned char state, digits;
    uint16_t line, noise;
    uint64_t left; /* LENGTH: bytes to come; CHUNKED: of this chunk */
};
void http1_body_start(struct http1_body *body, enum http1_body_kind kind, int64_t length);
static inline bool http1_body_done(const struct http1_body *body)
{
    return body->kind == HTTP1_BODY_NONE;
}
/* Takes bytes off `in`; *data is the next piece of content (may be empty). DONE: the body has ended, `in` holds what
 * follows it. MORE with empty data: give more bytes. Call again while data is not empty. */
enum http1_result http1_body_next(struct http1_body *body, struct view *in, struct view *data, enum http1_fault *fault);

#endif
