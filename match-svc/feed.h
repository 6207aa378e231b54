/* feed.h - /ws/market: the book, the trades and the ticker of companies, told to any number of viewers.
 *
 *     market.depth  --listener--> table ----> changed companies ----------------------------\
 *     market.events --listener--> trades of companies that are watched --> gathered --> loop: a turn every 100 ms
 *
 * Open to all (no token), so all that a client can make grow is bounded, and it can say nothing but subscribe,
 * unsubscribe and ping. A frame is built once, however many look, and all that is due to a viewer in a turn leaves in
 * one write: what a viewer costs, here and in the gateway, is writes more than bytes. Who reads slowly is not sent what
 * it would only find outdated: it gets the newest state when it has read what waits; who stays behind is cut (1013).
 * README.md draws it. Parts: feed_session.c (sockets), feed_company.c (what is told of a company), feed_ask.c (what
 * clients say; pure, fuzzed), feed_tell.c (frames; pure). */
#ifndef MADANG_MATCH_FEED_H
#define MADANG_MATCH_FEED_H

#include "backend.h"
#include "table.h"

struct feed;

struct feed_options {
    const char *listen, *advertise; /* of the sockets; advertise "": listen with the port that it got */
    const char *gateway_addresses;
    int connections_max;
    size_t output_max;     /* bytes that may wait for a reader before it is cut */
    int every_ms;          /* between two turns of telling: 100. A quiet feed tells at once */
    int64_t patience_ms;   /* a reader that stays behind so long is cut */
    int64_t drain_seconds; /* over which open sockets are closed */
};

/* Listens and announces the address as match-ws. `table` must live longer. */
struct feed *feed_start(const struct feed_options *options, struct table *table, struct backend *backend,
                        struct err *err);
void feed_release(struct feed **feed);
int feed_port(const struct feed *feed);
void feed_drain(struct feed *feed); /* no new sockets; the open ones are closed with 1001 over the drain time */

/* On the listener's thread. */
void feed_hear_depth(struct feed *feed, const struct kafka_batch *batch);  /* market.depth: fills the table too */
void feed_hear_events(struct feed *feed, const struct kafka_batch *batch); /* market.events */

#endif
