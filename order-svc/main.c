/* order-svc: takes orders for the trading game and settles what became of them. README.md lists routes, events, tables
 * and settings. */
#include "app.h"
#include "backend.h"
#include "events.h"
#include "fresh.h"
#include "rounds.h"
#include "routes.h"
#include "settle.h"
#include "tools.h"
#include "upkeep.h"

extern const struct migration ORDER_MIGRATIONS[];

enum { WAITING_MAX = 16384 };

static bool run(void *settings, struct err *err)
{
    const struct order_config *config = settings;
    struct order_app app = {.config = config}; /* declared first, so it outlives all that point to it */
    const struct backend_options options = {
        .name = "order-svc",
        .config = &config->service,
        .db_url = config->db_url,
        .schema = "orders",
        .db_connections = (int)config->db_connections,
        .migrations = ORDER_MIGRATIONS,
        .topics = ORDER_TOPICS,
    };
    AUTO(pending) pending = app.pending = pending_open(WAITING_MAX, err);
    AUTO(entry) entry = app.entry = pending ? entry_open(pending, config->bundles, err) : NULL;
    AUTO(catalog) catalog = app.catalog = catalog_open();
    AUTO(backend) backend = entry ? backend_open(&options, err) : NULL;
    if (!backend)
        return false;
    app.db = backend_db(backend);
    app.producer = backend_producer(backend);
    if (!kafka_send_prepare(app.producer, err))
        return false;
    entry_start(entry, app.producer);
    AUTO(fresh) fresh = app.fresh = fresh_open(app.db, app.producer);
    AUTO(settle) settle = app.settle = settle_open(app.db, config->service.kafka_brokers, app.producer);
    AUTO(rounds) rounds = rounds_start(UPKEEP_EVERY_MS, upkeep_round, &app, err);
    const struct backend_parts parts = {
        .routes = ORDER_ROUTES,
        .quick = ORDER_QUICK,
        .subscriptions = ORDER_SUBSCRIPTIONS,
        .listening = ORDER_LISTENING,
        .metrics_prefix = "madang_order",
        .app = &app,
    };
    return rounds && backend_serve(backend, &parts, err);
}

int main(int argc, char **argv)
{
    static struct order_config config;
    int status;
    if (tools_run(argc, argv, &status))
        return status;
    return service_main("order-svc", argc, argv, ORDER_SETTINGS, &config, &config.service, run);
}
