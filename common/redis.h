/* redis.h - Redis by hiredis: short calls only. Each ends after 200 ms; after failures a breaker answers at once (for
 * 500 ms, then one call probes), so no handler ever waits for Redis. Nothing durable lives there. Thread-safe. */
#ifndef MADANG_REDIS_H
#define MADANG_REDIS_H

#include "errors.h"
#include "mem.h"

#include <stdint.h>

struct redis; /* a small pool of connections */
struct redis_reply;

/* redis://[user:password@]host:port[/db]. Opening needs no server. */
struct redis *redis_open(const char *url, int connections, struct err *err);
void redis_release(struct redis **redis);

/* One command as separate words (binary-safe by `lengths`, or NULL for C strings). NULL with ERR_UNAVAILABLE. A Redis
 * error reply is ERR_INTERNAL. */
struct redis_reply *redis_call(struct redis *redis, int argc, const char *const *argv, const size_t *lengths,
                               struct err *err);
#define REDIS_CALL(redis, err, ...)                                                                                    \
    redis_call((redis), (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)),                      \
               (const char *const[]){__VA_ARGS__}, NULL, (err))

bool redis_is_nil(const struct redis_reply *reply);
int64_t redis_i64(const struct redis_reply *reply);
const char *redis_text(const struct redis_reply *reply); /* NULL for nil or other kinds; lent */
size_t redis_count(const struct redis_reply *reply);     /* items of an array */
const struct redis_reply *redis_item(const struct redis_reply *reply, size_t index);
void redis_reply_release(struct redis_reply **reply);

bool redis_available(const struct redis *redis); /* what the breaker thinks */

#endif
