/* services.h - the two tables of the local stack: which daemons there are, which stores, and how each is started. */
#ifndef MADANG_LOCAL_SERVICES_H
#define MADANG_LOCAL_SERVICES_H

#include "unit.h"

#include <stdbool.h>
#include <stddef.h>

#define UNITS_MAX 128
#define INSTANCES_MAX 9

/* Makes the units of the stores, with the ports of ours checked; the number, -1 with a message when it cannot be.
 * A store that somebody else runs (PG_URL, REDIS_URL, KAFKA_BROKERS) is a unit without argv. */
int services_make_stores(struct unit units[UNITS_MAX]);

/* Makes a unit per instance of every service (SCALE) and writes its .url and .admin; the number, -1 with a message. */
int services_make_daemons(struct unit units[UNITS_MAX]);

/* Program, arguments and environment of a developer's own instance beside the running ones; false with a message. */
bool services_make_one(const char *service, struct unit *unit);

/* Calls `each` for every instance that was made (it has an .admin file), by name. */
void services_each_instance(void (*each)(const char *instance, void *payload), void *payload);

/* Removes pid, url and admin files of all instances. */
void services_forget_instances(void);

#endif
