/* http_internal.h - what the files of the HTTP server share; everybody else uses http.h.
 *
 *     http.c          start and stop, the one loop thread
 *     http_exchange.c the life of an exchange on the loop thread: header, body, dispatch, answer
 *     http_work.c     the bounded queue, the workers, requests that wait to run again
 *     http_request.c  an exchange becomes a struct request: ids, token, query, headers
 *     http_path.c     percent-decoding of path and query
 *     http_route.c    path and method -> route
 *     http_stream.c   replies that go on
 *     http_peer.c     whose X-Forwarded-For is believed, and what it says
 *     http_reply.c    what handlers say in replies
 *     http_answer.c   a reply or an err -> the bytes for libmicrohttpd; metrics and the log line
 *     http_problem.c  the body of a problem
 *     http_admin.c    /healthz, /readyz, /metrics
 *
 * An exchange is one request and its reply. The loop thread owns it, but for the time between http_work_push() and
 * http_work_resume(), when whoever runs its handler does: a worker, or the loop for a quick handler. Nothing needs
 * a lock in it. */
#ifndef MADANG_HTTP_INTERNAL_H
#define MADANG_HTTP_INTERNAL_H

#include "http.h"
#include "metrics.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    HTTP_BODY_MAX = 64 * 1024,           /* where the route says nothing */
    HTTP_BODIES_MAX = 128 * 1024 * 1024, /* of all requests together: more get 503 */
    HTTP_DISCARD_MAX = 32 * 1024 * 1024, /* of a refused chunked body (its bytes are not kept), more than a gateway lets
                                            through; then the connection is cut */
    HTTP_ARENA_MAX = 64 * 1024 * 1024,
    HTTP_PATH_BYTES = 1024,
    HTTP_SEGMENTS_MAX = 16,
    HTTP_QUERY_MAX = 32,
    HTTP_WAITING_MAX = 4096, /* of http_try_again */
    HTTP_REQUEST_ID_BYTES = 65,
    HTTP_TRACEPARENT_BYTES = 56,
    HTTP_SPARE_EXCHANGES = 32, /* kept for good */
    HTTP_SPARE_MAX = 512,      /* kept while it is busy: some 10 kB each */
    HTTP_IDLE_SECONDS = 75,    /* of a connection; longer than the gateway keeps one */
};

/* ---- http_path.c ---- */

struct http_path {
    size_t count;
    const char *segments[HTTP_SEGMENTS_MAX]; /* decoded, each NUL-terminated, in `split` */
    char text[HTTP_PATH_BYTES];              /* decoded, with slashes */
    char split[HTTP_PATH_BYTES];
};

/* bad_input for what two readers could read differently: dot segments, empty ones, encoded slashes. */
bool http_path_parse(struct http_path *path, const char *raw, size_t length, struct err *err);

struct http_pair {
    const char *name, *value;
};
/* Splits and decodes a query string (without '?') into the arena. */
bool http_query_parse(struct arena *arena, const char *raw, struct http_pair pairs[HTTP_QUERY_MAX], size_t *count,
                      struct err *err);

/* ---- http_route.c ---- */

/* Statuses that are counted by a ready child; others look it up. */
enum { HTTP_COUNTED = 24 };

struct compiled_route {
    const struct route *route;
    size_t count;
    const char *segments[HTTP_SEGMENTS_MAX]; /* NULL: a parameter */
    const char *names[HTTP_SEGMENTS_MAX];    /* its name */
    bool rest;                               /* the last parameter takes the rest of the path */
    bool quick;                              /* the loop runs it */
    struct metric_child *seconds;            /* NULL without metrics */
    _Atomic(struct metric_child *) counted[HTTP_COUNTED];
};

struct router {
    struct compiled_route *routes; /* literal segments before parameters */
    size_t count;
    char **owned; /* texts the compiled routes point into */
};

/* `quick`: NULL-ended, or NULL. */
struct router *router_open(const struct route *routes, const handler_fn *quick, struct err *err);
void router_release(struct router **router);
/* The route, or NULL with not_found or method_not_allowed; `allow` then lists the methods (64 bytes). */
struct compiled_route *router_find(const struct router *router, const char *method, const struct http_path *path,
                                   char *allow, struct err *err);

