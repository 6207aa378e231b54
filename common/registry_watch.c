#include "registry_internal.h"

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "redis_internal.h"
#include "registry_table.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    READ_MS = 5000,       /* a lost message costs no more than this */
    READ_AGAIN_MS = 1000, /* after a failure */
    GATHER_MS = 30,       /* changes that come together are read together */
    PING_MS = 2000,
    SILENCE_MS = 5000, /* a subscription that is silent for so long is dead */
    CONNECT_MS = 1000, /* between two tries */
    KEYS_AT_ONCE = 256,
    SCANS_MAX = 10000,
    ARENA_BYTES = 1024 * 1024,
};

struct registry_watch {
    struct redis *redis;
    struct redis_address address;
    void (*changed)(void *payload);
    void *payload;
    pthread_t thread;
    bool thread_runs;
    int wake_fd;
    atomic_bool stopping, ready, stale;
    atomic_uint turn; /* of registry_pick */

    pthread_mutex_t lock; /* of the table, which the thread alone changes */
    struct registry_table table;

    /* thread only */
    redisContext *subscription;
    int64_t read_at_ms, connect_at_ms, ping_at_ms, heard_ms;
    bool away;
};

/* ---- reading everything ---- */

static bool add_records(struct registry_watch *watch, const char **argv, int argc, struct registry_table *fresh,
                        struct err *err)
{
    AUTO(redis_reply) reply = redis_call(watch->redis, argc, argv, NULL, err);
    if (!reply)
        return false;
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    for (size_t i = 0; i < redis_count(reply) && fresh->count < REGISTRY_ENTRIES_MAX; i++) {
        const char *text = redis_text(redis_item(reply, i));
        struct registry_entry entry;
        arena_reset(arena);
        if (!text) /* its lease ended between SCAN and MGET */
            continue;
        if (registry_record_parse(arena, text, strlen(text), &entry))
            registry_table_add(fresh, &entry);
        else
            log_event(LOG_WARN, "registry_record_wrong", LOG_TEXT("key", argv[i + 1]));
    }
    return true;
}

/* The records behind one page of keys. */
static bool read_page(struct registry_watch *watch, const struct redis_reply *keys, struct registry_table *fresh,
                      struct err *err)
{
    const char *argv[KEYS_AT_ONCE + 1] = {"MGET"};
    size_t count = redis_count(keys);
    for (size_t at = 0; at < count;) {
        int argc = 1;
        while (at < count && argc <= KEYS_AT_ONCE) {
            const char *key = redis_text(redis_item(keys, at++));
            if (key)
                argv[argc++] = key;
        }
        if (argc > 1 && !add_records(watch, argv, argc, fresh, err))
            return false;
    }
    return true;
}

static bool read_all(struct registry_watch *watch, struct registry_table *fresh, struct err *err)
{
    char cursor[32] = "0";
    for (int scans = 0; scans < SCANS_MAX; scans++) {
        AUTO(redis_reply)
        reply = REDIS_CALL(watch->redis, err, "SCAN", cursor, "MATCH", REGISTRY_PATTERN, "COUNT", "1000");
        if (!reply)
            return false;
        const char *next = redis_count(reply) == 2 ? redis_text(redis_item(reply, 0)) : NULL;
        if (!next || strlen(next) >= sizeof cursor)
            return err_set_internal(err, &ERR_INTERNAL, "Redis answers SCAN in an unknown form");
        if (!read_page(watch, redis_item(reply, 1), fresh, err))
            return false;
        memcpy(cursor, next, strlen(next) + 1);
        if (strcmp(cursor, "0") == 0)
            return true;
    }
    return err_set_internal(err, &ERR_INTERNAL, "Redis does not end its SCAN");
}

static void note_away(struct registry_watch *watch, bool away, const struct err *err)
{
    if (away && !watch->away)
        log_err("registry_not_read", err);
    else if (!away && watch->away)
        log_event(LOG_INFO, "registry_read_again");
    watch->away = away;
}

