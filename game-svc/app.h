/* app.h - all that the parts of game-svc can reach. Fixed after start.
 *
 *     round clock (steps.c)  --commands, by the outbox-->  market.commands  -->  match-svc
 *     match-svc  -->  market.events  -->  follow.c, a worker: who takes part, final accounts, what the bots' orders met
 *     match-svc  -->  market.depth   -->  depth.c, in memory: prices and levels for the refill and the API */
#ifndef MADANG_GAME_APP_H
#define MADANG_GAME_APP_H

#include "config.h"
#include "depth.h"
#include "pg.h"

struct game_app {
    const struct game_config *config;
    struct pg_pool *db;
    struct depth *depth;
    struct follow *follow;
};

#endif
