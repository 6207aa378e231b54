#include "desk.h"

#include "mem.h"
#include "ws.h"

#include <pthread.h>
#include <stdlib.h>

enum { THREADS_MAX = 16 };

struct desk {
    void *app;
    struct ws_server *loop;
    pthread_t threads[THREADS_MAX];
    int thread_count;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    struct desk_job *first, **last;
    size_t count, max;
    bool stopping;
};

static void bring(void *app, void *payload)
{
    struct desk_job *job = payload;
    job->done(app, job, true);
}

static struct desk_job *take(struct desk *desk)
{
    (void)pthread_mutex_lock(&desk->lock);
    while (!desk->first && !desk->stopping)
        (void)pthread_cond_wait(&desk->asked, &desk->lock);
    struct desk_job *job = desk->stopping ? NULL : desk->first;
    if (job) {
        desk->first = job->next;
        if (!desk->first)
            desk->last = &desk->first;
        desk->count--;
    }
    (void)pthread_mutex_unlock(&desk->lock);
    return job;
}

static void *work(void *payload)
{
    struct desk *desk = payload;
    (void)pthread_setname_np(pthread_self(), "ws-desk");
    for (struct desk_job *job; (job = take(desk));) {
        job->run(desk->app, job);
        if (!ws_post(desk->loop, bring, job))
            job->done(desk->app, job, false);
    }
    return NULL;
}

struct desk *desk_open(int threads, size_t queue_max, void *app, struct err *err)
{
    AUTO(desk) desk = MEM_NEW(desk);
    desk->app = app;
    desk->max = queue_max;
    desk->last = &desk->first;
    (void)pthread_mutex_init(&desk->lock, NULL);
    (void)pthread_cond_init(&desk->asked, NULL);
    for (int i = 0; i < threads && i < THREADS_MAX; i++) {
        if (pthread_create(&desk->threads[i], NULL, work, desk) != 0) {
            err_set_internal(err, &ERR_INTERNAL, "no thread for look-ups");
            return NULL;
        }
        desk->thread_count++;
    }
    return TAKE(desk);
}

void desk_loop(struct desk *desk, struct ws_server *loop)
{
    desk->loop = loop;
}

void desk_release(struct desk **desk)
{
    struct desk *d = *desk;
    if (!d)
        return;
    (void)pthread_mutex_lock(&d->lock);
    d->stopping = true;
    (void)pthread_cond_broadcast(&d->asked);
    (void)pthread_mutex_unlock(&d->lock);
    for (int i = 0; i < d->thread_count; i++)
        (void)pthread_join(d->threads[i], NULL);
    while (d->first) {
        struct desk_job *job = d->first;
        d->first = job->next;
        job->done(d->app, job, false);
    }
    (void)pthread_cond_destroy(&d->asked);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
    *desk = NULL;
}

bool desk_ask(struct desk *desk, struct desk_job *job)
{
    job->next = NULL;
    job->desk = desk;
    (void)pthread_mutex_lock(&desk->lock);
    const bool good = !desk->stopping && desk->count < desk->max;
    if (good) {
        *desk->last = job;
        desk->last = &job->next;
        desk->count++;
        (void)pthread_cond_signal(&desk->asked);
    }
    (void)pthread_mutex_unlock(&desk->lock);
    return good;
}
