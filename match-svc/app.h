/* app.h - all that the parts of match-svc can reach. Fixed after start.
 *
 *     market.commands  -->  owner.c (one owner per partition; engines: book.c)  -->  market.events
 *                                    |--> snapshots.c: PostgreSQL                -->  depth.c: market.depth
 */
#ifndef MADANG_MATCH_APP_H
#define MADANG_MATCH_APP_H

#include "config.h"
#include "kafka.h"
#include "pg.h"

struct owner; /* owner.h: the markets that are ours */
struct table; /* table.h: the newest state of every company, ours or not */
struct depth; /* depth.h: what of our markets goes to market.depth */
struct feed;  /* feed.h: the sockets of this instance */

struct match_app {
    const struct match_config *config;
    struct pg_pool *db;
    struct kafka_producer *producer;
    struct owner *owner;
    struct table *table;
    struct depth *depth;
    struct feed *feed;
};

#endif
