/* httpclient.h - calls to other systems with libcurl: a deadline, a cap on the body, the request id, no redirects.
 * https only, unless the client was opened with allow_http (inner network, stand-ins). Thread-safe: each call takes
 * a handle of a small pool, so connections are kept. Never logs headers or bodies. */
#ifndef MADANG_HTTPCLIENT_H
#define MADANG_HTTPCLIENT_H

#include "arena.h"
#include "errors.h"
#include "str.h"

struct httpclient;

struct httpclient_options {
    bool allow_http;
    const char *ca_file;                /* NULL: the system's */
    int connect_timeout_ms, timeout_ms; /* 0: 3000 and 10000 */
    size_t body_max;                    /* 0: 1 MiB */
};

struct http_call {
    const char *method; /* GET, POST, PUT, DELETE, HEAD */
    const char *url;
    const char *const *headers; /* NULL-ended "Name: value", may be NULL */
    struct view body;           /* bytes NULL: none */
    int timeout_ms;             /* 0: the client's */
};

struct http_answer {
    long status;
    struct view body;         /* from the arena */
    const char *content_type; /* from the arena; "" when absent */
    const char *etag;         /* from the arena; "" when absent */
    int retry_after_s;        /* 0 when absent */
    bool sent; /* on failure: true when the request may have reached the server (the outcome is unknown) */
};

struct httpclient *httpclient_open(const struct httpclient_options *options, struct err *err);
void httpclient_release(struct httpclient **client);

/* True for any HTTP answer; false (ERR_UNAVAILABLE) when there is none. */
bool httpclient_call(struct httpclient *client, struct arena *arena, const struct http_call *call,
                     struct http_answer *answer, struct err *err);

#endif
