#include "redis.h"

#include "clock.h"
#include "log.h"
#include "redis_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum {
    FAILURES_TO_OPEN = 2, /* one may be a connection that died with its server */
    OPEN_MS = 500,
    LEAST_RETRY_MS = 20, /* of the call's time must be left for a second try */
    CONNECTIONS_MAX = 64,
};

/* hiredis' own type stands behind ours: a pointer to a struct is one to its first member. */
struct redis_reply {
    redisReply inner;
};

struct redis {
    struct redis_address address;
    pthread_mutex_t lock;
    pthread_cond_t returned; /* monotonic clock */
    int connections, open;   /* most, and how many there are, idle or lent */
    redisContext *idle[CONNECTIONS_MAX];
    int idle_count;

    /* the breaker */
    int failures;
    _Atomic int64_t open_until_ms; /* 0: closed; changed under the lock */
    bool probing;
};

struct redis *redis_open(const char *url, int connections, struct err *err)
{
    AUTO(redis) redis = MEM_NEW(redis);
    pthread_condattr_t attributes;
    (void)pthread_mutex_init(&redis->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&redis->returned, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    redis->connections = connections < 1 ? 1 : connections > CONNECTIONS_MAX ? CONNECTIONS_MAX : connections;
    return redis_address_parse(&redis->address, url, err) ? TAKE(redis) : NULL;
}

void redis_release(struct redis **place)
{
    struct redis *redis = *place;
    if (!redis)
        return;
    while (redis->idle_count)
        redisFree(redis->idle[--redis->idle_count]);
    (void)pthread_cond_destroy(&redis->returned);
    (void)pthread_mutex_destroy(&redis->lock);
    free(redis);
    *place = NULL;
}

/* ---- the breaker ---- */

bool redis_available(const struct redis *redis)
{
    return atomic_load(&redis->open_until_ms) == 0;
}

static bool breaker_admits(struct redis *redis)
{
    (void)pthread_mutex_lock(&redis->lock);
    bool admits = redis->open_until_ms == 0;
    if (!admits && !redis->probing && clock_monotonic_ms() >= redis->open_until_ms)
        admits = redis->probing = true;
    (void)pthread_mutex_unlock(&redis->lock);
    return admits;
}

static void breaker_note(struct redis *redis, bool ok, const struct err *err)
{
    (void)pthread_mutex_lock(&redis->lock);
    bool was_open = redis->open_until_ms != 0;
    redis->probing = false;
    redis->failures = ok ? 0 : redis->failures + 1;
    if (ok)
        redis->open_until_ms = 0;
    else if (was_open || redis->failures >= FAILURES_TO_OPEN)
        redis->open_until_ms = clock_monotonic_ms() + OPEN_MS;
    bool is_open = redis->open_until_ms != 0;
    (void)pthread_mutex_unlock(&redis->lock);
    if (is_open && !was_open)
        log_event(LOG_WARN, "redis_away", LOG_TEXT("error.detail", err->detail));
    else if (was_open && !is_open)
        log_event(LOG_INFO, "redis_back");
}

/* ---- the pool ---- */

static struct timespec moment(int64_t monotonic_ms)
{
    return (struct timespec){.tv_sec = monotonic_ms / 1000, .tv_nsec = monotonic_ms % 1000 * 1000000};
}

/* An idle connection, or NULL: the caller may open one. False when none came free in time. */
static bool pool_take(struct redis *redis, int64_t until_ms, redisContext **context)
{
    struct timespec until = moment(until_ms);
    int reason = 0;
    *context = NULL;
    (void)pthread_mutex_lock(&redis->lock);
    while (!redis->idle_count && redis->open == redis->connections && reason == 0)
        reason = pthread_cond_timedwait(&redis->returned, &redis->lock, &until);
    bool ok = true;
    if (redis->idle_count)
        *context = redis->idle[--redis->idle_count];
    else if (redis->open < redis->connections)
        redis->open++;
    else
        ok = false;
    (void)pthread_mutex_unlock(&redis->lock);
    return ok;
}

/* `context` NULL: the connection is gone, another may be opened. */
static void pool_give(struct redis *redis, redisContext *context)
{
    (void)pthread_mutex_lock(&redis->lock);
    if (context)
        redis->idle[redis->idle_count++] = context;
    else
        redis->open--;
    (void)pthread_mutex_unlock(&redis->lock);
    (void)pthread_cond_signal(&redis->returned);
}

/* The other idle connections are as dead as the one that just failed. */
static void pool_drop_idle(struct redis *redis)
{
    redisContext *dead[CONNECTIONS_MAX];
    (void)pthread_mutex_lock(&redis->lock);
    int count = redis->idle_count;
    for (int i = 0; i < count; i++)
        dead[i] = redis->idle[i];
    redis->idle_count = 0;
    redis->open -= count;
    (void)pthread_mutex_unlock(&redis->lock);
    (void)pthread_cond_broadcast(&redis->returned);
    for (int i = 0; i < count; i++)
        redisFree(dead[i]);
}

/* ---- calls ---- */

struct call {
    int argc;
    const char **argv;
    const size_t *lengths;
    int64_t until_ms;
    bool fresh; /* on a new connection, whose calls were given only what was left of the time */
};

static bool timed_out(const redisContext *context, int reason)
{
    return context->err == REDIS_ERR_IO && (reason == EAGAIN || reason == EWOULDBLOCK || reason == ETIMEDOUT);
}

/* One try on a lent connection, which is freed on failure. *dead: the connection was closed by the other side. */
static redisReply *try_on(struct redis *redis, redisContext *context, const struct call *call, bool *dead,
                          struct err *err)
{
    errno = 0;
    redisReply *reply = redisCommandArgv(context, call->argc, call->argv, call->lengths);
    if (reply) {
        if (call->fresh)
            (void)redisSetTimeout(context, (struct timeval){.tv_usec = REDIS_TIMEOUT_MS * 1000});
        pool_give(redis, context);
        return reply;
    }
    *dead = !timed_out(context, errno);
    err_set_internal(err, &ERR_UNAVAILABLE, "Redis: %s", *dead ? context->errstr : "no answer in time");
    redisFree(context);
    pool_give(redis, NULL);
    return NULL;
}

static redisReply *try_fresh(struct redis *redis, struct call *call, struct err *err)
{
    bool dead;
    call->fresh = true;
    int64_t left_ms = call->until_ms - clock_monotonic_ms();
    redisContext *context = redis_connect(&redis->address, left_ms > 1 ? (int)left_ms : 1, err);
    if (!context) {
        pool_give(redis, NULL);
        return NULL;
    }
    return try_on(redis, context, call, &dead, err);
}

/* A kept connection may have died with a restarted server: then once more on a new one, in what is left of the time. */
static redisReply *attempt(struct redis *redis, struct call *call, struct err *err)
{
    redisContext *context;
    bool dead = false;
    if (!pool_take(redis, call->until_ms, &context)) {
        err_set_internal(err, &ERR_UNAVAILABLE, "no Redis connection came free in time");
        return NULL;
    }
    if (!context)
        return try_fresh(redis, call, err);
    redisReply *reply = try_on(redis, context, call, &dead, err);
    if (reply || !dead || call->until_ms - clock_monotonic_ms() < LEAST_RETRY_MS)
        return reply;
    pool_drop_idle(redis);
    if (!pool_take(redis, call->until_ms, &context))
        return NULL;
    return context ? try_on(redis, context, call, &dead, err) : try_fresh(redis, call, err);
}

/* Errors of a server that can't serve now, as against a command that is wrong. */
static bool is_passing(const char *text)
{
    static const char *const WORDS[] = {"LOADING",  "MASTERDOWN", "READONLY", "CLUSTERDOWN",
                                        "TRYAGAIN", "MISCONF",    "OOM",      "BUSY"};
    for (size_t i = 0; i < ARRAY_LENGTH(WORDS); i++) {
        if (strncmp(text, WORDS[i], strlen(WORDS[i])) == 0)
            return true;
    }
    return false;
}

static bool check_reply(const redisReply *reply, const struct call *call, struct err *err)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return true;
    return err_set_internal(err, is_passing(reply->str) ? &ERR_UNAVAILABLE : &ERR_INTERNAL, "Redis on %.20s: %.150s",
                            call->argv[0], reply->str);
}

