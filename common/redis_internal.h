/* redis_internal.h - addresses and connections, for redis.c and the registry's subscription. */
#ifndef MADANG_REDIS_INTERNAL_H
#define MADANG_REDIS_INTERNAL_H

#include "errors.h"

#include <hiredis/hiredis.h>

enum { REDIS_TIMEOUT_MS = 200 };

struct redis_address {
    char host[64], user[64], password[256];
    int port, db;
};

/* redis://[user:password@]host[:port][/db]; what is wrong is told without the password. */
bool redis_address_parse(struct redis_address *address, const char *url, struct err *err);

/* A connection that is logged in and has its database, in at most timeout_ms; its calls end after timeout_ms too.
 * NULL with ERR_UNAVAILABLE. The caller frees it by redisFree. */
redisContext *redis_connect(const struct redis_address *address, int timeout_ms, struct err *err);

#endif
