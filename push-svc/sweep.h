/* sweep.h - the thread that cleans up: finished sends, the sink, ended sessions nobody asks about any more; and it
 * counts the queue. Several instances may sweep at once: each round is bounded, and what one deletes the others don't
 * find. */
#ifndef MADANG_PUSH_SWEEP_H
#define MADANG_PUSH_SWEEP_H

#include "pg.h"

struct sweep;
struct sweep *sweep_start(struct pg_pool *db, int64_t keep_hours, struct err *err);
void sweep_release(struct sweep **sweep); /* ends and joins the thread */

#endif
