/* sweep.h - upkeep, as rounds (rounds.h): finished sends, the sink, ended sessions nobody asks about any more; and the
 * queue is counted. Several instances may sweep at once: each round is bounded, and what one deletes the others don't
 * find. */
#ifndef MADANG_PUSH_SWEEP_H
#define MADANG_PUSH_SWEEP_H

enum { SWEEP_EVERY_MS = 5000 };
/* `app`: the struct push_app. */
void sweep_round(void *app, unsigned round);

#endif
