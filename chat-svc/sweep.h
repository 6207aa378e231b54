/* sweep.h - the thread that cleans up: files that no message names, and Idempotency-Keys older than a day.
 * Several instances may sweep at once: what one has claimed the others skip. */
#ifndef MADANG_CHAT_SWEEP_H
#define MADANG_CHAT_SWEEP_H

#include "objstore.h"
#include "pg.h"

struct sweep;
struct sweep *sweep_start(struct pg_pool *db, struct objstore *files, struct err *err);
void sweep_release(struct sweep **sweep); /* ends and joins the thread */

/* One round: what is unused goes to the trash, what is due there is deleted from the store, then forgotten. */
bool sweep_files(struct pg_pool *db, struct objstore *files, struct err *err);

#endif
