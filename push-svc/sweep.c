#include "sweep.h"

#include "app.h"
#include "figures.h"
#include "idempotency.h"
#include "log.h"
#include "store.h"

enum { CLEAN_EVERY_ROUNDS = 12, CLEAN_ROUNDS_MOST = 50 };

static void clean(const struct push_app *app)
{
    struct err err = {0};
    bool more = true;
    for (int i = 0; more && i < CLEAN_ROUNDS_MOST; i++)
        if (!store_sweep(app->db, app->config->keep_hours, &more, &err)) {
            log_err("push_sweep_failed", &err);
            return;
        }
    if (!idempotency_sweep(app->db, &err))
        log_err("idempotency_sweep_failed", &err);
}

void sweep_round(void *payload, unsigned round)
{
    const struct push_app *app = payload;
    struct err err = {0};
    int64_t waiting = 0;
    if (store_count_waiting(app->db, &waiting, &err))
        figures_queue(waiting);
    else
        log_err("push_count_failed", &err);
    if (round % CLEAN_EVERY_ROUNDS == 0)
        clean(app);
}
