#include "registry_internal.h"

#include "clock.h"
#include "log.h"
#include "service.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WISH_SECONDS "86400"
enum { LEASE_MS = 6000, RENEW_MS = 2000, RETRY_MS = 500 };

/* KEYS[1] the record; ARGV: record, epoch, lease, message, "1" to tell in any case. 0, or the newer epoch that stands
 * there. A record that was gone (Redis wiped, lease over) is told again too. */
static const char RENEW[] =
    "local old = redis.call('GET', KEYS[1]) "
    "if old then local ok, it = pcall(cjson.decode, old) "
    "  if ok and type(it) == 'table' and (tonumber(it.epoch) or 0) > tonumber(ARGV[2]) then "
    "    return string.format('%.0f', it.epoch) end end "
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) "
    "if ARGV[5] == '1' or not old then redis.call('PUBLISH', '" REGISTRY_CHANGES "', ARGV[4]) end "
    "return '0'";

/* KEYS[1] the record; ARGV: epoch, message. Removes it only while it is ours. */
static const char REMOVE[] =
    "local old = redis.call('GET', KEYS[1]) "
    "if not old then return 0 end "
    "local ok, it = pcall(cjson.decode, old) "
    "if ok and type(it) == 'table' and tonumber(it.epoch) ~= tonumber(ARGV[1]) then return 0 end "
    "redis.call('DEL', KEYS[1]) redis.call('PUBLISH', '" REGISTRY_CHANGES "', ARGV[2]) return 1";

struct registry_lease {
    struct redis *redis;
    struct registry_entry entry; /* the thread's, but for `draining` */
    char key[160];
    atomic_bool draining, stopping;
    char wish_key[160];
    bool told_draining; /* thread only, as all below */
    bool first, away, lost;
    int wake_fd;
    pthread_t thread;
    bool thread_runs;
};

/* Our epoch is the time of the start, and in any case more than what another process of this id has left behind: who
 * starts later is newer, whatever the clocks say. */
static bool choose_epoch(struct registry_lease *lease, struct err *err)
{
    AUTO(redis_reply) old = REDIS_CALL(lease->redis, err, "GET", lease->key);
    if (!old)
        return false;
    AUTO(arena) arena = arena_open(64 * 1024);
    struct registry_entry entry;
    const char *text = redis_text(old);
    int64_t epoch = clock_now_us();
    if (text && registry_record_parse(arena, text, strlen(text), &entry) && entry.epoch >= epoch)
        epoch = entry.epoch + 1;
    lease->entry.epoch = epoch;
    return true;
}

/* An operator wants it to drain. Redis away: as before. */
static bool is_wished(struct registry_lease *lease, struct err *err, bool *wished)
{
    AUTO(redis_reply) reply = REDIS_CALL(lease->redis, err, "EXISTS", lease->wish_key);
    if (reply)
        *wished = redis_i64(reply) == 1;
    return reply != NULL;
}

static bool renew(struct registry_lease *lease, struct err *err)
{
    bool wished = false;
    if (!is_wished(lease, err, &wished))
        return false;
    bool draining = atomic_load(&lease->draining) || wished;
    bool tell = lease->first || draining != lease->told_draining;
    if (lease->first && !choose_epoch(lease, err))
        return false;
    char epoch[24], ms[12];
    AUTO_STR record;
    AUTO_STR message;
    str_init(&record);
    str_init(&message);
    lease->entry.state = draining ? INSTANCE_DRAINING : INSTANCE_UP;
    registry_record_print(&record, &lease->entry);
    registry_message_print(&message, &lease->entry, draining ? "draining" : "up");
    (void)snprintf(epoch, sizeof epoch, "%lld", (long long)lease->entry.epoch);
    (void)snprintf(ms, sizeof ms, "%d", LEASE_MS);
    AUTO(redis_reply)
    reply = REDIS_CALL(lease->redis, err, "EVAL", RENEW, "1", lease->key, record.bytes, epoch, ms, message.bytes,
                       tell ? "1" : "0");
    if (!reply)
        return false;
    lease->first = false;
    lease->told_draining = draining;
    const char *newer = redis_text(reply);
    if (newer && strcmp(newer, "0") != 0) {
        lease->lost = true;
        log_event(LOG_ERROR, "registry_instance_taken", LOG_TEXT("instance", lease->entry.instance),
                  LOG_TEXT("message", "another process announces this id and started later: this one is not announced"),
                  LOG_I64("epoch", lease->entry.epoch), LOG_TEXT("newer_epoch", newer));
    }
    return true;
}

