/* app.h - all that a handler of user-svc can reach. Fixed after start. */
#ifndef MADANG_USER_APP_H
#define MADANG_USER_APP_H

#include "config.h"
#include "objstore.h"
#include "pg.h"

struct user_app {
    const struct user_config *config;
    struct pg_pool *db;
    struct objstore *files;
};

#endif
