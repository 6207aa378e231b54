/* sweep.h - the thread that cleans up: pictures nobody shows any more, and Idempotency-Keys older than a day.
 * Several instances may sweep at once: what one has claimed the others skip. */
#ifndef MADANG_USER_SWEEP_H
#define MADANG_USER_SWEEP_H

#include "objstore.h"
#include "pg.h"

struct sweep;
struct sweep *sweep_start(struct pg_pool *db, struct objstore *files, struct err *err);
void sweep_release(struct sweep **sweep); /* ends and joins the thread */

/* One round: deletes what is due from the store, then forgets it. */
bool sweep_pictures(struct pg_pool *db, struct objstore *files, struct err *err);

#endif
