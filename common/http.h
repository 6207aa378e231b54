/* http.h - an HTTP/1.1 server for services: libmicrohttpd behind a route table and a bounded pool of workers.
 *
 * A handler is a plain blocking function: decode, decide, store, reply. One thread turns MHD's epoll (in an outer
 * epoll, see docs/decisions: MHD 0.9.75 stalls otherwise); a request is suspended while it waits for a worker and while
 * it runs. Queue full: 503 overloaded with Retry-After, at once. A failed handler's err becomes problem+json.
 *
 * The wrapper does for every route: the path and method (404, 405 with Allow), body cap (413), the access token
 * (AUTH_*; 401/403), request id and traceparent (made when missing, echoed as X-Request-Id, set for the log), metrics
 * per route template, Connection: close while draining. Threads: handlers run on several threads at once; `app` must be
 * constant after start. Ownership: everything in struct request and what handlers take from req->arena dies with the
 * request. */
#ifndef MADANG_HTTP_H
#define MADANG_HTTP_H

#include "arena.h"
#include "errors.h"
#include "str.h"
#include "token.h"

#include <stdint.h>

enum auth_need {
    AUTH_OPEN,  /* anybody; a valid token is still read into req->identity (an invalid one is ignored) */
    AUTH_GUEST, /* any role */
    AUTH_USER,  /* user, tutor, admin */
    AUTH_ADMIN,
};

struct request {
    const void *app;
    struct arena *arena;
    const struct route *route;
    const char *method;
    const char *path;                /* decoded */
    const struct identity *identity; /* NULL: nobody */
    struct view body;
    const char *content_type;   /* "" when absent */
    const char *client_address; /* the client's, behind a gateway that we believe */
    const char *request_id;
    const char *traceparent; /* to pass on: our own span */
    bool korean;             /* Accept-Language prefers ko */
    int64_t arrived_ms;      /* monotonic */
    int64_t waited_ms;       /* since the first run, for http_try_again and pending_wait; 0 at the first run */
    bool asked;              /* the run before this one ended with pending_wait: `answer` is what came of it */
    struct view answer;      /* what pending_answer() brought; bytes NULL at the first run and when the time is over */
    int64_t kept;            /* the handler's own: 0 at the first run, then what the run before left here */
    struct http_exchange *exchange; /* for http.c */
};

/* A reply that goes on: Server-Sent Events. The handler sets reply->stream (ownership passes) and returns true; the
 * connection then belongs to the stream until either side ends it. Memory: what waits in a stream is bounded by `cap`
 * of http_stream_new; a reader that falls behind it is cut. Threads: http_stream_write and _end from any thread;
 * `ended` runs once, on the server's loop thread, when the connection is gone or was ended (also at server release),
 * and must not block; after it the stream must not be used. */
struct http_stream;
struct http_stream *http_stream_new(size_t cap, void (*ended)(void *payload), void *payload);
bool http_stream_write(struct http_stream *stream, struct view bytes); /* false: over its cap or gone; it will be cut */
void http_stream_end(struct http_stream *stream);                      /* after what is already written */
void http_stream_release(struct http_stream **stream);                 /* one that was never handed to a reply */

struct reply {
    struct http_stream *stream; /* NULL, or what the body comes from; content_type is then the stream's */
    int status;                 /* 200 when the handler leaves it 0 */
    const char *content_type;   /* NULL: application/json */
    struct str body;            /* the wrapper frees it */
    size_t header_count;
    struct {
        const char *name, *value;
    } headers[12];
};

typedef bool (*handler_fn)(struct request *req, struct reply *reply, struct err *err);

struct route {
    const char *method; /* NULL ends the table */
    const char
        *path; /* "/api/users/:id": a parameter is one segment; "/files/user/:key..": the rest, one or more segments */
    enum auth_need who;
    handler_fn handler;
    size_t body_max; /* 0: 64 KiB; only methods with bodies */
};

