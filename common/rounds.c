#include "rounds.h"

#include "clock.h"
#include "mem.h"

#include <pthread.h>
#include <stdlib.h>

struct rounds {
    int every_ms;
    rounds_fn run;
    void *payload;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool stop;
};

static bool wait_round(struct rounds *rounds)
{
    const int64_t due_ms = clock_monotonic_ms() + rounds->every_ms;
    const struct timespec until = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
    (void)pthread_mutex_lock(&rounds->lock);
    while (!rounds->stop && pthread_cond_timedwait(&rounds->woken, &rounds->lock, &until) == 0)
        ;
    const bool goes_on = !rounds->stop;
    (void)pthread_mutex_unlock(&rounds->lock);
    return goes_on;
}

static void *go_around(void *payload)
{
    struct rounds *rounds = payload;
    for (unsigned round = 0; wait_round(rounds); round++)
        rounds->run(rounds->payload, round);
    return NULL;
}

static void destroy(struct rounds *rounds)
{
    (void)pthread_cond_destroy(&rounds->woken);
    (void)pthread_mutex_destroy(&rounds->lock);
    free(rounds);
}

struct rounds *rounds_start(int every_ms, rounds_fn run, void *payload, struct err *err)
{
    struct rounds *rounds = MEM_NEW(rounds);
    pthread_condattr_t monotonic;
    rounds->every_ms = every_ms;
    rounds->run = run;
    rounds->payload = payload;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&rounds->lock, NULL);
    (void)pthread_cond_init(&rounds->woken, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (pthread_create(&rounds->thread, NULL, go_around, rounds) == 0)
        return rounds;
    destroy(rounds);
    err_set_internal(err, &ERR_INTERNAL, "no thread for rounds");
    return NULL;
}

void rounds_release(struct rounds **place)
{
    struct rounds *rounds = TAKE(*place);
    if (!rounds)
        return;
    (void)pthread_mutex_lock(&rounds->lock);
    rounds->stop = true;
    (void)pthread_cond_signal(&rounds->woken);
    (void)pthread_mutex_unlock(&rounds->lock);
    (void)pthread_join(rounds->thread, NULL);
    destroy(rounds);
}
