#include "kafka_conf.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

/* A broker that restarts is away for seconds, so reconnecting is quick; a broker that is stopped (SIGSTOP, a cut cable)
 * costs socket.timeout.ms. */
static const struct kafka_setting SHARED[] = {
    {"reconnect.backoff.ms", "20"},
    {"reconnect.backoff.max.ms", "200"},
    {"socket.timeout.ms", "10000"},
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    {"topic.metadata.refresh.interval.ms", "60000"},
    {"allow.auto.create.topics", "false"},
    {"log.connection.close", "false"},
    {"log_level", "5"},
    {NULL, NULL},
};

/* librdkafka's syslog levels: up to 3 is an error, but most of them are a broker that is away for a moment. */
static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *words)
{
    (void)client;
    log_event(level <= 2   ? LOG_ERROR
              : level <= 4 ? LOG_WARN
                           : LOG_INFO,
              "kafka_client", LOG_TEXT("facility", facility), LOG_TEXT("message", words));
}

bool kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char words[200];
    return rd_kafka_conf_set(conf, name, value, words, sizeof words) == RD_KAFKA_CONF_OK ||
           err_set_internal(err, &ERR_INTERNAL, "kafka setting %s: %s", name, words);
}

static bool set_all(rd_kafka_conf_t *conf, const struct kafka_setting *table, struct err *err)
{
    for (; table && table->name; table++)
        if (!kafka_conf_set(conf, table->name, table->value, err))
            return false;
    return true;
}

rd_kafka_conf_t *kafka_conf_new(const char *brokers, const char *client_id, const struct kafka_setting *table,
                                struct err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (kafka_conf_set(conf, "bootstrap.servers", brokers, err) && kafka_conf_set(conf, "client.id", client_id, err) &&
        set_all(conf, SHARED, err) && set_all(conf, table, err))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

rd_kafka_t *kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err)
{
    char words[200] = "";
    rd_kafka_t *client = rd_kafka_new(type, conf, words, sizeof words);
    if (!client) {
        rd_kafka_conf_destroy(conf);
        err_set_internal(err, &ERR_INTERNAL, "kafka client: %s", words);
    }
    return client;
}

bool kafka_failed(struct err *err, const char *what, rd_kafka_resp_err_t code)
{
    err_set_internal(err, &ERR_UNAVAILABLE, "kafka, %s: %s", what, rd_kafka_err2str(code));
    err->retry_after_s = 1;
    return false;
}

/* ---- ThreadSanitizer
 * -------------------------------------------------------------------------------------------------- librdkafka starts
 * its threads by C11's thrd_create, which the sanitizer does not know: its threads would crash at their first
 * allocation. In such a build these take the place of libc's, and what librdkafka does inside (not instrumented, with
 * locks that the sanitizer can't see) is left out. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#include "mem.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

struct thread_start {
    thrd_start_t function;
    void *argument;
};

static void *start_thread(void *payload)
{
    struct thread_start start = *(struct thread_start *)payload;
    free(payload);
    return (void *)(intptr_t)start.function(start.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *argument)
{
    struct thread_start *start = MEM_NEW(thread_start);
    *start = (struct thread_start){function, argument};
    return pthread_create(thread, NULL, start_thread, start) == 0 ? thrd_success : thrd_error;
}

int thrd_join(thrd_t thread, int *result)
{
    void *value;
    if (pthread_join(thread, &value) != 0)
        return thrd_error;
    if (result)
        *result = (int)(intptr_t)value;
    return thrd_success;
}

const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:librdkafka.so\n";
}
#endif
