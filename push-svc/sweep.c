#include "sweep.h"

#include "figures.h"
#include "idempotency.h"
#include "log.h"
#include "store.h"

#include <pthread.h>
#include <stdlib.h>

enum { ROUND_S = 5, CLEAN_EVERY_ROUNDS = 12, CLEAN_ROUNDS_MOST = 50 };

struct sweep {
    struct pg_pool *db;
    int64_t keep_hours;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool stop; /* under the lock */
};

static bool wait_round(struct sweep *sweep)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ROUND_S;
    (void)pthread_mutex_lock(&sweep->lock);
    while (!sweep->stop && pthread_cond_timedwait(&sweep->woken, &sweep->lock, &until) == 0)
        ;
    const bool goes_on = !sweep->stop;
    (void)pthread_mutex_unlock(&sweep->lock);
    return goes_on;
}

static void clean(struct sweep *sweep)
{
    struct err err = {0};
    bool more = true;
    for (int i = 0; more && i < CLEAN_ROUNDS_MOST; i++)
        if (!store_sweep(sweep->db, sweep->keep_hours, &more, &err)) {
            log_err("push_sweep_failed", &err);
            return;
        }
    if (!idempotency_sweep(sweep->db, &err))
        log_err("idempotency_sweep_failed", &err);
}

static void *sweep_run(void *payload)
{
    struct sweep *sweep = payload;
    for (unsigned round = 0; wait_round(sweep); round++) {
        struct err err = {0};
        int64_t waiting = 0;
        if (store_count_waiting(sweep->db, &waiting, &err))
            figures_queue(waiting);
        else
            log_err("push_count_failed", &err);
        if (round % CLEAN_EVERY_ROUNDS == 0)
            clean(sweep);
    }
    return NULL;
}

struct sweep *sweep_start(struct pg_pool *db, int64_t keep_hours, struct err *err)
{
    struct sweep *sweep = MEM_NEW(sweep);
    sweep->db = db;
    sweep->keep_hours = keep_hours;
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
