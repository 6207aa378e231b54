/* notify-svc: inboxes, event streams, and what leaves by push, e-mail, SMS and Slack. README.md lists routes, events
 * and settings. */
#include "api.h"
#include "app.h"
#include "backend.h"
#include "deliver.h"
#include "events.h"
#include "hub.h"
#include "rounds.h"
#include "signals.h"
#include "slack_worker.h"
#include "sweep.h"
#include "wake.h"

extern const struct migration NOTIFY_MIGRATIONS[];

static void draining(void *payload)
{
    const struct notify_app *app = payload;
    hub_drain(app->hub);
}

static bool serve(struct notify_app *app, struct backend *backend, struct err *err)
{
    const struct notify_config *config = app->config;
    AUTO(signals)
    signals = signals_open(backend_producer(backend), (int)config->beat_seconds, (int)config->lease_seconds, err);
    AUTO(hub) hub = signals ? hub_start(&(struct hub_options){app->db, config->streams_max}, err) : NULL;
    if (!hub)
        return false;
    hub_use_signals(hub, signals);
    app->hub = hub;
    AUTO(wake) wake = wake_start(config->service.redis_url, config->service.instance, hub, err);
    AUTO(deliver)
    deliver = app->deliver = wake ? deliver_start(&(struct deliver_options){.db = app->db,
                                                                            .channels = channels_list(app->channels),
                                                                            .attempts_max = config->attempts_max,
                                                                            .backoff_ms = config->backoff_ms},
                                                  err)
                                  : NULL;
    AUTO(slack_worker) slack = deliver ? slack_worker_start(app->db, app->channels, err) : NULL;
    AUTO(rounds) rounds = slack ? rounds_start(SWEEP_EVERY_MS, sweep_round, app, err) : NULL;
    const struct backend_parts parts = {
        .routes = NOTIFY_ROUTES,
        .subscriptions = NOTIFY_SUBSCRIPTIONS,
        .listening = NOTIFY_LISTENING,
        .draining = draining,
        .connections_max = (int)config->streams_max + 1024,
        .metrics_prefix = "madang_notify",
        .app = app,
    };
    return rounds && backend_serve(backend, &parts, err);
}

static bool run(void *settings, struct err *err)
{
    const struct notify_config *config = settings;
    struct notify_app app = {.config = config, .cookie_secure = notify_config_secure_cookies(config)};
    const struct backend_options options = {
        .name = "notify-svc",
        .config = &config->service,
        .db_url = config->db_url,
        .schema = "notify",
        .db_connections = (int)config->db_connections,
        .migrations = NOTIFY_MIGRATIONS,
        .topics = NOTIFY_TOPICS,
    };
    AUTO(channels) channels = app.channels = channels_open(&config->channels, err);
    AUTO(backend) backend = channels ? backend_open(&options, err) : NULL;
    if (!backend)
        return false;
    app.db = backend_db(backend);
    app.redis = backend_redis(backend);
    app.revoked = backend_revoked(backend);
    app.tickets = backend_tickets(backend, err);
    return app.tickets && store_stream_key(app.db, app.cookie_key, err) && serve(&app, backend, err);
}

int main(int argc, char **argv)
{
    static struct notify_config config;
    return service_main("notify-svc", argc, argv, NOTIFY_SETTINGS, &config, &config.service, run);
}
