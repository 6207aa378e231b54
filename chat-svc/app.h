/* app.h - all that the parts of chat-svc can reach. Fixed after start.
 *
 *     handlers (api_*.c) and sockets (live*.c)  --command-->  chat.inbound  -->  owner.c (one per partition)  -->
 * PostgreSQL and back:  chat.events  -->  every instance: pending (who waits for a verdict) and hub (its sockets)
 * (the owner's own instance: lane.h and shortcut.h)
 */
#ifndef MADANG_CHAT_APP_H
#define MADANG_CHAT_APP_H

#include "config.h"
#include "kafka.h"
#include "objstore.h"
#include "pending.h"
#include "pg.h"
#include "redis.h"

struct hub;      /* hub.h: the sockets of this instance */
struct presence; /* presence_copy.h: who is online, from presence.changes */
struct owner;    /* owner.h: what the owner of partitions keeps */
struct shortcut; /* shortcut.h: from the owner to this instance's own sockets */
struct lane;     /* lane.h: from this instance to the owner in it */

struct chat_app {
    const struct chat_config *config;
    struct pg_pool *db;
    struct kafka_producer *producer;
    struct pending *pending;
    struct objstore *files;
    struct redis *redis;
    struct presence *presence;
    struct owner *owner;
    struct shortcut *shortcut; /* NULL: everything takes the long way */
    struct lane *lane;         /* NULL: the same of commands */
    struct hub *hub;
};

#endif
