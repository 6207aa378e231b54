/* app.h - all that a handler of presence-svc can reach. Fixed after start. */
#ifndef MADANG_PRESENCE_APP_H
#define MADANG_PRESENCE_APP_H

#include "config.h"
#include "kafka.h"
#include "pg.h"

struct presence_app {
    const struct presence_config *config;
    struct pg_pool *db;
    struct kafka_producer *producer;
};

#endif
