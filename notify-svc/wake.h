/* wake.h - the wake-up between instances: after something changed in inboxes, whoever changed it publishes the users'
 * ids by Redis, and every instance that holds streams of theirs looks. Only a wake-up: what is lost with Redis is found
 * by the hub's own look every 5 s. */
#ifndef MADANG_NOTIFY_WAKE_H
#define MADANG_NOTIFY_WAKE_H

#include "errors.h"
#include "redis.h"

#include <stddef.h>

struct hub;
struct wake;

/* Subscribes on a thread of its own and tells the hub what others publish. */
struct wake *wake_start(const char *redis_url, const char *instance, struct hub *hub, struct err *err);
void wake_release(struct wake **wake);

/* Never waits longer than a call of redis.h may; a failure is counted and otherwise ignored. */
void wake_publish(struct redis *redis, const char *instance, const char *const *users, size_t count);

#endif
