/* registry.h - who runs where: service name -> addresses, through Redis.
 *
 * Each instance keeps registry:{service}:{instance} = JSON {service, instance, address, version, started, epoch,
 * weight, state} with a 6 s lease renewed every 2 s, and publishes each change on registry:changes. A watcher keeps a
 * table in memory: it re-reads everything at start, on reconnect and every 5 s, and keeps its last table while Redis is
 * away. An instance that vanishes without `draining` stays as suspect (used last) for 10 s; if more than half vanish at
 * once the old table is kept and flagged. Two instances with one id: the newer epoch wins. Thread-safe. */
#ifndef MADANG_REGISTRY_H
#define MADANG_REGISTRY_H

#include "errors.h"
#include "redis.h"

#include <stddef.h>
#include <stdint.h>

struct registry_entry {
    char service[32], instance[64], address[80], version[24];
    int64_t started_ms, epoch;
    int weight;
    enum { INSTANCE_UP, INSTANCE_DRAINING, INSTANCE_SUSPECT } state;
};

/* Announces this instance until released. Redis away: it goes on trying. The weight (1 to 1000) is its share of the
 * gateway's requests beside those of other instances. */
struct registry_lease;
struct registry_lease *registry_announce(const char *redis_url, const char *service, const char *instance,
                                         const char *address, int64_t weight, struct err *err);
/* An operator's wish for an instance, whichever it is: it says draining within 2 s, while it works on, until the wish
 * is taken back (or Redis forgets it, after a day). ERR_UNAVAILABLE without Redis. */
bool registry_ask_drain(const char *redis_url, const char *service, const char *instance, bool on, struct err *err);
void registry_drain(struct registry_lease *lease);          /* state: draining, told at once */
void registry_lease_release(struct registry_lease **lease); /* removes the key, if it is still ours */

struct registry_watch;
/* `changed` runs on the watcher's thread after each change of the table. May be NULL. */
struct registry_watch *registry_watch_start(const char *redis_url, void (*changed)(void *payload), void *payload,
                                            struct err *err);
void registry_watch_release(struct registry_watch **watch);
/* Copies up to `max` entries of a service (NULL: all); returns how many there are. */
size_t registry_list(struct registry_watch *watch, const char *service, struct registry_entry *entries, size_t max);
/* One address of an instance that is up (else draining, else suspect), another one each time. False when none is known.
 */
bool registry_pick(struct registry_watch *watch, const char *service, char *address, size_t size);
bool registry_watch_ready(void *watch); /* the table was read once */
/* True while the table is kept against Redis' word, or Redis is away. */
bool registry_watch_stale(struct registry_watch *watch);

#endif
