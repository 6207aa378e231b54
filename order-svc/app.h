/* app.h - all that the parts of order-svc can reach. Fixed after start.
 *
 *     handlers (api_*.c)  --command-->  market.commands  -->  match-svc, the market's owner
 *     match-svc  -->  market.events  -->  every instance: pending, who waits for a verdict
 *                                    -->  settle.c, one worker per partition: the schema "orders", which reads answer
 * from
 */
#ifndef MADANG_ORDER_APP_H
#define MADANG_ORDER_APP_H

#include "catalog.h"
#include "config.h"
#include "entry.h"
#include "kafka.h"
#include "pending.h"
#include "pg.h"

struct fresh;  /* fresh.h: how far the schema is behind the log */
struct settle; /* settle.h: the worker that settles */

struct order_app {
    const struct order_config *config;
    struct pg_pool *db;
    struct kafka_producer *producer;
    struct pending *pending;
    struct fresh *fresh;
    struct catalog *catalog; /* the markets that this instance knows */
    struct entry *entry;     /* the sending path */
    struct settle *settle;
};

#endif
