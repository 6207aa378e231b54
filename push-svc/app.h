/* app.h - all that a handler of push-svc can reach. Fixed after start. */
#ifndef MADANG_PUSH_APP_H
#define MADANG_PUSH_APP_H

#include "config.h"
#include "pg.h"
#include "reach.h"

struct post;

struct push_app {
    const struct push_config *config;
    struct pg_pool *db;
    struct reach reach;       /* where subscriptions may point */
    const char *vapid_public; /* base64url of the 65 bytes of the public key */
    struct post *post;        /* woken when there is something to send */
};

#endif