static void refresh(struct registry_watch *watch)
{
    struct err err = {0};
    struct registry_table fresh = {0};
    bool ok = read_all(watch, &fresh, &err), changed = false, kept = watch->table.kept > 0;
    int64_t now_ms = clock_monotonic_ms();
    note_away(watch, !ok, &err);
    watch->read_at_ms = now_ms + (ok ? READ_MS : READ_AGAIN_MS);
    if (ok) {
        (void)pthread_mutex_lock(&watch->lock);
        changed = registry_table_merge(&watch->table, &fresh, now_ms);
        (void)pthread_mutex_unlock(&watch->lock);
        if (watch->table.kept && !kept)
            log_event(LOG_WARN, "registry_kept", LOG_I64("instances", watch->table.kept));
        atomic_store(&watch->ready, true);
    }
    registry_table_free(&fresh);
    atomic_store(&watch->stale, !ok || watch->table.kept > 0);
    if (changed && watch->changed)
        watch->changed(watch->payload);
}

/* ---- the subscription: only tells when to read earlier ---- */

static void unsubscribe(struct registry_watch *watch)
{
    if (watch->subscription)
        redisFree(watch->subscription);
    watch->subscription = NULL;
    watch->connect_at_ms = clock_monotonic_ms() + CONNECT_MS;
}

static bool send_words(redisContext *context, int argc, const char **argv)
{
    int done = 0;
    if (redisAppendCommandArgv(context, argc, argv, NULL) != REDIS_OK)
        return false;
    while (!done) {
        if (redisBufferWrite(context, &done) != REDIS_OK)
            return false;
    }
    return true;
}

static void subscribe(struct registry_watch *watch)
{
    struct err err = {0};
    const char *words[] = {"SUBSCRIBE", REGISTRY_CHANGES};
    int64_t now_ms = clock_monotonic_ms();
    watch->subscription = redis_connect(&watch->address, REDIS_TIMEOUT_MS, &err);
    if (!watch->subscription || !send_words(watch->subscription, 2, words)) {
        unsubscribe(watch);
        return;
    }
    watch->heard_ms = now_ms;
    watch->ping_at_ms = now_ms + PING_MS;
}

/* "message", channel, text and "subscribe", channel, count (after which nothing is missed) ask for a read; PONGs don't.
 */
static bool asks_for_read(const redisReply *reply)
{
    const char *kind = reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 ? reply->element[0]->str : NULL;
    return kind && (strcmp(kind, "message") == 0 || strcmp(kind, "subscribe") == 0);
}

/* One that says good-bye is not suspect when the next reading lacks it. */
static void note_message(struct registry_watch *watch, const redisReply *reply)
{
    struct registry_entry gone;
    const redisReply *text = reply->element[2];
    if (text->type != REDIS_REPLY_STRING)
        return;
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    if (!registry_message_says_gone(arena, text->str, (size_t)text->len, &gone))
        return;
    (void)pthread_mutex_lock(&watch->lock);
    registry_table_note_gone(&watch->table, &gone);
    (void)pthread_mutex_unlock(&watch->lock);
}

static void hear(struct registry_watch *watch)
{
    void *reply = NULL;
    bool ok = redisBufferRead(watch->subscription) == REDIS_OK;
    watch->heard_ms = clock_monotonic_ms();
    while (ok && (ok = redisGetReplyFromReader(watch->subscription, &reply) == REDIS_OK) && reply) {
        if (asks_for_read(reply)) {
            note_message(watch, reply);
            if (watch->read_at_ms > watch->heard_ms + GATHER_MS)
                watch->read_at_ms = watch->heard_ms + GATHER_MS;
        }
        freeReplyObject(reply);
    }
    if (!ok)
        unsubscribe(watch);
}

static void keep_alive(struct registry_watch *watch, int64_t now_ms)
{
    const char *words[] = {"PING"};
    if (!watch->subscription) {
        if (now_ms >= watch->connect_at_ms)
            subscribe(watch);
        return;
    }
    if (now_ms - watch->heard_ms > SILENCE_MS) {
        unsubscribe(watch);
    } else if (now_ms >= watch->ping_at_ms) {
        watch->ping_at_ms = now_ms + PING_MS;
        if (!send_words(watch->subscription, 1, words))
            unsubscribe(watch);
    }
}

