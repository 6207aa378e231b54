/* feed_tell.h - the frames to viewers, as JSON text. Pure. docs/asyncapi.yaml describes them.
 *
 * Every frame of a channel carries type (snapshot or delta), channel, company and seq. Book and ticker: the market's
 * sequence; a book's delta fits on the state of `prev_seq` and no other. Trades: the number of the last trade in it. */
#ifndef MADANG_MATCH_FEED_TELL_H
#define MADANG_MATCH_FEED_TELL_H

#include "depth_state.h"
#include "feed_ask.h"

/* seq: of the last change of the book that viewers were told, which the state's figures may be ahead of. */
void tell_book_snapshot(struct str *out, const struct depth_state *state, int64_t seq);
/* False, and nothing written, when both sides look the same. */
bool tell_book_delta(struct str *out, const struct depth_state *before, int64_t prev_seq,
                     const struct depth_state *after);

bool tell_ticker_differs(const struct depth_state *before, const struct depth_state *after);
void tell_ticker(struct str *out, const struct depth_state *state, bool snapshot);
/* The figures as members of an open object: REST has the same. */
void tell_figures(struct str *out, const struct depth_state *state);
/* The best `levels` of a side as a member: [[price, quantity], ...]. */
void tell_side(struct str *out, const char *name, const struct depth_side *side, size_t levels);

void tell_trades(struct str *out, const struct uuid *company, const struct depth_trade *trades, size_t count,
                 bool snapshot);

/* What is said of a subscription: "unsubscribed"; "gone" when the company's time is over. */
void tell_end(struct str *out, const char *type, enum feed_channel channel, const struct uuid *company);
void tell_pong(struct str *out, int64_t at_ms);
void tell_error(struct str *out, const struct err *err, const struct feed_ask *ask); /* ask NULL: it was not read */

#endif