struct redis_reply *redis_call(struct redis *redis, int argc, const char *const *argv, const size_t *lengths,
                               struct err *err)
{
    if (!breaker_admits(redis)) {
        err_set_internal(err, &ERR_UNAVAILABLE, "Redis is away: not asked");
        return NULL;
    }
    union {
        const char *const *given;
        const char **wanted; /* hiredis forgot a const */
    } words = {.given = argv};
    struct call call = {
        .argc = argc, .argv = words.wanted, .lengths = lengths, .until_ms = clock_monotonic_ms() + REDIS_TIMEOUT_MS};
    struct err failure = {0};
    redisReply *reply = attempt(redis, &call, &failure);
    bool ok = reply && (check_reply(reply, &call, &failure) || failure.problem == &ERR_INTERNAL);
    breaker_note(redis, ok, &failure);
    if (reply && reply->type != REDIS_REPLY_ERROR)
        return (struct redis_reply *)reply;
    if (reply)
        freeReplyObject(reply);
    *err = failure;
    return NULL;
}

/* ---- replies ---- */

void redis_reply_release(struct redis_reply **reply)
{
    if (*reply)
        freeReplyObject(&(*reply)->inner);
    *reply = NULL;
}

bool redis_is_nil(const struct redis_reply *reply)
{
    return reply->inner.type == REDIS_REPLY_NIL;
}

int64_t redis_i64(const struct redis_reply *reply)
{
    if (reply->inner.type == REDIS_REPLY_INTEGER)
        return reply->inner.integer;
    return reply->inner.type == REDIS_REPLY_STRING ? strtoll(reply->inner.str, NULL, 10) : 0;
}

const char *redis_text(const struct redis_reply *reply)
{
    bool text = reply->inner.type == REDIS_REPLY_STRING || reply->inner.type == REDIS_REPLY_STATUS;
    return text ? reply->inner.str : NULL;
}

size_t redis_count(const struct redis_reply *reply)
{
    return reply->inner.type == REDIS_REPLY_ARRAY ? reply->inner.elements : 0;
}

const struct redis_reply *redis_item(const struct redis_reply *reply, size_t index)
{
    return (const struct redis_reply *)reply->inner.element[index];
}
