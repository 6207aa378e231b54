/* loop.h - one thread with its epoll set: its listener (SO_REUSEPORT), its connections of both sides, its timers.
 *
 * Idea: every descriptor is registered once, edge-triggered for both directions; a handler reads and writes until it
 * would block and remembers what it may still do (`readable`, `writable`). On the path of a request nothing is shared
 * with other loops: route table and instance table are snapshots that a loop changes over to between two rounds. Bytes
 * pass through two scratch areas of the loop; connections own buffers only for what had to wait. Memory of a dead
 * connection goes at the end of the round, as later events of the round may still name it.
 * What a round has to send leaves together at its end, answers first: so the processor stays within one path of the
 * kernel for a while, and whoever waits on the other side is woken once for many. */
#ifndef GATEWAY_LOOP_H
#define GATEWAY_LOOP_H

#include "app.h"
#include "buffer.h"
#include "http1.h"
#include "upstream.h"
#include "wheel.h"

#include <sys/epoll.h>

enum {
    LOOP_READ_BYTES = 32 * 1024, /* one recv */
    LOOP_IN_BYTES = HTTP1_HEAD_MAX + LOOP_READ_BYTES + 1024,
    LOOP_OUT_BYTES = LOOP_IN_BYTES + 2 * HTTP1_HEAD_MAX,
    LOOP_EVENTS = 256,
};

/* What epoll points to. */
struct source {
    void (*on_event)(struct source *source, uint32_t events);
    struct source *next_dead;
    bool dead;
};

/* A route table in use by this loop, with its counters. */
struct loop_routes {
    struct routes *routes;
    struct route_stats *stats; /* one for each route */
    struct fleet **fleets;     /* who answers it, one for each route */
    unsigned users;            /* exchanges that point into it, and the loop */
};

/* Asked of a loop by other threads. */
enum { LOOP_INSTANCES = 1, LOOP_ROUTES = 2, LOOP_FINISH = 4, LOOP_STOP = 8 };

struct loop {
    struct gateway *gateway;
    int index;
    pthread_t thread;
    int epoll_fd, listen_fd, wake_fd, alarm_fd;
    struct source listener, waker, alarm;
    int64_t alarm_ms; /* when alarm_fd rings; 0: not set */
    atomic_int asked;
    bool accepting; /* the listener is in the epoll set */
    bool finishing; /* idle connections are closed, no new ones are taken */
    bool stop;
    int64_t now_ms, now_us; /* of this round, monotonic */
    int64_t wall_ms;        /* of this round */
    int64_t wall_ahead_ms;  /* of the monotonic clock, since the second began */
    int64_t second;         /* last one for which the once-a-second work was done */
    char date[32];          /* for the header Date */
    char stamp[19];         /* for the log: date and time to the second */
    uint64_t random;
    struct wheel wheel;
    struct buffer_pool buffers;
    struct client *clients; /* all, linked */
    int client_count;
    struct client *ready, **ready_end;    /* to be looked at again in this round, in this order */
    struct channel *sending[LOOP_EVENTS]; /* have a request that leaves at the end of this round */
    int sending_count;
    struct source *dead;
    struct exchange *free_exchanges;
    unsigned free_exchange_count;
    unsigned in_flight; /* requests, without streams and tunnels */
    struct loop_routes *routes;
    struct fleet *fleets;
    struct token_verifier *tokens, *tickets;
    struct cache *cache;
    struct str log; /* access log lines of this round */
    struct loop_stats *stats;
    struct http1_request request;   /* the one being looked at */
    struct http1_response response; /* the same */
    char in[LOOP_IN_BYTES], out[LOOP_OUT_BYTES];
};

struct loop *loop_open(struct gateway *gateway, int index, struct err *err);
/* The port that was bound: for LISTEN with port 0. */
int loop_port(const struct loop *loop);
/* With LISTEN_SHARED: new connections go to the gateways that joined this port after us, if there are any; own_count:
 * our listeners. So none is in the queue of a listener when it closes. Any thread, before LOOP_FINISH. */
void loop_step_aside(const struct loop *loop, int own_count);
bool loop_start(struct loop *loop, struct err *err);
void loop_ask(struct loop *loop, int what); /* any thread */
void loop_join(struct loop *loop);
void loop_release(struct loop **loop);

/* For the parts that run on the loop's thread. */
bool loop_watch(struct loop *loop, int fd, struct source *source);
void loop_bury(struct loop *loop, struct source *source); /* free() at the end of the round; marks it dead */
void loop_connection_closed(struct loop *loop);           /* accepts again */
/* Its exchange's request leaves at the end of this round. */
void loop_send(struct loop *loop, struct channel *channel);
uint64_t loop_random(struct loop *loop);
struct loop_routes *loop_routes_share(struct loop *loop);
void loop_routes_done(struct loop_routes *routes);

#endif
