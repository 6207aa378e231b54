#include "keeper.h"

#include "clock.h"
#include "keys.h"
#include "log.h"
#include "rounds.h"
#include "store.h"

#include <stdlib.h>

enum { EVERY_MS = 1000 };

struct keeper {
    const struct auth_app *app;
    struct pg_lock *lock;        /* NULL: not tried yet, or lost */
    int64_t looked_ms, swept_ms; /* monotonic */
    struct rounds *rounds;
};

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

static void keep(void *payload, unsigned round)
{
    struct keeper *keeper = payload;
    const struct auth_config *cfg = keeper->app->cfg;
    /* A short lead (tests) wants a closer look. */
    const int64_t look_ms = 1000 * (cfg->key_lead_seconds / 4 < KEYS_LOOK_S ? cfg->key_lead_seconds / 4 : KEYS_LOOK_S);
    const int64_t now_ms = clock_monotonic_ms();
    struct err err = {0};
    (void)round;
    if (now_ms - keeper->looked_ms >= look_ms) {
        keeper->looked_ms = now_ms;
        if (!keys_refresh(keeper->app->keys, keeper->app, &err))
            log_err("keys_refresh_failed", &err);
    }
    err_clear(&err);
    if (now_ms - keeper->swept_ms >= cfg->sweep_seconds * 1000) {
        keeper->swept_ms = now_ms;
        if (my_turn(keeper) && !store_sweep(keeper->app, &err))
            log_err("sweep_failed", &err);
    }
}

struct keeper *keeper_start(const struct auth_app *app, struct err *err)
{
    struct keeper *keeper = MEM_NEW(keeper);
    keeper->app = app;
    keeper->looked_ms = clock_monotonic_ms();
    keeper->rounds = rounds_start(EVERY_MS, keep, keeper, err);
    if (!keeper->rounds)
        keeper_release(&keeper);
    return keeper;
}

void keeper_release(struct keeper **place)
{
    struct keeper *keeper = TAKE(*place);
    if (!keeper)
        return;
    rounds_release(&keeper->rounds);
    pg_lock_release(&keeper->lock);
    free(keeper);
}
