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

bool follow_apply(void *app, const struct kafka_batch *batch, struct err *err);
void follow_metrics(void); /* makes them; before the worker starts */

#endif
