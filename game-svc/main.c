/* game-svc: rounds of the trading game and their clock, companies, news, bots, rankings. README.md lists routes, events
 * and settings. */
#include "api.h"
#include "app.h"
#include "backend.h"
#include "events.h"
#include "follow.h"
#include "round_clock.h"

extern const struct migration GAME_MIGRATIONS[];

static bool run(void *settings, struct err *err)
{
    const struct game_config *config = settings;
    struct game_app app = {.config = config}; /* declared first, so it outlives all that point to it */
    const struct backend_options options = {
        .name = "game-svc",
        .config = &config->service,
        .db_url = config->db_url,
        .schema = "game",
        .db_connections = (int)config->db_connections,
        .migrations = GAME_MIGRATIONS,
        .topics = GAME_TOPICS,
    };
    AUTO(depth) depth = app.depth = depth_open();
    AUTO(follow) follow = app.follow = follow_open();
    AUTO(backend) backend = backend_open(&options, err);
    if (!backend)
        return false;
    app.db = backend_db(backend);
    AUTO(round_clock) clock = round_clock_start(&app, err);
    const struct backend_parts parts = {
        .routes = GAME_ROUTES,
        .listening = GAME_LISTENING,
        .subscriptions = GAME_SUBSCRIPTIONS,
        .metrics_prefix = "madang_game",
        .app = &app,
    };
    return clock && backend_serve(backend, &parts, err);
}

int main(int argc, char **argv)
{
    static struct game_config config;
    return service_main("game-svc", argc, argv, GAME_SETTINGS, &config, &config.service, run);
}
