/* slack_worker.h - works through slack_events: who joined the workspace or a channel is linked by e-mail when an
 * account has verified the same one, and greeted there. One thread per instance; instances share the table (SKIP
 * LOCKED), so an event is worked on by one of them at a time. */
#ifndef MADANG_NOTIFY_SLACK_WORKER_H
#define MADANG_NOTIFY_SLACK_WORKER_H

#include "channels.h"
#include "pg.h"

struct slack_worker;
struct slack_worker *slack_worker_start(struct pg_pool *db, struct channels *channels, struct err *err);
void slack_worker_release(struct slack_worker **worker); /* ends what it is at */

#endif
