/* channel.h - one connection to an instance: connecting, carrying one exchange, or idle in its upstream's pool.
 * Threads: its loop's. */
#ifndef GATEWAY_CHANNEL_H
#define GATEWAY_CHANNEL_H

#include "loop.h"

struct exchange;

struct channel {
    struct source source; /* first: epoll points here */
    int fd;
    bool connecting;
    bool readable, writable; /* not yet seen that it would block */
    bool hung_up;            /* the other side has closed, or an error waits: read until it shows */
    struct loop *loop;
    struct upstream *upstream;
    struct exchange *exchange;       /* NULL: idle, or connecting as a probe */
    struct channel *next, *previous; /* idle ones of the upstream */
    struct buffer *in;               /* the beginning of a response head */
    struct timer timer;
};

/* An idle connection (unless `fresh`), else a new one that is being made. NULL: it could not even begin. */
struct channel *channel_open(struct loop *loop, struct upstream *upstream, bool fresh);
/* Sees whether the instance takes a connection; one that it takes goes into the pool. */
void channel_probe(struct loop *loop, struct upstream *upstream);
/* Into the pool, for the next exchange. */
void channel_keep(struct channel *channel);
void channel_close(struct channel *channel);
/* Bytes written, 0 when it would block, -1: broken. */
long channel_write(struct channel *channel, const char *bytes, size_t length);
/* Bytes read; 0: end; -1: would block; -2: broken. */
long channel_read(struct channel *channel, char *bytes, size_t size);
/* After an end: none of the `sent` bytes ever reached the other machine (its FIN would have acknowledged them). */
bool channel_untouched(const struct channel *channel, size_t sent);

#endif
