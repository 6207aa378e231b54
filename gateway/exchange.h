/* exchange.h - one request and its answer, from the parsed head to the last byte.
 *
 *     client  --request-->  guard (may it pass?)  --> upstream picked --> channel --response--> client
 *
 * A request is sent on only when its head is complete and the framing of its body is clear. Until the first byte of the
 * answer what was sent is kept (up to 64 KiB of body), so that a lost instance can be replaced by another one:
 * when the request surely was not handled always, else only if it is idempotent. Threads: its loop's. */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include "address.h"
#include "channel.h"
#include "client.h"
#include "errors.h"
#include "limiter.h"

enum {
    REQUEST_ID_BYTES = 65,
    REPLAY_BYTES = 64 * 1024, /* of a body, kept for a second try */
    PORTIONS_PER_TURN = 16,   /* reads of one side before other connections have their turn */
    TRIES_MAX = 3,            /* instances that are asked when none takes the connection */
};

enum failure {
    FAILED_CONNECT,   /* no connection: the request was never sent */
    FAILED_UNTOUCHED, /* a kept connection that had ended before our request arrived */
    FAILED_LOST,      /* the connection ended after the request was sent */
    FAILED_TIMEOUT,
    FAILED_RESPONSE, /* not valid HTTP */
};

struct exchange {
    struct exchange *next; /* free list; those that wait for the cache */
    struct loop *loop;
    struct client *client;
    struct channel *channel;        /* NULL: none yet, or answered by ourselves */
    struct loop_routes *table;      /* keeps `route` */
    const struct path_route *route; /* NULL: refused before */
    struct upstream *upstream;      /* that has it in flight */
    const struct upstream *avoid;   /* failed us; never followed */
    enum failure failure;           /* how, the last time */
    enum http1_method method;
    bool http10, keep_alive, websocket, idempotent, korean;
    bool awaits_continue; /* the client holds its body back until we say so */
    bool parsed;          /* false: not even a head */
    bool counted;         /* in loop->in_flight */
    bool trial;           /* the one request of a half-open breaker */
    /* the request on its way */
    struct http1_body request_body;
    bool chunk_request; /* sent on in chunks */
    bool request_done;  /* all of it is in `request` or gone */
    bool replayable;    /* `request` still has its first byte */
    struct buffer *request;
    size_t sent; /* of what `request` holds */
    int64_t body_bytes;
    int64_t window_start_ms, window_bytes; /* for the least rate of a body */
    int tries, losses;
    /* the answer on its way */
    bool response_started, chunk_response, streaming, tunnel, truncated;
    bool channel_reusable; /* the service keeps its connection open */
    struct http1_body response_body;
    int status;
    int informational;       /* 1xx that came before */
    struct view rest;        /* of an answer of ours that did not fit at once */
    struct docs_table *docs; /* holds it */
    struct cache_entry *filling, *awaited;
    bool resume; /* what it awaited will not come: goes on at its client's next turn */
    /* limits */
    bool stream_held;
    uint64_t stream_key;
    struct limit_state limit;
    const struct limit_rate *limit_rate; /* NULL: no limit to tell */
    const char *limit_name;
    struct limit_rate route_rate; /* of a route with its own */
    /* for the answer and the log */
    const struct problem *problem; /* why we refused */
    bool origin_allowed;           /* and told so */
    char origin[128];
    int64_t joined_us;  /* an instance got it */
    int64_t answer_us;  /* when the head of its answer came; 0 again once that is passed on and more is to come */
    int64_t started_us; /* the round in which its head was read */
    int64_t bytes_in, bytes_out;
    struct address peer; /* the client's, behind proxies that we trust */
    bool proxied;        /* it came by one */
    bool traced;         /* with a valid traceparent */
    char trace_flags[3], parent_span[17], span[17];
    char address[ADDRESS_TEXT_BYTES];
    char request_id[REQUEST_ID_BYTES], trace_id[33], user_id[37];
    char instance[64]; /* the last one that was asked */
    char target[200];  /* without secrets */
};

/* Starts with the head in loop->request; `rest` is what came after it. Leaves what is not ours in client->in. */
void exchange_begin(struct client *client, struct view rest);
/* A head that could not be read: answers and closes. */
void exchange_refuse_head(struct client *client, enum http1_fault fault);
/* The client's request did not arrive in time. */
void exchange_late_head(struct client *client);

/* Takes more of the request's body from the client, and sends it on. */
void exchange_pull(struct exchange *exchange);
/* Sends what the channel takes. */
void exchange_push(struct exchange *exchange);
/* Bytes of the answer (or tunnel) are there: takes them as far as the client keeps up. */
void exchange_relay(struct exchange *exchange);
/* Finds an instance and a connection, and sends. */
void exchange_connect(struct exchange *exchange);
void exchange_failed(struct exchange *exchange, enum failure failure);
/* The channel's timer fired: no connection, no answer, or no byte for too long. */
void exchange_late(struct exchange *exchange);
/* The client is gone: the upstream's connection goes too. */
void exchange_cancel(struct exchange *exchange);
/* The connection to the instance has ended; clean: by its closing it. */
void exchange_channel_ended(struct exchange *exchange, bool clean);
/* That was also the end of the answer. */
void exchange_end_close_delimited(struct exchange *exchange);
/* The answer was taken whole; reusable: its connection can carry another exchange. */
void exchange_complete(struct exchange *exchange, bool reusable);
/* It is one of the requests in flight no more; and it is an open stream or tunnel now. */
void exchange_uncount(struct exchange *exchange);
void exchange_becomes_stream(struct exchange *exchange);
/* The client closed its sending side. */
void exchange_client_ended(struct exchange *exchange);
/* The client's timer for the body fired. */
void exchange_body_late(struct exchange *exchange);
/* The answer is complete (as far as it will be): counts, logs and frees it. */
void exchange_finish(struct exchange *exchange);

/* Answers with a problem; ends the exchange. */
void exchange_refuse(struct exchange *exchange, const struct err *err);
/* Answers by ourselves. `headers`: whole lines, each ended by CR LF. A body above 64 KiB must live as long as the
 * exchange (x->docs); it goes out as fast as the client takes it. */
void exchange_answer(struct exchange *exchange, int status, const char *content_type, const char *headers,
                     struct view body);

/* The client took something: more of `rest`. */
void exchange_send_rest(struct exchange *exchange);
/* After a wait: the request in x->request goes to a service now. */
void exchange_send_on(struct exchange *exchange);

struct exchange *exchange_new(struct client *client);
void exchange_pool_free(struct loop *loop);

#endif