/* ---- http_peer.c ---- */

struct http_network {
    struct in6_addr address; /* v4 as ::ffff:a.b.c.d */
    int bits;
};
struct http_networks {
    size_t count;
    struct http_network list[32];
};
struct http_peer { /* of one connection */
    char address[INET6_ADDRSTRLEN];
    bool believed;
};

/* "10.0.0.1,::1,10.1.0.0/16" */
bool http_networks_parse(struct http_networks *networks, const char *text, struct err *err);
void http_peer_set(struct http_peer *peer, const struct http_networks *networks, const struct sockaddr *address);
/* The right-most address of X-Forwarded-For that is not one of ours; the peer's own when there is none. */
void http_peer_client(const struct http_peer *peer, const struct http_networks *networks, const char *forwarded_for,
                      char client[INET6_ADDRSTRLEN]);

/* ---- the server and its exchanges ---- */

enum exchange_state {
    EXCHANGE_NEW,     /* no header was looked at */
    EXCHANGE_READING, /* the body comes in */
    EXCHANGE_WORKING, /* suspended: in the queue, with a worker, or waiting to run again */
    EXCHANGE_ANSWERED /* `response` is ready */
};

struct http_exchange {
    struct http_exchange *next;     /* in the queue, the waiting list, the answered stack or the spare list */
    struct http_exchange *previous; /* in the waiting list */
    struct http_server *server;
    struct MHD_Connection *connection;
    const struct http_peer *peer;
    struct str uri; /* as it came; libmicrohttpd cuts its own copy to pieces */
    enum exchange_state state;
    bool counted;                /* is in server->in_flight */
    bool reading;                /* is in server->reading */
    bool working;                /* is in server->working */
    bool refused;                /* err tells why; the body is not wanted */
    bool declared;               /* a body was announced */
    bool again;                  /* the handler called http_try_again */
    bool on_loop;                /* this run is the loop's own */
    bool handing_over;           /* the handler wants to begin this run again on a worker */
    bool workers_only;           /* the next run is a worker's */
    bool authorized, identified; /* an earlier run was let in, and with an identity */
    int64_t due_ms, first_run_ms, arrived_us;
    struct pending_entry *awaited; /* what pending_begin made in this run */
    void (*forget)(struct pending_entry *awaited);
    bool parked, answered;          /* in the waiting list; `answer` came: both under the server's lock */
    struct str answer, answer_read; /* what came; what the handler reads now */
    size_t body_max, discarded;
    struct str body;
    struct compiled_route *compiled;
    char allow[64];
    struct http_path path;

    struct arena *arena;
    struct request req;
    struct reply reply;
    struct err err;
    struct identity identity;
    struct http_pair query[HTTP_QUERY_MAX];
    size_t query_count;
    const char *authorization, *forwarded_for, *accept_language, *cookie;
    char request_id[HTTP_REQUEST_ID_BYTES], trace_id[33], traceparent[HTTP_TRACEPARENT_BYTES];
    char parent_span[17]; /* of the caller's traceparent; "" when it had none */
    char client_address[INET6_ADDRSTRLEN];

    struct MHD_Response *response;
    struct http_stream *stream; /* that the response reads from */
    int status;
};

struct http_server {
    struct http_options options;
    struct router *router;
    struct http_networks gateways;
    struct MHD_Daemon *daemon;
    int port, epoll_fd, wake_fd;
    pthread_t loop, *workers;
    int worker_count;
    bool loop_runs;
    _Atomic(struct http_exchange *) answered; /* a stack: pushed by workers, taken whole by the loop */
    _Atomic(struct http_stream *) stirred;    /* a stack, like it: streams that the loop must look at */
    atomic_bool asleep;                       /* the loop waits, or is about to */
    atomic_bool draining, stopping, hurried;  /* hurried: the time for stopping is over */

    pthread_mutex_t lock; /* of the queue and the waiting list */
    pthread_cond_t ready;
    struct http_exchange *queue_first, **queue_last, *waiting, *waiting_last; /* waiting: by due_ms */
    _Atomic int queued, waiting_count, idle;         /* changed under the lock; idle: workers that sleep */
    bool waking;                                     /* one of them was told, and did not run yet; under the lock */
    struct http_exchange *ready_first, **ready_last; /* what the loop itself shall run; under the lock */
    _Atomic int ready_count;
    bool closed; /* workers end when the queue is empty */

