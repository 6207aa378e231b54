/* depth_state.h - what viewers of a company see: the best levels of both sides, the day's figures, the last trades.
 *
 * One form for all: the owner of a market makes it from its book (depth.h), market.depth carries it as JSON, every
 * instance keeps the newest (table.h), REST and sockets answer from it. Pure functions. Units: won, whole shares,
 * milliseconds since 1970. */
#ifndef MADANG_MATCH_DEPTH_STATE_H
#define MADANG_MATCH_DEPTH_STATE_H

#include "errors.h"
#include "str.h"
#include "uuid.h"

#include <stdint.h>

enum {
    DEPTH_LEVELS = 64, /* of a side, best first */
    DEPTH_TRADES = 20, /* the last ones, oldest first */
};

enum depth_phase { DEPTH_SETUP, DEPTH_OPEN, DEPTH_CLOSED, DEPTH_PHASES };
const char *depth_phase_name(enum depth_phase phase);

struct depth_level {
    int64_t price, quantity;
};
struct depth_side {
    size_t count;
    struct depth_level levels[DEPTH_LEVELS];
};

struct depth_trade {
    int64_t number; /* per company, without holes */
    int64_t price, quantity, at_ms;
    uint8_t taker_side; /* SIDE_BUY, SIDE_SELL */
};
/* Numbers without holes. */
struct depth_trades {
    size_t count;
    struct depth_trade items[DEPTH_TRADES];
};

struct depth_state {
    struct uuid market, company;
    int index;     /* of the company in its market */
    int64_t seq;   /* the market's, of its last event in this state */
    int64_t at_ms; /* of the command which that event comes from */
    enum depth_phase phase;
    int64_t price, initial_price, volume, high, low; /* high and low: of trades, 0 before the first */
    bool halted;
    struct depth_side bids, asks;
    struct depth_trades trades;
};

/* ---- the record of market.depth (depth_wire.c) ---- */

void depth_encode(struct str *out, const struct depth_state *state);
/* ERR_BAD_INPUT for what no record can be. `state` is undefined then. */
bool depth_decode(struct view bytes, struct depth_state *state, struct err *err);

/* ---- the last trades (depth_trades.c) ---- */

enum trades_news {
    TRADES_SAME,    /* nothing that was not there */
    TRADES_MORE,    /* new ones at the end; what was there (and still fits) is a part of it */
    TRADES_ANOTHER, /* there is a hole between: the older ones are gone, the list begins anew */
};
static inline int64_t trades_last(const struct depth_trades *trades) /* number; 0: none */
{
    return trades->count ? trades->items[trades->count - 1].number : 0;
}
/* To an empty list number 1 is what comes next; another one is behind a hole. */
enum trades_news trades_add(struct depth_trades *trades, const struct depth_trade *trade);
/* Both lists in one, holes as above: the list with the higher numbers wins. */
enum trades_news trades_merge(struct depth_trades *trades, const struct depth_trades *other);

/* ---- from one state to the next (depth_diff.c) ---- */

/* Levels that differ: their new quantity, 0 for those that are gone (or no longer among the best). Best first. Who puts
 * them over the side before has the side after. */
struct depth_changes {
    size_t count;
    struct depth_level levels[2 * DEPTH_LEVELS];
};
/* `falling`: bids, whose best price is the highest. */
void depth_diff(const struct depth_side *before, const struct depth_side *after, bool falling,
                struct depth_changes *changes);

#endif
