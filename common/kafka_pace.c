#include "kafka_pace.h"

#include "clock.h"

#include <time.h>

enum { API_FETCH = 1 };

int64_t kafka_pace_hold_us(int64_t last_us, int64_t now_us, int gather_ms)
{
    const int64_t due_us = last_us + gather_ms * INT64_C(1000);
    return last_us && due_us > now_us ? due_us - now_us : 0;
}

/* On librdkafka's thread for this broker, which does nothing else meanwhile: the group's coordinator has a thread and a
 * connection of its own, so heartbeats and commits do not wait. */
static rd_kafka_resp_err_t on_response(rd_kafka_t *rk, int socket, const char *broker, int32_t broker_id, int16_t api,
                                       int16_t version, int32_t correlation, size_t size, int64_t took_us,
                                       rd_kafka_resp_err_t failure, void *opaque)
{
    static _Thread_local int64_t last_us;
    (void)rk, (void)socket, (void)broker, (void)broker_id, (void)version, (void)correlation, (void)size, (void)took_us;
    if (api != API_FETCH || failure)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    const int64_t now_us = clock_monotonic_us();
    const int64_t hold_us = kafka_pace_hold_us(last_us, now_us, (int)(intptr_t)opaque);
    if (hold_us)
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)hold_us * 1000}, NULL);
    last_us = now_us + hold_us;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *words, size_t size)
{
    (void)conf, (void)words, (void)size;
    return rd_kafka_interceptor_add_on_response_received(rk, "pace", on_response, opaque);
}

bool kafka_conf_pace(rd_kafka_conf_t *conf, int gather_ms)
{
    if (gather_ms > KAFKA_GATHER_MAX_MS)
        gather_ms = KAFKA_GATHER_MAX_MS;
    return gather_ms <= 0 || !rd_kafka_conf_interceptor_add_on_new(conf, "pace", on_new, (void *)(intptr_t)gather_ms);
}