    /* loop thread only */
    struct http_exchange *spare, *pending; /* pending: read in this turn of the loop, not yet in the queue */
    int spare_count, pending_count;        /* of pending: those that need a worker */
    struct http_stream *streams;
    bool streams_ended;   /* those that were there when draining began */
    int reading, working; /* exchanges whose body is on its way; those that are suspended */
    size_t body_bytes;
    int64_t peak; /* most in flight since memory was given back */
    int64_t overloaded_logged_ms;

    _Atomic int64_t in_flight, stream_count; /* an exchange with a stream is over when its header is sent */
    struct metric *requests, *seconds;
    struct metric_child *overloaded;
    void *owned; /* the admin server's tables */
};

/* Takes *owned, which is freed with the server, before any thread can look at it. */
struct http_server *http_server_start_owning(const struct http_options *options, void **owned, struct err *err);

/* ---- http_exchange.c: called by libmicrohttpd on the loop thread ---- */

enum MHD_Result http_on_request(void *payload, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *bytes, size_t *size, void **place);
void *http_on_uri(void *payload, const char *uri, struct MHD_Connection *connection);
void http_on_completed(void *payload, struct MHD_Connection *connection, void **place,
                       enum MHD_RequestTerminationCode code);
void http_on_connection(void *payload, struct MHD_Connection *connection, void **context,
                        enum MHD_ConnectionNotificationCode code);
void http_exchange_free(struct http_exchange *exchange);
void http_spare_shrink(struct http_server *server, int keep);
void http_tell_overload(struct http_server *server); /* counted; logged once a second */

/* ---- http_work.c ---- */

bool http_work_start(struct http_server *server, struct err *err);
void http_work_stop(struct http_server *server); /* no exchange may be under way */
bool http_work_full(struct http_server *server);
/* On the loop thread: for the next http_work_flush(). */
void http_work_push(struct http_server *server, struct http_exchange *exchange);
void http_work_flush(struct http_server *server);
/* On the loop thread: hands what workers have answered back to libmicrohttpd. */
void http_work_resume(struct http_server *server);
/* On the loop thread: runs what it shall run itself. */
void http_work_run_ready(struct http_server *server);
/* Moves what is due to the queue; milliseconds until the next one, -1 for none. */
int http_work_due(struct http_server *server);
void http_server_wake(struct http_server *server);
/* For pending.c. The exchange waits for `awaited`; `forget` is called once, before it runs again or ends. */
void http_pending_begin(struct http_exchange *exchange, struct pending_entry *awaited,
                        void (*forget)(struct pending_entry *awaited));
/* From any thread, while it is not forgotten: keeps a copy, and runs the exchange now if it waits. False: it has an
 * answer already. */
bool http_pending_answer(struct http_exchange *exchange, struct view answer);

/* ---- http_stream.c: on the loop thread ---- */

/* Owns the stream from now on; NULL (and the stream ended) when there is no memory. */
struct MHD_Response *http_stream_response(struct http_stream *stream);
/* Ends one that gets no response. */
void http_stream_drop(struct http_stream *stream);
/* Its response was queued on the connection. */
void http_stream_attach(struct http_stream *stream, struct http_server *server, struct MHD_Connection *connection);
/* Its reader is gone. */
void http_stream_left(struct http_stream *stream);
void http_streams_resume(struct http_server *server);
/* All of them, after what they have written or at once. */
void http_streams_end(struct http_server *server, bool at_once);

/* ---- http_request.c ---- */

/* Fills exchange->req from the connection, anew for each run. False with an err for the client. */
bool http_request_prepare(struct http_exchange *exchange, struct err *err);
/* Only what an answer needs: ids and language. Cannot fail. */
void http_request_identify(struct http_exchange *exchange);
/* The token and the role that the route asks for. */
bool http_request_authorize(struct http_exchange *exchange, struct err *err);

/* ---- http_answer.c ---- */

/* Makes exchange->response from the reply (ok) or the err, counts and logs it. */
void http_answer_build(struct http_exchange *exchange, bool ok);
bool http_metrics_open(struct http_server *server);

#endif
