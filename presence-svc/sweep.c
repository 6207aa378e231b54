#include "sweep.h"

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "rounds.h"
#include "service.h"
#include "store.h"

#include <stdlib.h>

enum {
    EVERY_MS = 250,
    LOCK_EVERY_MS = 1000,
    FORGET_EVERY_MS = 60 * 1000,
    PARTITIONS_MAX = 256,
    END_WAIT_MS = 1000,
    BLIND_MIN_MS = 2000, /* Kafka was away for so long: leases did not run */
    UNNOTICED_MS = 4000, /* and for so long before that was noticed */
    ARENA_MAX = 64 * 1024 * 1024,
};

struct sweep {
    const struct presence_app *app;
    struct pg_lock *lock;
    struct arena *arena;
    int64_t locked_ms, forgot_ms;     /* monotonic: last looks */
    int64_t blind_since_ms;           /* monotonic; 0: Kafka answers */
    int64_t extra_ms, extra_until_ms; /* leases last so much longer, until then (monotonic) */
    bool mine, failing;
    struct metric_child *went, *behind;
    struct rounds *rounds;
};

/* Kafka's absence stops all leases; its return gives each the time that was lost. */
static bool can_see(struct sweep *sweep)
{
    const int64_t now_ms = clock_monotonic_ms();
    if (!kafka_producer_ready(sweep->app->producer)) {
        if (!sweep->blind_since_ms)
            sweep->blind_since_ms = now_ms;
        return false;
    }
    const int64_t lease_ms = sweep->app->config->lease_seconds * 1000;
    const int64_t blind_ms = sweep->blind_since_ms ? clock_monotonic_ms() - sweep->blind_since_ms : 0;
    if (blind_ms >= BLIND_MIN_MS) {
        sweep->extra_ms = blind_ms + UNNOTICED_MS;
        sweep->extra_until_ms = now_ms + lease_ms;
        log_event(LOG_WARN, "leases_were_stopped", LOG_I64("ms", blind_ms));
    }
    sweep->blind_since_ms = 0;
    return true;
}

static bool sweep_partition(struct sweep *sweep, int32_t partition, int64_t now_ms, struct err *err)
{
    struct sweep_work work = {.partition = partition, .now_ms = now_ms};
    work.extra_ms = clock_monotonic_ms() < sweep->extra_until_ms ? sweep->extra_ms : 0;
    if (!kafka_end_offset(sweep->app->producer, TOPIC_PRESENCE_SIGNALS, partition, END_WAIT_MS, &work.end_offset, err))
        return false;
    for (bool asked = false;;) {
        arena_reset(sweep->arena);
        if (!store_sweep(sweep->app->db, sweep->arena, &work, err))
            return false;
        metric_add(sweep->went, (int64_t)work.went);
        if (work.behind && !asked) { /* by what Kafka has dropped, perhaps: after a long absence of ours */
            asked = true;
            if (!kafka_begin_offset(sweep->app->producer, TOPIC_PRESENCE_SIGNALS, partition, END_WAIT_MS,
                                    &work.begin_offset, err))
                return false;
        } else if (work.looked < SWEEP_MAX || service_stopping()) {
            break;
        }
    }
    if (!work.looked)
        metric_add(sweep->behind, 1);
    return true;
}

static bool sweep_once(struct sweep *sweep, struct err *err)
{
    int32_t partitions[PARTITIONS_MAX];
    size_t count = 0;
    int64_t now_ms = 0, forgotten;
    if (!store_due_partitions(sweep->app->db, partitions, PARTITIONS_MAX, &count, &now_ms, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!sweep_partition(sweep, partitions[i], now_ms, err))
            return false;
    if (clock_monotonic_ms() - sweep->forgot_ms < FORGET_EVERY_MS)
        return true;
    sweep->forgot_ms = clock_monotonic_ms();
    return store_forget_connections(sweep->app->db, 2 * sweep->app->config->lease_seconds * 1000, &forgotten, err);
}

/* Whether this instance is the one that sweeps. */
static bool is_mine(struct sweep *sweep)
{
    const int64_t now_ms = clock_monotonic_ms();
    if (now_ms - sweep->locked_ms < LOCK_EVERY_MS)
        return sweep->mine;
    sweep->locked_ms = now_ms;
    sweep->mine = pg_lock_held(sweep->lock) || pg_lock_try(sweep->lock, "presence-svc sweep", 0);
    return sweep->mine;
}

static void turn(void *payload, unsigned round)
{
    struct sweep *sweep = payload;
    struct err err = {0};
    (void)round;
    if (!is_mine(sweep) || !can_see(sweep))
        return;
    bool ok = sweep_once(sweep, &err);
    if (!ok && !sweep->failing)
        log_err("sweep_failed", &err); /* once, until it works again */
    sweep->failing = !ok;
}

struct sweep *sweep_start(const struct presence_app *app, struct err *err)
{
    struct sweep *sweep = MEM_NEW(sweep);
    sweep->app = app;
    sweep->locked_ms = -LOCK_EVERY_MS;
    sweep->arena = arena_open(ARENA_MAX);
    sweep->went = METRIC_CHILD(metric_counter("madang_presence_went_total", "People whose time was over", NULL));
    sweep->behind = METRIC_CHILD(
        metric_counter("madang_presence_sweeps_behind_total", "Sweeps that waited for signals to be applied", NULL));
    sweep->lock = pg_lock_open(pg_pool_url(app->db), err);
    sweep->rounds = sweep->lock ? rounds_start(EVERY_MS, turn, sweep, err) : NULL;
    if (!sweep->rounds)
        sweep_release(&sweep);
    return sweep;
}

void sweep_release(struct sweep **place)
{
    struct sweep *sweep = TAKE(*place);
    if (!sweep)
        return;
    rounds_release(&sweep->rounds);
    pg_lock_release(&sweep->lock);
    arena_release(&sweep->arena);
    free(sweep);
}
