/* cache.h - short-lived copies of answers to open GETs, per loop: many clients, one question to the service.
 *
 * Kept: 200 to a GET on a route with cache=..., asked without Authorization, Cookie or body; not what says no-store,
 * private, sets cookies or varies by anything but Origin. While the first asks, others with the same target wait for
 * its answer (single flight) and ask themselves when it turns out not to be kept. Bounded by CACHE_KB; the oldest goes
 * first. */
#ifndef GATEWAY_CACHE_H
#define GATEWAY_CACHE_H

#include "exchange.h"

struct cache;
struct cache *cache_open(int64_t bytes);
void cache_release(struct cache **cache);

/* Answers from memory, or makes the exchange wait: true. False: go and ask (and fill, when it may be kept). */
bool cache_answer(struct exchange *exchange);
/* The answer of the one that asks. */
void cache_take_head(struct exchange *exchange, const struct http1_response *response);
void cache_take_body(struct exchange *exchange, struct view content);
void cache_complete(struct exchange *exchange);
/* The exchange ends, whatever came: it waits for nothing and fills nothing any more. */
void cache_leave(struct exchange *exchange);

#endif
