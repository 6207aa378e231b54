#include "snapshots.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { RETRY_MS = 1000, RELEASE_MS = 5000 };

struct waiting {
    struct waiting *next;
    struct snapshot snapshot;
    struct str bytes;
    bool closes;
};

struct snapshots {
    struct pg_pool *db;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t news;
    struct waiting *first, *last; /* the first may be at work */
    bool stop;
    int64_t stop_ms; /* monotonic: what waits then is given up */
    struct metric_child *stored, *failed, *bytes, *seconds;
};

static void waiting_free(struct waiting *waiting)
{
    str_free(&waiting->bytes);
    free(waiting);
}

/* Holds the lock. */
static void wait_until(struct snapshots *snapshots, int64_t until_ms)
{
    const struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    (void)pthread_cond_timedwait(&snapshots->news, &snapshots->lock, &until);
}

static bool write_one(struct snapshots *snapshots, const struct waiting *waiting)
{
    struct err err = {0};
    const int64_t start_us = clock_monotonic_us();
    const bool ok = store_put_snapshot(snapshots->db, &waiting->snapshot, waiting->closes, &err);
    metric_add(ok ? snapshots->stored : snapshots->failed, 1);
    metric_observe_us(snapshots->seconds, clock_monotonic_us() - start_us);
    if (!ok) {
        log_err("snapshot_failed", &err);
        return false;
    }
    char market[UUID_TEXT_BYTES];
    uuid_format(&waiting->snapshot.market, market);
    metric_add(snapshots->bytes, (int64_t)waiting->bytes.length);
    log_event(LOG_INFO, "snapshot_stored", LOG_TEXT("market", market),
              LOG_I64("command_offset", waiting->snapshot.command_offset), LOG_I64("seq", waiting->snapshot.seq),
              LOG_I64("bytes", waiting->bytes.length), LOG_BOOL("closed", waiting->closes),
              LOG_I64("ms", (clock_monotonic_us() - start_us) / 1000));
    return true;
}

static void *run(void *payload)
{
    struct snapshots *snapshots = payload;
    pthread_mutex_lock(&snapshots->lock);
    while (!snapshots->stop || snapshots->first) {
        struct waiting *waiting = snapshots->first;
        if (snapshots->stop && clock_monotonic_ms() >= snapshots->stop_ms)
            break;
        if (!waiting) {
            pthread_cond_wait(&snapshots->news, &snapshots->lock);
            continue;
        }
        pthread_mutex_unlock(&snapshots->lock);
        const bool ok = write_one(snapshots, waiting);
        pthread_mutex_lock(&snapshots->lock);
        if (!ok) {
            wait_until(snapshots, clock_monotonic_ms() + RETRY_MS);
            continue;
        }
        snapshots->first = waiting->next;
        if (!snapshots->first)
            snapshots->last = NULL;
        waiting_free(waiting);
    }
    pthread_mutex_unlock(&snapshots->lock);
    return NULL;
}

struct snapshots *snapshots_start(struct pg_pool *db, struct err *err)
{
    struct snapshots *snapshots = MEM_NEW(snapshots);
    struct metric *counted =
        metric_counter("madang_match_snapshots_total", "Snapshots by what became of them", "result");
    snapshots->db = db;
    snapshots->stored = METRIC_CHILD(counted, "stored");
    snapshots->failed = METRIC_CHILD(counted, "failed");
    snapshots->bytes =
        METRIC_CHILD(metric_counter("madang_match_snapshot_bytes_total", "Bytes of the snapshots stored", NULL));
    snapshots->seconds =
        METRIC_CHILD(metric_histogram("madang_match_snapshot_write_seconds", "Storing one snapshot", NULL));
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&snapshots->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&snapshots->lock, NULL);
    if (pthread_create(&snapshots->thread, NULL, run, snapshots) == 0)
        return snapshots;
    err_set_internal(err, &ERR_INTERNAL, "no thread for snapshots");
    pthread_cond_destroy(&snapshots->news);
    pthread_mutex_destroy(&snapshots->lock);
    free(snapshots);
    return NULL;
}

void snapshots_release(struct snapshots **place)
{
    struct snapshots *snapshots = TAKE(*place);
    if (!snapshots)
        return;
    pthread_mutex_lock(&snapshots->lock);
    snapshots->stop = true;
    snapshots->stop_ms = clock_monotonic_ms() + RELEASE_MS;
    pthread_cond_broadcast(&snapshots->news);
    pthread_mutex_unlock(&snapshots->lock);
    (void)pthread_join(snapshots->thread, NULL);
    while (snapshots->first) {
        struct waiting *waiting = snapshots->first;
        snapshots->first = waiting->next;
        waiting_free(waiting);
    }
    pthread_cond_destroy(&snapshots->news);
    pthread_mutex_destroy(&snapshots->lock);
    free(snapshots);
}

bool snapshots_busy(struct snapshots *snapshots, const struct uuid *market)
{
    bool busy = false;
    pthread_mutex_lock(&snapshots->lock);
    for (const struct waiting *waiting = snapshots->first; waiting && !busy; waiting = waiting->next)
        busy = memcmp(&waiting->snapshot.market, market, sizeof *market) == 0;
    pthread_mutex_unlock(&snapshots->lock);
    return busy;
}

void snapshots_add(struct snapshots *snapshots, const struct snapshot *snapshot, struct str *bytes, bool closes)
{
    struct waiting *waiting = MEM_NEW(waiting);
    waiting->snapshot = *snapshot;
    waiting->bytes = *bytes;
    waiting->snapshot.bytes = (struct view){bytes->bytes, bytes->length};
    waiting->closes = closes;
    *bytes = (struct str){0};
    str_init(bytes);
    pthread_mutex_lock(&snapshots->lock);
    if (snapshots->last)
        snapshots->last->next = waiting;
    else
        snapshots->first = waiting;
    snapshots->last = waiting;
    pthread_cond_signal(&snapshots->news);
    pthread_mutex_unlock(&snapshots->lock);
}
