/* steps.h - what the clock does: a function per kind of step, and the set-up of a new round. Each works on its turn
 * (turn.h) inside the turn's transaction, and can be done again after a rollback.
 *
 *     set-up ──► start ──► news ─► bot_order x 6   ──► close ──► rank (when the final accounts are stored)
 *                  │  └──► refill ─► refill ...          └─────► next: the set-up of another round
 *     countdown ... runs through all phases
 *
 * What is late: start, news, bot orders, close, rank and next are done late; refills and countdowns that are overdue
 * are left out, the next one comes at its usual time. */
#ifndef MADANG_GAME_STEPS_H
#define MADANG_GAME_STEPS_H

#include "turn.h"

/* A new round: companies, accounts of the bots, opening book, one transaction. */
bool step_set_up(const struct game_app *app, struct pg_tx *tx, int64_t number, int64_t now_ms, struct turn *turn,
                 struct arena *arena, struct round *round, struct err *err);
/* The step that turn->step says. */
bool step_do(struct turn *turn, struct err *err);
/* The running round against GAME_HOLD as it is now set: ends a round that should not be held, or makes way for one that
 * should. */
void step_adopt(struct turn *turn);

#endif
