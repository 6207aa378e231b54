/* match-svc: holds the order books of the trading game and tells what happens in them. README.md lists routes, events
 * and settings. */
#include "app.h"
#include "backend.h"
#include "events.h"
#include "owner.h"
#include "routes.h"

extern const struct migration MATCH_MIGRATIONS[];

static bool run(void *settings, struct err *err)
{
    const struct match_config *config = settings;
    struct match_app app = {.config = config}; /* declared first, so it outlives all that point to it */
    const struct backend_options options = {
        .name = "match-svc",
        .config = &config->service,
        .db_url = config->db_url,
        .schema = "match",
        .db_connections = (int)config->db_connections,
        .migrations = MATCH_MIGRATIONS,
        .topics = MATCH_TOPICS,
    };
    AUTO(backend) backend = backend_open(&options, err);
    if (!backend)
        return false;
    app.db = backend_db(backend);
    app.producer = backend_producer(backend);
    AUTO(owner)
    owner = app.owner = owner_open(&(struct owner_options){.brokers = config->service.kafka_brokers,
                                                           .producer = app.producer,
                                                           .db = app.db,
                                                           .snapshot_commands = config->snapshot_commands,
                                                           .snapshot_seconds = config->snapshot_seconds,
                                                           .linger_seconds = config->linger_seconds,
                                                           .orders_max = config->orders_max,
                                                           .accounts_max = config->accounts_max},
                                   err);
    const struct backend_parts parts = {
        .routes = MATCH_ROUTES,
        .subscriptions = MATCH_SUBSCRIPTIONS,
        .metrics_prefix = "madang_match",
        .app = &app,
    };
    return owner && backend_serve(backend, &parts, err);
}

int main(int argc, char **argv)
{
    static struct match_config config;
    return service_main("match-svc", argc, argv, MATCH_SETTINGS, &config, &config.service, run);
}