static void remove_record(struct registry_lease *lease)
{
    struct err err = {0};
    char epoch[24];
    AUTO_STR message;
    str_init(&message);
    if (lease->first || lease->lost)
        return;
    registry_message_print(&message, &lease->entry, "gone");
    (void)snprintf(epoch, sizeof epoch, "%lld", (long long)lease->entry.epoch);
    AUTO(redis_reply) reply = REDIS_CALL(lease->redis, &err, "EVAL", REMOVE, "1", lease->key, epoch, message.bytes);
    if (!reply)
        log_err("registry_not_removed", &err); /* the lease ends by itself */
}

static void note_away(struct registry_lease *lease, bool ok, const struct err *err)
{
    if (!ok && !lease->away)
        log_err("registry_not_told", err);
    else if (ok && lease->away)
        log_event(LOG_INFO, "registry_told_again");
    lease->away = !ok;
}

static void *announce(void *payload)
{
    struct registry_lease *lease = payload;
    while (!atomic_load(&lease->stopping)) {
        struct err err = {0};
        bool ok = lease->lost || renew(lease, &err);
        note_away(lease, ok, &err);
        struct pollfd wait = {.fd = lease->wake_fd, .events = POLLIN};
        eventfd_t times;
        if (poll(&wait, 1, ok ? RENEW_MS : RETRY_MS) > 0)
            (void)eventfd_read(lease->wake_fd, &times);
    }
    remove_record(lease);
    return NULL;
}

static bool fill(char *out, size_t room, const char *text, const char *what, struct err *err)
{
    if (strlen(text) >= room || !*text)
        return err_set(err, &ERR_BAD_INPUT, "%s must have 1 to %zu bytes, is \"%.80s\"", what, room - 1, text);
    memcpy(out, text, strlen(text) + 1);
    return true;
}

bool registry_ask_drain(const char *redis_url, const char *service, const char *instance, bool on, struct err *err)
{
    AUTO(redis) redis = redis_open(redis_url, 1, err);
    AUTO_STR key;
    str_init(&key);
    if (!redis)
        return false;
    str_printf(&key, REGISTRY_WISHES "%s:%s", service, instance);
    AUTO(redis_reply)
    reply = on ? REDIS_CALL(redis, err, "SET", key.bytes, "1", "EX", WISH_SECONDS)
               : REDIS_CALL(redis, err, "DEL", key.bytes);
    return reply != NULL;
}

struct registry_lease *registry_announce(const char *redis_url, const char *service, const char *instance,
                                         const char *address, int64_t weight, struct err *err)
{
    AUTO(registry_lease) lease = MEM_NEW(registry_lease);
    struct registry_entry *entry = &lease->entry;
    char reachable[96];
    if (!service_reachable_address(address, reachable, err))
        return NULL;
    lease->first = true;
    lease->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    entry->weight = (int)weight;
    entry->started_ms = clock_now_ms();
    if (!fill(entry->service, sizeof entry->service, service, "service", err) ||
        !fill(entry->instance, sizeof entry->instance, instance, "INSTANCE", err) ||
        !fill(entry->address, sizeof entry->address, reachable, "ADVERTISE", err) ||
        !fill(entry->version, sizeof entry->version, VERSION, "version", err))
        return NULL;
    (void)snprintf(lease->key, sizeof lease->key, REGISTRY_PREFIX "%s:%s", entry->service, entry->instance);
    (void)snprintf(lease->wish_key, sizeof lease->wish_key, REGISTRY_WISHES "%s:%s", entry->service, entry->instance);
    lease->redis = redis_open(redis_url, 1, err);
    if (!lease->redis)
        return NULL;
    int reason = pthread_create(&lease->thread, NULL, announce, lease);
    if (reason) {
        err_set_internal(err, &ERR_INTERNAL, "can't start the registry's thread: %s", strerror(reason));
        return NULL;
    }
    lease->thread_runs = true;
    return TAKE(lease);
}

void registry_drain(struct registry_lease *lease)
{
    if (!lease)
        return;
    atomic_store(&lease->draining, true);
    (void)eventfd_write(lease->wake_fd, 1);
}

void registry_lease_release(struct registry_lease **place)
{
    struct registry_lease *lease = *place;
    if (!lease)
        return;
    atomic_store(&lease->stopping, true);
    (void)eventfd_write(lease->wake_fd, 1);
    if (lease->thread_runs)
        (void)pthread_join(lease->thread, NULL);
    redis_release(&lease->redis);
    if (lease->wake_fd >= 0)
        (void)close(lease->wake_fd);
    free(lease);
    *place = NULL;
}
