/* presence-svc: who is connected now, and who was last seen when. README.md lists routes, events and settings. */
#include "api.h"
#include "app.h"
#include "backend.h"
#include "events.h"
#include "sweep.h"

extern const struct migration PRESENCE_MIGRATIONS[];

static bool run(void *settings, struct err *err)
{
    const struct presence_config *config = settings;
    struct presence_app app = {.config = config}; /* declared first, so it outlives all that point to it */
    const struct backend_options options = {
        .name = "presence-svc",
        .config = &config->service,
        .db_url = config->db_url,
        .schema = "presence",
        .db_connections = (int)config->db_connections,
        .migrations = PRESENCE_MIGRATIONS,
        .topics = PRESENCE_TOPICS,
    };
    AUTO(backend) backend = backend_open(&options, err);
    if (!backend)
        return false;
    app.db = backend_db(backend);
    app.producer = backend_producer(backend);
    AUTO(sweep) sweep = sweep_start(&app, err);
    const struct backend_parts parts = {
        .routes = PRESENCE_ROUTES,
        .subscriptions = PRESENCE_SUBSCRIPTIONS,
        .metrics_prefix = "madang_presence",
        .app = &app,
    };
    return sweep && backend_serve(backend, &parts, err);
}

int main(int argc, char **argv)
{
    static struct presence_config config;
    return service_main("presence-svc", argc, argv, PRESENCE_SETTINGS, &config, &config.service, run);
}
