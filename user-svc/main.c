/* user-svc: profiles, pictures, search for people, friends and blocks. README.md lists routes, events and settings. */
#include "api.h"
#include "app.h"
#include "backend.h"
#include "events.h"
#include "rounds.h"
#include "sweep.h"

extern const struct migration USER_MIGRATIONS[];

static bool run(void *settings, struct err *err)
{
    const struct user_config *config = settings;
    struct user_app app = {.config = config}; /* declared first, so it outlives all that point to it */
    const struct backend_options options = {
        .name = "user-svc",
        .config = &config->service,
        .db_url = config->db_url,
        .schema = "users",
        .db_connections = (int)config->db_connections,
        .migrations = USER_MIGRATIONS,
        .topics = USER_TOPICS,
    };
    AUTO(objstore) files = app.files = objstore_open(&config->files, err);
    AUTO(backend) backend = files ? backend_open(&options, err) : NULL;
    if (!backend)
        return false;
    app.db = backend_db(backend);
    AUTO(rounds) rounds = rounds_start(SWEEP_EVERY_MS, sweep_round, &app, err);
    const struct backend_parts parts = {
        .routes = USER_ROUTES,
        .subscriptions = USER_SUBSCRIPTIONS,
        .metrics_prefix = "madang_user",
        .app = &app,
    };
    return rounds && backend_serve(backend, &parts, err);
}

int main(int argc, char **argv)
{
    static struct user_config config;
    return service_main("user-svc", argc, argv, USER_SETTINGS, &config, &config.service, run);
}
