/* limiter.h - how often one address or one user may come, and how many things one may hold open.
 *
 * Rates are token buckets of one number each (GCRA: the time at which the bucket would be full again), in a table of
 * fixed size that all loops share without locks; a newcomer takes the place of the bucket that is fullest, so whoever
 * is limited stays limited. Counts (open streams, connections) are exact, behind a lock that no request passes. Keys
 * are hashed with a secret: nobody can choose who shares a place with whom. Thread-safe. */
#ifndef GATEWAY_LIMITER_H
#define GATEWAY_LIMITER_H

#include "str.h"

#include <stdatomic.h>
#include <stdint.h>

struct limits;
struct limits *limits_open(size_t buckets); /* 16 bytes each; rounded up to a power of two */
void limits_release(struct limits **limits);

enum limit_kind { LIMIT_ADDRESS, LIMIT_FAILED_TOKENS, LIMIT_USER, LIMIT_ROUTE, LIMIT_STREAMS, LIMIT_CONNECTIONS };
/* `more`: distinguishes buckets of one kind (a route's index), or 0. */
uint64_t limits_key(const struct limits *limits, enum limit_kind kind, uint32_t more, struct view who);

struct limit_rate {
    int64_t events, per_ms, burst; /* events per per_ms on average, burst at once */
};
struct limit_state {
    int64_t left;    /* of the burst */
    int64_t retry_s; /* refused: when one more fits, at least 1 */
    int64_t full_s;  /* when the whole burst is there again */
};
/* Takes one. False: none was left. */
bool limits_take(struct limits *limits, uint64_t key, const struct limit_rate *rate, int64_t now_us,
                 struct limit_state *state);
/* Looks without taking. */
bool limits_allows(struct limits *limits, uint64_t key, const struct limit_rate *rate, int64_t now_us,
                   struct limit_state *state);

/* One more of what is counted by key, unless there are `max` already. Each true needs a limits_leave. */
bool limits_enter(struct limits *limits, uint64_t key, int64_t max);
void limits_leave(struct limits *limits, uint64_t key);

#endif
