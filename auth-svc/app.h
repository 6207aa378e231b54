/* app.h - all a handler of auth-svc can reach. Made in main.c before the first request, constant afterwards. */
#ifndef AUTH_APP_H
#define AUTH_APP_H

#include "config.h"
#include "pg.h"
#include "redis.h"
#include "secret.h"

struct keys;      /* keys.h: the signing keys */
struct passwords; /* password.h: Argon2id, a few at a time */
struct limits;    /* limits.h: failed log-ins */
struct social;    /* social.h: the providers */

struct auth_app {
    const struct auth_config *cfg;
    struct pg_pool *db;
    struct redis *redis;
    struct secret secret;
    struct keys *keys;
    struct passwords *passwords;
    struct limits *limits;
    struct social *social;
};

#endif
