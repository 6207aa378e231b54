#include "kafka_pace.h"

#include "clock.h"
#include "kafka.h"

#include <pthread.h>
#include <time.h>

enum { API_FETCH = 1, BUSY_SHIFT = 8 /* both paces go into one pointer */ };

/* Of all consumers of the process: who waits does not know which of them brings it. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t news;
    int64_t at_us; /* the last one */
} hurry = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

int kafka_pace_ms(struct kafka_pace pace, size_t answer_bytes, bool hurried)
{
    const bool busy =
        answer_bytes >= KAFKA_BUSY_BYTES && answer_bytes < KAFKA_BACKLOG_BYTES && pace.busy_gather_ms > pace.gather_ms;
    const int cut_ms = pace.gather_ms > KAFKA_HURRIED_MS ? pace.gather_ms : KAFKA_HURRIED_MS;
    if (!busy)
        return pace.gather_ms;
    return hurried && cut_ms < pace.busy_gather_ms ? cut_ms : pace.busy_gather_ms;
}

int64_t kafka_pace_hold_us(int64_t last_us, int64_t now_us, int gather_ms)
{
    const int64_t due_us = last_us + gather_ms * INT64_C(1000);
    return last_us && due_us > now_us ? due_us - now_us : 0;
}

void kafka_hurry(void)
{
    pthread_mutex_lock(&hurry.lock);
    hurry.at_us = clock_monotonic_us();
    pthread_cond_broadcast(&hurry.news);
    pthread_mutex_unlock(&hurry.lock);
}

/* Waits until an answer of `size` bytes may be taken, and returns when that is. */
static int64_t hold(struct kafka_pace pace, size_t size, int64_t last_us)
{
    int64_t now_us = clock_monotonic_us(), hold_us;
    if (!kafka_pace_hold_us(last_us, now_us, kafka_pace_ms(pace, size, false)))
        return now_us;
    pthread_mutex_lock(&hurry.lock);
    while ((hold_us = kafka_pace_hold_us(last_us, now_us, kafka_pace_ms(pace, size, hurry.at_us > last_us)))) {
        const int64_t until_us = now_us + hold_us;
        const struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
        (void)pthread_cond_clockwait(&hurry.news, &hurry.lock, CLOCK_MONOTONIC, &until);
        now_us = clock_monotonic_us();
    }
    pthread_mutex_unlock(&hurry.lock);
    return now_us;
}

/* On librdkafka's thread for this broker, which does nothing else meanwhile: the group's coordinator has a thread and a
 * connection of its own, so heartbeats and commits do not wait. */
static rd_kafka_resp_err_t on_response(rd_kafka_t *rk, int socket, const char *broker, int32_t broker_id, int16_t api,
                                       int16_t version, int32_t correlation, size_t size, int64_t took_us,
                                       rd_kafka_resp_err_t failure, void *opaque)
{
    static _Thread_local int64_t last_us;
    (void)rk, (void)socket, (void)broker, (void)broker_id, (void)version, (void)correlation, (void)took_us;
    if (api != API_FETCH || failure)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    const intptr_t both = (intptr_t)opaque;
    const struct kafka_pace pace = {(int)(both & ((1 << BUSY_SHIFT) - 1)), (int)(both >> BUSY_SHIFT)};
    last_us = hold(pace, size, last_us);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *words, size_t size)
{
    (void)conf, (void)words, (void)size;
    return rd_kafka_interceptor_add_on_response_received(rk, "pace", on_response, opaque);
}

static intptr_t bounded(int gather_ms)
{
    if (gather_ms < 0)
        return 0;
    return gather_ms < KAFKA_GATHER_MAX_MS ? gather_ms : KAFKA_GATHER_MAX_MS;
}

bool kafka_conf_pace(rd_kafka_conf_t *conf, struct kafka_pace pace)
{
    const intptr_t both = bounded(pace.busy_gather_ms) << BUSY_SHIFT | bounded(pace.gather_ms);
    return pace.gather_ms <= 0 || !rd_kafka_conf_interceptor_add_on_new(conf, "pace", on_new, (void *)both);
}
