#include "sweep.h"

#include "app.h"
#include "log.h"
#include "metrics.h"
#include "service.h"
#include "store.h"

enum { FULL_PORTION = 1000, PORTIONS_MOST = 50 };

void sweep_round(void *payload, unsigned round)
{
    const struct notify_app *app = payload;
    struct metric_child *swept = METRIC_CHILD(metric_counter("madang_notify_swept_total", "Old rows deleted", NULL));
    int64_t gone = FULL_PORTION;
    (void)round;
    for (int i = 0; i < PORTIONS_MOST && gone >= FULL_PORTION && !service_stopping(); i++) {
        struct err err = {0};
        if (!store_sweep(app->db, app->config->keep_days, app->config->delivery_keep_days, &gone, &err)) {
            log_err("sweep_failed", &err);
            return;
        }
        metric_add(swept, gone);
    }
}
