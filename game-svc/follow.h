/* follow.h - the worker on market.events: what a round must know of its market. Orders and fills of everybody who takes
 * part, the last answer to a bot's order of each company, and at the close last prices and final accounts, which make
 * the ranking due.
 *
 * The topic may hold doubles but no gaps: what is not above the round's applied sequence is passed over, a gap is
 * counted (madang_game_event_gaps_total) and logged. Markets that are no round of ours are passed over. */
#ifndef MADANG_GAME_FOLLOW_H
#define MADANG_GAME_FOLLOW_H

#include "kafka.h"

enum { FOLLOW_BATCH = 2000 };

struct follow;
struct follow *follow_open(void);
void follow_release(struct follow **follow);

/* Of struct game_app. Nobody waits for what it stores, so it takes ten batches a second at most, which then are larger:
 * under load a transaction for every few records would cost more than all that is in them. */
bool follow_apply(void *app, const struct kafka_batch *batch, struct err *err);

#endif
