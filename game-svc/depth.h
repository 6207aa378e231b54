/* depth.h - price and levels of every company of a running market, as market.depth tells them: a table in memory.
 * Units: whole won, whole shares. Ownership: a state found is a copy. Threads: thread-safe. */
#ifndef MADANG_GAME_DEPTH_H
#define MADANG_GAME_DEPTH_H

#include "kafka.h"
#include "uuid.h"

enum { DEPTH_LEVELS_MAX = 64 };

struct depth_level {
    int64_t price, quantity;
};

struct depth_state {
    char company[UUID_TEXT_BYTES];
    int64_t seq; /* the market's, when it stood so */
    int64_t price, initial_price, volume, high, low;
    bool halted;
    size_t bid_count, ask_count; /* best first; with DEPTH_LEVELS_MAX of a side there may be more */
    struct depth_level bids[DEPTH_LEVELS_MAX], asks[DEPTH_LEVELS_MAX];
};

struct depth;
struct depth *depth_open(void);
void depth_release(struct depth **depth);

/* Takes one record: a state, or a tombstone (payload.bytes NULL), which removes it. What can't be read, or is older
 * than what is known, is passed over; false then. */
bool depth_take(struct depth *depth, struct view key, struct view payload);
/* False when nothing is known of the company. */
bool depth_find(struct depth *depth, const char *company, struct depth_state *state);

#endif
