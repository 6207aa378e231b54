/* match-svc: holds the order books of the trading game and tells what happens in them. README.md lists routes, events
 * and settings. */
#include "app.h"
#include "backend.h"
#include "depth.h"
#include "events.h"
#include "feed.h"
#include "mem.h"
#include "owner.h"
#include "routes.h"
#include "tools.h"

extern const struct migration MATCH_MIGRATIONS[];

static struct feed *open_feed(const struct match_config *config, struct table *table, struct backend *backend,
                              struct err *err)
{
    return feed_start(&(struct feed_options){.listen = config->ws_listen,
                                             .advertise = config->ws_advertise,
                                             .gateway_addresses = config->service.gateway_addresses,
                                             .connections_max = (int)config->ws_connections_max,
                                             .output_max = (size_t)config->ws_output_max,
                                             .every_ms = (int)config->feed_ms,
                                             .patience_ms = config->slow_seconds * 1000,
                                             .drain_seconds = config->service.drain_seconds},
                      table, backend, err);
}

static struct owner *open_owner(const struct match_app *app, struct err *err)
{
    const struct match_config *config = app->config;
    return owner_open(&(struct owner_options){.brokers = config->service.kafka_brokers,
                                              .producer = app->producer,
                                              .db = app->db,
                                              .depth = app->depth,
                                              .snapshot_commands = config->snapshot_commands,
                                              .snapshot_seconds = config->snapshot_seconds,
                                              .linger_seconds = config->linger_seconds,
                                              .orders_max = config->orders_max,
                                              .accounts_max = config->accounts_max,
                                              .bundles = config->bundles},
                      err);
}

static void drain(void *payload)
{
    const struct match_app *app = payload;
    feed_drain(app->feed);
}

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
    AUTO(table) table = app.table = table_open();
    AUTO(backend) backend = backend_open(&options, err);
    if (!backend)
        return false;
    app.db = backend_db(backend);
    app.producer = backend_producer(backend);
    AUTO(depth)
    depth = app.depth = depth_open(app.producer, table,
                                   &(struct depth_options){.every_ms = (int)config->depth_ms,
                                                           .keep_ms = config->depth_keep_seconds * 1000,
                                                           .idle_ms = config->depth_idle_days * INT64_C(86400000)},
                                   err);
    AUTO(feed) feed = app.feed = depth ? open_feed(config, table, backend, err) : NULL;
    AUTO(owner) owner = app.owner = feed ? open_owner(&app, err) : NULL;
    const struct backend_parts parts = {
        .routes = MATCH_ROUTES,
        .subscriptions = MATCH_SUBSCRIPTIONS,
        .listening = MATCH_LISTENING,
        .draining = drain,
        .metrics_prefix = "madang_match",
        .app = &app,
    };
    return owner && backend_serve(backend, &parts, err);
}

int main(int argc, char **argv)
{
    static struct match_config config;
    int status;
    if (tools_run(argc, argv, &status))
        return status;
    return service_main("match-svc", argc, argv, MATCH_SETTINGS, &config, &config.service, run);
}
