/* sweep.h - upkeep, as rounds (rounds.h): pictures nobody shows any more, and Idempotency-Keys older than a day.
 * Several instances may sweep at once: what one has claimed the others skip. */
#ifndef MADANG_USER_SWEEP_H
#define MADANG_USER_SWEEP_H

#include "objstore.h"
#include "pg.h"

enum { SWEEP_EVERY_MS = 2000 };
/* `app`: the struct user_app. */
void sweep_round(void *app, unsigned round);

/* Deletes pictures that are due from the store, then forgets them. */
bool sweep_pictures(struct pg_pool *db, struct objstore *files, struct err *err);

#endif
