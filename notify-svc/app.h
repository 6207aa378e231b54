/* app.h - all that a handler or a worker of notify-svc can reach. Fixed after start. */
#ifndef MADANG_NOTIFY_APP_H
#define MADANG_NOTIFY_APP_H

#include "config.h"
#include "cookie.h"
#include "http.h"
#include "pg.h"
#include "redis.h"
#include "ticket.h"

struct notify_app {
    const struct notify_config *config;
    struct pg_pool *db;
    struct redis *redis;
    struct ticket_gate *tickets;
    struct revoked *revoked; /* sessions that have ended */
    unsigned char cookie_key[COOKIE_KEY_BYTES];
    bool cookie_secure;
    struct hub *hub;           /* open event streams */
    struct deliver *deliver;   /* senders of the outgoing channels */
    struct channels *channels; /* e-mail, SMS, Slack */
};

#endif
