#include "sweep.h"

#include "log.h"
#include "store_files.h"
#include "store_rooms.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { ROUND_SECONDS = 10, KEYS_EVERY_ROUNDS = 30, SWEEP_ARENA_BYTES = 256 * 1024 };

struct sweep {
    struct pg_pool *db;
    struct objstore *files;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool stop; /* under the lock */
};

bool sweep_files(struct pg_pool *db, struct objstore *files, struct err *err)
{
    AUTO(arena) arena = arena_open(SWEEP_ARENA_BYTES);
    struct texts keys, gone = {0};
    if (!store_trash_files(db, err) || !store_trash_claim(db, arena, &keys, err))
        return false;
    gone.items = arena_alloc(arena, (keys.count + 1) * sizeof(char *));
    bool good = true;
    for (size_t i = 0; i < keys.count; i++) {
        if (objstore_delete(files, keys.items[i], err))
            gone.items[gone.count++] = keys.items[i];
        else
            good = false; /* stays claimed, and is due again in a minute */
    }
    struct err done_err = {0};
    if (gone.count > 0 && !store_trash_done(db, &gone, &done_err)) {
        *err = done_err;
        return false;
    }
    return good;
}

static bool wait_round(struct sweep *sweep)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ROUND_SECONDS;
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
    for (unsigned round = 0; wait_round(sweep); round++) {
        struct err err = {0};
        if (!sweep_files(sweep->db, sweep->files, &err))
            log_err("file_sweep_failed", &err);
        err_clear(&err);
        if (round % KEYS_EVERY_ROUNDS == 0 && !store_room_keys_sweep(sweep->db, &err))
            log_err("room_keys_sweep_failed", &err);
    }
    return NULL;
}

struct sweep *sweep_start(struct pg_pool *db, struct objstore *files, struct err *err)
{
    struct sweep *sweep = MEM_NEW(sweep);
    sweep->db = db;
    sweep->files = files;
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
