/* chat-svc: rooms, members, messages, unread, and the sockets they live on. README.md lists routes, destinations,
 * events and settings. */
#include "api.h"
#include "app.h"
#include "backend.h"
#include "events.h"
#include "front.h"
#include "hub.h"
#include "lane.h"
#include "owner.h"
#include "presence_copy.h"
#include "rounds.h"
#include "shortcut.h"
#include "sweep.h"

extern const struct migration CHAT_MIGRATIONS[];

enum { WAITING_MAX = 16384, PARTITIONS_MS = 10000 };

static bool run(void *settings, struct err *err)
{
    const struct chat_config *config = settings;
    struct chat_app app = {.config = config}; /* declared first, so it outlives all that point to it */
    const struct backend_options options = {
        .name = "chat-svc",
        .config = &config->service,
        .db_url = config->db_url,
        .schema = "chat",
        .db_connections = (int)config->db_connections,
        .migrations = CHAT_MIGRATIONS,
        .topics = CHAT_TOPICS,
    };
    AUTO(objstore) files = app.files = objstore_open(&config->files, err);
    AUTO(presence) presence = app.presence = presence_open();
    AUTO(pending) pending = app.pending = files ? pending_open(WAITING_MAX, err) : NULL;
    AUTO(shortcut) shortcut = app.shortcut = pending ? shortcut_open(pending_start_id(pending)) : NULL;
    /* Outlives the producer, whose reports it hears. */
    AUTO(lane) lane = app.lane = lane_open(config->lane, front_leave, &app);
    AUTO(backend) backend = pending ? backend_open(&options, err) : NULL;
    if (!backend)
        return false;
    app.db = backend_db(backend);
    app.producer = backend_producer(backend);
    app.redis = backend_redis(backend);
    int32_t partitions;
    if (!kafka_send_prepare(app.producer, err) ||
        !kafka_partition_count(app.producer, TOPIC_CHAT_INBOUND, PARTITIONS_MS, &partitions, err))
        return false;
    lane_know(lane, partitions);
    AUTO(owner) owner = app.owner = owner_open(app.producer, err);
    AUTO(rounds) rounds = owner ? rounds_start(SWEEP_EVERY_MS, sweep_round, &app, err) : NULL;
    AUTO(rounds) tidy = rounds ? rounds_start(TIDY_EVERY_MS, tidy_round, &app, err) : NULL;
    AUTO(hub) hub = app.hub = tidy ? hub_start(&app, backend, err) : NULL;
    const struct backend_parts parts = {
        .routes = CHAT_ROUTES,
        .subscriptions = CHAT_SUBSCRIPTIONS,
        .listening = CHAT_LISTENING,
        .draining = hub_drain,
        .metrics_prefix = "madang_chat",
        .app = &app,
    };
    if (!hub || !lane_start(lane, owner_apply_lane, &app, err))
        return false;
    owner_watch(owner, lane);
    const bool served = backend_serve(backend, &parts, err);
    owner_watch(owner, NULL);
    lane_stop(lane); /* the last commands may still be told to sockets */
    return served;
}

int main(int argc, char **argv)
{
    static struct chat_config config;
    return service_main("chat-svc", argc, argv, CHAT_SETTINGS, &config, &config.service, run);
}
