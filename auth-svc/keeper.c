#include "keeper.h"

#include "clock.h"
#include "keys.h"
#include "log.h"
#include "store.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct keeper {
    const struct auth_app *app;
    struct pg_lock *lock; /* NULL: not tried yet, or lost */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop;
};

/* True when a second has passed, false when it is time to stop. */
static bool wait_a_second(struct keeper *keeper)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    (void)pthread_mutex_lock(&keeper->mutex);
    while (!keeper->stop && pthread_cond_timedwait(&keeper->wake, &keeper->mutex, &until) == 0)
        ;
    bool go_on = !keeper->stop;
    (void)pthread_mutex_unlock(&keeper->mutex);
    return go_on;
}

/* Whether this instance is the one that cleans up. Two would do no harm, only work twice. */
static bool my_turn(struct keeper *keeper)
{
    struct err err = {0};
    if (keeper->lock && pg_lock_held(keeper->lock))
        return true;
    pg_lock_release(&keeper->lock);
    keeper->lock = pg_lock_open(keeper->app->cfg->db_url, &err);
    if (keeper->lock && pg_lock_try(keeper->lock, "auth-svc sweeper", 0))
        return true;
    pg_lock_release(&keeper->lock);
    return false;
}

static void *keep(void *payload)
{
    struct keeper *keeper = payload;
    const struct auth_config *cfg = keeper->app->cfg;
    /* A short lead (tests) wants a closer look. */
    int64_t look_ms = 1000 * (cfg->key_lead_seconds / 4 < KEYS_LOOK_S ? cfg->key_lead_seconds / 4 : KEYS_LOOK_S);
    int64_t looked_ms = clock_monotonic_ms(), swept_ms = 0;
    while (wait_a_second(keeper)) {
        struct err err = {0};
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms - looked_ms >= look_ms) {
            looked_ms = now_ms;
            if (!keys_refresh(keeper->app->keys, keeper->app, &err))
                log_err("keys_refresh_failed", &err);
        }
        err_clear(&err);
        if (now_ms - swept_ms >= cfg->sweep_seconds * 1000) {
            swept_ms = now_ms;
            if (my_turn(keeper) && !store_sweep(keeper->app, &err))
                log_err("sweep_failed", &err);
        }
    }
    return NULL;
}

struct keeper *keeper_start(const struct auth_app *app, struct err *err)
{
    struct keeper *keeper = MEM_NEW(keeper);
    pthread_condattr_t monotonic;
    keeper->app = app;
    (void)pthread_mutex_init(&keeper->mutex, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&keeper->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (pthread_create(&keeper->thread, NULL, keep, keeper) == 0)
        return keeper;
    (void)err_set_internal(err, &ERR_INTERNAL, "no thread for the keeper");
    (void)pthread_cond_destroy(&keeper->wake);
    (void)pthread_mutex_destroy(&keeper->mutex);
    free(keeper);
    return NULL;
}

void keeper_release(struct keeper **keeper)
{
    struct keeper *it = *keeper;
    *keeper = NULL;
    if (!it)
        return;
    (void)pthread_mutex_lock(&it->mutex);
    it->stop = true;
    (void)pthread_cond_signal(&it->wake);
    (void)pthread_mutex_unlock(&it->mutex);
    (void)pthread_join(it->thread, NULL);
    pg_lock_release(&it->lock);
    (void)pthread_cond_destroy(&it->wake);
    (void)pthread_mutex_destroy(&it->mutex);
    free(it);
}
