/* round_clock.h - the thread that moves the rounds on. Every instance has one: each looks for steps that are due, takes
 * the round's row (whoever is first), does the step and what follows from it in one transaction. There is no leader,
 * and an instance that dies in a step leaves nothing of it: the next look goes on. */
#ifndef MADANG_GAME_ROUND_CLOCK_H
#define MADANG_GAME_ROUND_CLOCK_H

#include "app.h"

struct round_clock;
struct round_clock *round_clock_start(const struct game_app *app, struct err *err);
void round_clock_release(struct round_clock **clock); /* a step under way is finished first */

/* One look, for tests: everything that is due now; *wait_ms: until the next step. */
bool round_clock_look(const struct game_app *app, int64_t *wait_ms, struct err *err);
/* What a start does before the first look: the running round against the settings. */
bool round_clock_adopt(const struct game_app *app, struct err *err);

#endif
