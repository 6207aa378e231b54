/* rounds.h - work that comes around: a thread that runs a function every `every_ms` until it is released. For sweeps
 * and other upkeep; the function takes as long as it takes, the next round comes every_ms later. Release wakes and
 * joins the thread: a round under way is finished first. Several instances of a service may run the same rounds: what
 * must happen once is for the function (advisory lock, SKIP LOCKED). */
#ifndef MADANG_ROUNDS_H
#define MADANG_ROUNDS_H

#include "errors.h"

struct rounds;
/* `round` counts from 0. The first one comes after every_ms. */
typedef void (*rounds_fn)(void *payload, unsigned round);
struct rounds *rounds_start(int every_ms, rounds_fn run, void *payload, struct err *err);
void rounds_release(struct rounds **rounds);

#endif
