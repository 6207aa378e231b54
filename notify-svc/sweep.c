#include "sweep.h"

#include "log.h"
#include "metrics.h"
#include "store.h"

#include <pthread.h>
#include <stdlib.h>

enum { ROUND_S = 60, AT_ONCE_S = 1 }; /* a full portion is followed by the next soon */

struct sweep {
    struct pg_pool *db;
    const struct notify_config *config;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool stop; /* under the lock */
};

static bool wait_round(struct sweep *sweep, int seconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    (void)pthread_mutex_lock(&sweep->lock);
    while (!sweep->stop && pthread_cond_timedwait(&sweep->woken, &sweep->lock, &until) == 0)
        ;
    const bool goes_on = !sweep->stop;
    (void)pthread_mutex_unlock(&sweep->lock);
    return goes_on;
}

static void *sweep_run(void *payload)
{
    struct sweep *sweep = payload;
    struct metric_child *swept = METRIC_CHILD(metric_counter("madang_notify_swept_total", "Old rows deleted", NULL));
    int wait_s = AT_ONCE_S;
    while (wait_round(sweep, wait_s)) {
        struct err err = {0};
        int64_t gone = 0;
        if (!store_sweep(sweep->db, sweep->config->keep_days, sweep->config->delivery_keep_days, &gone, &err))
            log_err("sweep_failed", &err);
        metric_add(swept, gone);
        wait_s = gone >= 1000 ? AT_ONCE_S : ROUND_S;
    }
    return NULL;
}

struct sweep *sweep_start(struct pg_pool *db, const struct notify_config *config, struct err *err)
{
    struct sweep *sweep = MEM_NEW(sweep);
    sweep->db = db;
    sweep->config = config;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&sweep->lock, NULL);
    (void)pthread_cond_init(&sweep->woken, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (pthread_create(&sweep->thread, NULL, sweep_run, sweep) == 0)
        return sweep;
    (void)pthread_cond_destroy(&sweep->woken);
    (void)pthread_mutex_destroy(&sweep->lock);
    free(sweep);
    err_set_internal(err, &ERR_INTERNAL, "no thread for the sweep");
    return NULL;
}

void sweep_release(struct sweep **sweep)
{
    struct sweep *s = *sweep;
    if (!s)
        return;
    (void)pthread_mutex_lock(&s->lock);
    s->stop = true;
    (void)pthread_cond_signal(&s->woken);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->thread, NULL);
    (void)pthread_cond_destroy(&s->woken);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
    *sweep = NULL;
}
