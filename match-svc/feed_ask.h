/* feed_ask.h - what a viewer may say: one JSON object per text frame, nothing else.
 *     {"op": "subscribe" | "unsubscribe", "channel": "book" | "trades" | "ticker", "company": "<id>"}     {"op":
 * "ping"} Pure; the arena holds what is read. */
#ifndef MADANG_MATCH_FEED_ASK_H
#define MADANG_MATCH_FEED_ASK_H

#include "arena.h"
#include "errors.h"
#include "str.h"
#include "uuid.h"

enum { FEED_ASK_MAX = 512 }; /* bytes of a frame */

enum feed_op { FEED_SUBSCRIBE, FEED_UNSUBSCRIBE, FEED_PING };
enum feed_channel { FEED_BOOK, FEED_TRADES, FEED_TICKER, FEED_CHANNELS };
const char *feed_channel_name(enum feed_channel channel);

struct feed_ask {
    enum feed_op op;
    enum feed_channel channel; /* not of a ping */
    struct uuid company;
};

/* ERR_BAD_INPUT for anything else: unknown members and operations too. */
bool feed_ask_read(struct arena *arena, struct view text, struct feed_ask *ask, struct err *err);

#endif
