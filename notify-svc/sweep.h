/* sweep.h - the thread that deletes what is older than its days: notices, deliveries that are over, sessions of
 * streams. Every instance has one; they do not disturb each other. */
#ifndef MADANG_NOTIFY_SWEEP_H
#define MADANG_NOTIFY_SWEEP_H

#include "config.h"
#include "pg.h"

struct sweep;
struct sweep *sweep_start(struct pg_pool *db, const struct notify_config *config, struct err *err);
void sweep_release(struct sweep **sweep);

#endif
