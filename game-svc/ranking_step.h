/* ranking_step.h - what follows the final accounts of a round, in bounded pieces: the clock calls it for its step
 * "rank", in the transaction that holds the round's row, and makes another such step while there is more.
 *
 * The first piece ranks, adds the points to the ratings, keeps the results, sets rounds.ranked_at, and tells `ranking`
 * and `ratings` on game.events; each later one asks for NOTICES_AT_ONCE notices (round_result). All of it leaves by the
 * outbox of the same transaction, so a piece is done once, whoever does it and wherever it is killed (S-50). What it
 * has done it sees in its own rows: a call too many changes nothing. */
#ifndef MADANG_GAME_RANKING_STEP_H
#define MADANG_GAME_RANKING_STEP_H

#include "pg.h"
#include "round.h"

enum { NOTICES_AT_ONCE = 500 };

bool ranking_step(struct pg_tx *tx, struct arena *arena, const struct round *round, bool *more, struct err *err);

#endif
