/* app.h - struct gateway: all that the threads share. Fixed after start, but for what says so. */
#ifndef GATEWAY_APP_H
#define GATEWAY_APP_H

#include "address.h"
#include "config.h"
#include "instances.h"
#include "limiter.h"
#include "routes.h"
#include "token.h"

#include <pthread.h>
#include <stdatomic.h>

struct access_log;
struct cors;
struct docs;
struct loop;
struct tls;

struct gateway {
    const struct gateway_config *config;
    bool dev, bench;
    struct limit_rate address_rate, user_rate, failed_rate;
    struct networks trusted;
    struct cors *cors;
    struct limits *limits;         /* thread-safe */
    struct keyset *keys;           /* thread-safe */
    struct revoked *revoked;       /* thread-safe */
    struct auth_feed *feed;        /* thread-safe */
    struct registry_watch *watch;  /* thread-safe */
    struct instances *instances;   /* thread-safe */
    struct access_log *access_log; /* thread-safe; NULL: off */
    struct tls *tls;               /* thread-safe; NULL: plain */
    struct docs *docs;             /* thread-safe */
    pthread_mutex_t lock;          /* guards routes */
    struct routes *routes;         /* the present table; loops hold their own share */
    char listen[80];               /* LISTEN with the port that was bound */
    atomic_int connections;        /* of clients, all loops */
    atomic_int streams;            /* open tunnels and streams among them */
    atomic_bool draining;          /* every answer says Connection: close */
    int loop_count;
    struct loop **loops;
};

/* The present route table, shared; the caller releases it. */
struct routes *gateway_routes(struct gateway *gateway);

#endif