struct http_options {
    const char *listen;         /* host:port; port 0: any */
    const struct route *routes; /* {0}-ended; several tables are joined by the caller */
    const void *app;
    struct token_verifier *tokens; /* NULL: no route may ask for more than AUTH_OPEN */
    const char *gateway_addresses; /* whose X-Forwarded-For is believed */
    int workers, queue;
    int connections_max;        /* 0: 4096 */
    const handler_fn *quick;    /* NULL-ended; may be NULL: handlers that the loop runs, see http_must_hand_over() */
    const char *metrics_prefix; /* "madang_auth" */
};

struct http_server;
struct http_server *http_server_start(const struct http_options *options, struct err *err);
int http_server_port(const struct http_server *server);
/* From now on every reply says Connection: close. */
void http_server_drain(struct http_server *server);
/* Stops accepting, waits up to 10 s for what is in flight, joins all threads. */
void http_server_release(struct http_server **server);

/* The percent-decoded value, valid UTF-8 without NUL, or NULL. */
const char *http_param(const struct request *req, const char *name);  /* of the path; never NULL for a name in it */
const char *http_query(const struct request *req, const char *name);  /* of the query string; the first of many */
const char *http_header(const struct request *req, const char *name); /* NULL when absent */
const char *http_cookie(const struct request *req, const char *name);

/* The path parameter as a UUID in lower case; 404 not_found when it is none (no such thing can exist). NULL on failure.
 */
const char *http_param_uuid(struct request *req, const char *name, struct err *err);
/* `limit` (1..100, default 20) and other integers of the query; bad_input with the name when wrong. */
bool http_query_i64(struct request *req, const char *name, int64_t default_value, int64_t min, int64_t max,
                    int64_t *out, struct err *err);

void reply_header(struct reply *reply, const char *name,
                  const char *value); /* value must live in req->arena or be static */
/* Set-Cookie; may be called more than once. Parts must be cookie-safe. max_age_s 0 deletes, -1: session cookie. */
void reply_cookie(struct request *req, struct reply *reply, const char *name, const char *value, const char *path,
                  int64_t max_age_s, bool secure, const char *same_site);
bool reply_empty(struct reply *reply, int status); /* returns true, to end a handler with */
/* 302 with Location. */
bool reply_redirect(struct request *req, struct reply *reply, const char *location);
/* Strong ETag of the body; answers 304 by itself when If-None-Match has it. */
void reply_etag(struct request *req, struct reply *reply);

/* Ends this run of the handler without a reply; it runs again (from the start, on any thread) in `after_ms`, and
 * req->waited_ms tells how long it has waited. No worker waits meanwhile. At most 4096 requests wait, then 503.
 *     if (!found) { if (req->waited_ms < 1000) return http_try_again(req, 50); return err_set(...); }
 * Always returns false; the err is ignored. */
bool http_try_again(struct request *req, int after_ms);

/* For handlers in http_options.quick: microseconds of work that waits for nothing is done by the loop itself, first run
 * and later ones, without a change of threads. Before what may wait (a store, a network) or takes longer, such a
 * handler asks; on true it returns false at once, and the same run begins again on a worker, where this says false. It
 * asks before it begins anything that waits for an answer (pending_begin) and before it changes anything. To other
 * handlers it always says false, so helpers may ask for all who call them. A token that is not in the cache is checked
 * on a worker without the handler's doing. docs/decisions/020. */
bool http_must_hand_over(struct request *req);

/* Prints a problem as the body of RFC 9457: for http.c, the gateway and tests. */
void problem_print(struct str *out, const struct err *err, bool korean, const char *request_id);

/* The admin side: /healthz, /readyz (all checks true; says which are not), /metrics, and more routes of the caller. */
struct ready_check {
    const char *name; /* NULL ends the table */
    bool (*check)(void *payload);
    void *payload;
};
struct http_server *admin_server_start(const char *listen, const struct ready_check *checks, const struct route *more,
                                       const void *app, const char *profile, struct err *err);

#endif
