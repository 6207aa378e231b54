/* sweep.h - the thread that lets time pass: whose connections are over goes offline, and old connections are forgotten.
 * One instance at a time sweeps (PostgreSQL advisory lock); the others try every second.
 *
 * Somebody's time is over only as far as the signals are applied: the sweep asks where the partition ends, and waits
 * for another turn while the worker is behind that. While Kafka does not answer no lease runs: beats can't come then.
 */
#ifndef MADANG_PRESENCE_SWEEP_H
#define MADANG_PRESENCE_SWEEP_H

#include "app.h"

struct sweep;
struct sweep *sweep_start(const struct presence_app *app, struct err *err);
void sweep_release(struct sweep **sweep);

#endif