static void wait_for_work(struct registry_watch *watch)
{
    int64_t next_ms = watch->subscription ? watch->ping_at_ms : watch->connect_at_ms;
    next_ms = watch->read_at_ms < next_ms ? watch->read_at_ms : next_ms;
    int64_t wait_ms = next_ms - clock_monotonic_ms();
    struct pollfd waits[] = {{.fd = watch->wake_fd, .events = POLLIN},
                             {.fd = watch->subscription ? watch->subscription->fd : -1, .events = POLLIN}};
    if (poll(waits, ARRAY_LENGTH(waits), wait_ms > 0 ? (int)wait_ms : 0) > 0 && waits[1].revents)
        hear(watch);
}

static void *follow(void *payload)
{
    struct registry_watch *watch = payload;
    while (!atomic_load(&watch->stopping)) {
        keep_alive(watch, clock_monotonic_ms());
        if (clock_monotonic_ms() >= watch->read_at_ms)
            refresh(watch);
        wait_for_work(watch);
    }
    return NULL;
}

/* ---- for callers ---- */

static int64_t count_instances(void *payload)
{
    return (int64_t)registry_list(payload, NULL, NULL, 0);
}

static int64_t is_stale(void *payload)
{
    return registry_watch_stale(payload);
}

struct registry_watch *registry_watch_start(const char *redis_url, void (*changed)(void *payload), void *payload,
                                            struct err *err)
{
    AUTO(registry_watch) watch = MEM_NEW(registry_watch);
    (void)pthread_mutex_init(&watch->lock, NULL);
    watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    watch->changed = changed;
    watch->payload = payload;
    watch->redis = redis_open(redis_url, 1, err);
    if (!watch->redis || !redis_address_parse(&watch->address, redis_url, err))
        return NULL;
    int reason = pthread_create(&watch->thread, NULL, follow, watch);
    if (reason) {
        err_set_internal(err, &ERR_INTERNAL, "can't start the registry's thread: %s", strerror(reason));
        return NULL;
    }
    watch->thread_runs = true;
    metric_gauge_read("madang_registry_instances", "Instances in the table of who runs where", count_instances, watch);
    metric_gauge_read("madang_registry_stale", "1: that table is an old one, for Redis is away or lost most of it",
                      is_stale, watch);
    return TAKE(watch);
}

void registry_watch_release(struct registry_watch **place)
{
    struct registry_watch *watch = *place;
    if (!watch)
        return;
    atomic_store(&watch->stopping, true);
    (void)eventfd_write(watch->wake_fd, 1);
    if (watch->thread_runs)
        (void)pthread_join(watch->thread, NULL);
    if (watch->subscription)
        redisFree(watch->subscription);
    metric_forget(watch);
    redis_release(&watch->redis);
    registry_table_free(&watch->table);
    if (watch->wake_fd >= 0)
        (void)close(watch->wake_fd);
    (void)pthread_mutex_destroy(&watch->lock);
    free(watch);
    *place = NULL;
}

size_t registry_list(struct registry_watch *watch, const char *service, struct registry_entry *entries, size_t max)
{
    size_t found = 0;
    (void)pthread_mutex_lock(&watch->lock);
    for (size_t i = 0; i < watch->table.count; i++) {
        const struct registry_entry *entry = &watch->table.rows[i].entry;
        if (service && strcmp(entry->service, service) != 0)
            continue;
        if (found < max)
            entries[found] = *entry;
        found++;
    }
    (void)pthread_mutex_unlock(&watch->lock);
    return found;
}

bool registry_pick(struct registry_watch *watch, const char *service, char *address, size_t size)
{
    unsigned turn = atomic_fetch_add(&watch->turn, 1);
    (void)pthread_mutex_lock(&watch->lock);
    const struct registry_entry *entry = registry_table_pick(&watch->table, service, turn);
    if (entry)
        (void)snprintf(address, size, "%s", entry->address);
    (void)pthread_mutex_unlock(&watch->lock);
    return entry != NULL;
}

bool registry_watch_ready(void *watch)
{
    return atomic_load(&((struct registry_watch *)watch)->ready);
}

bool registry_watch_stale(struct registry_watch *watch)
{
    return atomic_load(&watch->stale);
}
