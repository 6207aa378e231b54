/* upstream.h - the instances of each service as one loop sees them: idle connections, requests in flight, breaker.
 *
 * Picking: the one with fewer requests in flight of two random ones that are up and whose breaker lets requests
 * through; where their weights differ, each by its share, the less the busier it is; draining ones only when there is
 * no other, suspect ones last. Five failures in a row open the breaker for 1 s, then one request tries; each new
 * failure doubles the time, up to 10 s. Threads: a loop's own; nothing here is shared. */
#ifndef GATEWAY_UPSTREAM_H
#define GATEWAY_UPSTREAM_H

#include "instances.h"
#include "wheel.h"

#include <stdint.h>

struct channel;
struct loop;

enum {
    FLEET_MAX = 64,
    BREAKER_FAILURES = 5,
    BREAKER_FIRST_MS = 1000,
    BREAKER_MOST_MS = 10000,
    IDLE_CHANNELS_MAX = 512,
    LATENCY_OVER = 32 /* answers that the mean looks back */
};

struct breaker {
    int failures;          /* in a row */
    int64_t open_until_ms; /* 0: closed */
    int64_t open_for_ms;
    bool trying; /* half-open: one request is out */
};

struct upstream {
    struct instance instance;
    struct channel *probe; /* being tried, without a request; NULL: none */
    bool gone;             /* not in the table any more; freed with its last connection */
    unsigned in_flight, connections;
    struct channel *idle; /* last used first */
    unsigned idle_count;
    struct breaker breaker;
    uint64_t requests, failures, errors;                /* errors: answers of 5xx */
    int told_breaker;                                   /* 0: closed */
    uint64_t answers;                                   /* that began */
    int64_t latency_us;                                 /* until an answer begins; a mean that forgets */
    uint64_t told_requests, told_failures, told_errors; /* what the metrics know */
};

/* All instances of one service. */
struct fleet {
    struct fleet *next;
    char service[32];
    int count;
    struct upstream *members[FLEET_MAX];
};

/* The fleet of a service, made when it is new. */
struct fleet *fleet_of(struct loop *loop, const char *service);
/* Brings every fleet in line with the list: new ones join, missing ones are gone, states change. */
void fleets_update(struct loop *loop, const struct instance_list *list);
void fleets_release(struct loop *loop);
/* Once a second: suspect instances without a connection are tried. */
void fleets_probe(struct loop *loop);
/* NULL: nobody can take a request now. `avoid` is taken only when there is no other. */
struct upstream *fleet_pick(struct loop *loop, struct fleet *fleet, const struct upstream *avoid);

bool breaker_allows(const struct breaker *breaker, int64_t now_ms);
void breaker_success(struct breaker *breaker);
void breaker_failure(struct breaker *breaker, int64_t now_ms);
/* "closed", "open" or "half-open" */
const char *breaker_name(const struct breaker *breaker, int64_t now_ms);

/* After its last use: frees a gone one. */
void upstream_check(struct upstream *upstream);

#endif
