#include "wake.h"

#include "clock.h"
#include "hub.h"
#include "log.h"
#include "metrics.h"
#include "redis_internal.h"
#include "str.h"
#include "uuid.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* "<instance>|<user>,<user>,..." */
#define WAKE_CHANNEL "notify:wake"

enum {
    CONNECT_MS = 1000, /* between two tries */
    PING_MS = 2000,
    SILENCE_MS = 5000, /* a subscription that is silent for so long is dead */
    USERS_AT_ONCE = 200,
};

struct wake {
    struct redis_address address;
    char *instance;
    struct hub *hub;
    pthread_t thread;
    int stop_fd;
    atomic_bool stop;
    /* thread only */
    redisContext *subscription;
    int64_t connect_at_ms, ping_at_ms, heard_ms;
    bool away;
};

/* ---- hearing ---- */

static void hear_message(struct wake *wake, char *text)
{
    const char *users[USERS_AT_ONCE];
    size_t count = 0;
    char *at = strchr(text, '|'), *rest;
    if (!at)
        return;
    *at++ = '\0';
    if (strcmp(text, wake->instance) == 0)
        return; /* our own: the hub was told directly */
    for (char *id = strtok_r(at, ",", &rest); id && count < USERS_AT_ONCE; id = strtok_r(NULL, ",", &rest))
        if (uuid_parse(id, NULL))
            users[count++] = id;
    hub_wake(wake->hub, users, count);
}

static void hear(struct wake *wake, const redisReply *reply)
{
    wake->heard_ms = clock_monotonic_ms();
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 || !reply->element[0]->str)
        return;
    if (strcmp(reply->element[0]->str, "subscribe") == 0) /* whatever was published before is not known */
        hub_wake_all(wake->hub);
    else if (strcmp(reply->element[0]->str, "message") == 0 && reply->element[2]->str)
        hear_message(wake, reply->element[2]->str);
}

/* ---- the subscription ---- */

static void disconnect(struct wake *wake)
{
    if (wake->subscription)
        redisFree(wake->subscription);
    wake->subscription = NULL;
    wake->connect_at_ms = clock_monotonic_ms() + CONNECT_MS;
    if (!wake->away)
        log_event(LOG_WARN, "wake_away");
    wake->away = true;
}

static bool say(redisContext *context, int argc, const char **argv)
{
    int done = 0;
    if (redisAppendCommandArgv(context, argc, argv, NULL) != REDIS_OK)
        return false;
    while (!done)
        if (redisBufferWrite(context, &done) != REDIS_OK)
            return false;
    return true;
}

static void connect_again(struct wake *wake)
{
    struct err err = {0};
    const char *words[] = {"SUBSCRIBE", WAKE_CHANNEL};
    wake->subscription = redis_connect(&wake->address, REDIS_TIMEOUT_MS, &err);
    if (!wake->subscription || !say(wake->subscription, 2, words)) {
        disconnect(wake);
        return;
    }
    if (wake->away)
        log_event(LOG_INFO, "wake_back");
    wake->away = false;
    wake->heard_ms = clock_monotonic_ms();
    wake->ping_at_ms = wake->heard_ms + PING_MS;
}

static bool read_replies(struct wake *wake)
{
    void *reply = NULL;
    if (redisBufferRead(wake->subscription) != REDIS_OK)
        return false;
    for (;;) {
        if (redisReaderGetReply(wake->subscription->reader, &reply) != REDIS_OK)
            return false;
        if (!reply)
            return true;
        hear(wake, reply);
        freeReplyObject(reply);
    }
}

static bool keep(struct wake *wake)
{
    const int64_t now_ms = clock_monotonic_ms();
    if (now_ms - wake->heard_ms > SILENCE_MS)
        return false;
    if (now_ms < wake->ping_at_ms)
        return true;
    wake->ping_at_ms = now_ms + PING_MS;
    const char *words[] = {"PING"};
    return say(wake->subscription, 1, words);
}

static void *wake_run(void *payload)
{
    struct wake *wake = payload;
    while (!atomic_load(&wake->stop)) {
        if (!wake->subscription && clock_monotonic_ms() >= wake->connect_at_ms)
            connect_again(wake);
        struct pollfd fds[2] = {{.fd = wake->stop_fd, .events = POLLIN},
                                {.fd = wake->subscription ? wake->subscription->fd : -1, .events = POLLIN}};
        (void)poll(fds, 2, 500);
        if (wake->subscription && ((fds[1].revents && !read_replies(wake)) || !keep(wake)))
            disconnect(wake);
    }
    if (wake->subscription)
        redisFree(wake->subscription);
    return NULL;
}

static void wake_free(struct wake *wake)
{
    if (wake->stop_fd >= 0)
        (void)close(wake->stop_fd);
    free(wake->instance);
    free(wake);
}

struct wake *wake_start(const char *redis_url, const char *instance, struct hub *hub, struct err *err)
{
    struct wake *wake = MEM_NEW(wake);
    wake->hub = hub;
    wake->instance = mem_text(instance);
    wake->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!redis_address_parse(&wake->address, redis_url, err)) {
        wake_free(wake);
        return NULL;
    }
    if (wake->stop_fd >= 0 && pthread_create(&wake->thread, NULL, wake_run, wake) == 0)
        return wake;
    err_set_internal(err, &ERR_INTERNAL, "no thread for the wake-ups");
    wake_free(wake);
    return NULL;
}

void wake_release(struct wake **wake)
{
    if (!*wake)
        return;
    atomic_store(&(*wake)->stop, true);
    (void)eventfd_write((*wake)->stop_fd, 1);
    (void)pthread_join((*wake)->thread, NULL);
    wake_free(*wake);
    *wake = NULL;
}

/* ---- telling ---- */

void wake_publish(struct redis *redis, const char *instance, const char *const *users, size_t count)
{
    struct metric_child *lost =
        METRIC_CHILD(metric_counter("madang_notify_wakes_lost_total", "Wake-ups that Redis did not take", NULL));
    AUTO_STR text;
    str_init(&text);
    for (size_t at = 0; at < count;) {
        str_clear(&text);
        str_printf(&text, "%s|", instance);
        for (size_t n = 0; n < USERS_AT_ONCE && at < count; n++, at++)
            str_printf(&text, "%s%s", n ? "," : "", users[at]);
        struct err err = {0};
        AUTO(redis_reply) reply = REDIS_CALL(redis, &err, "PUBLISH", WAKE_CHANNEL, text.bytes);
        if (!reply)
            metric_add(lost, 1);
    }
}
