#include "events.h"

#include "app.h"
#include "figures.h"
#include "log.h"
#include "post.h"
#include "store.h"

const char *const PUSH_TOPICS[] = {TOPIC_ACCOUNTS,        TOPIC_SESSIONS_ENDED, TOPIC_PRESENCE_CHANGES,
                                   TOPIC_NOTIFY_SETTINGS, TOPIC_PUSH_REQUESTS,  NULL};

enum { BATCH_ARENA_BYTES = 64 * 1024 * 1024, SESSIONS_BATCH = 100, COPIES_BATCH = 200, REQUESTS_BATCH = 500 };

static bool accounts_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct push_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    const struct account_copy *copies = accounts_decode(arena, batch, err);
    return copies && store_apply_accounts(app->db, arena, batch, copies, err);
}

static bool sessions_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct push_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    const struct session_end *ends = session_ends_decode(arena, batch, err);
    return ends && store_apply_ended(app->db, arena, batch, ends, err);
}

static bool presence_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct push_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    const struct presence_change *copies = records_decode(arena, batch, PRESENCE_FIELDS, sizeof *copies, err);
    return copies && store_apply_presence(app->db, arena, batch, copies, err);
}

static bool settings_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct push_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct preference *copies = arena_alloc(arena, (batch->count + 1) * sizeof *copies);
    for (size_t i = 0; i < batch->count; i++)
        if (batch->records[i].payload.bytes && !codec_preference(arena, batch->records[i].payload, &copies[i], err))
            return false;
    return store_apply_preferences(app->db, arena, batch, copies, err);
}

static bool requests_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct push_app *app = payload;
    const struct request_limits limits = {app->config->queue_max, app->config->presence_wait_ms};
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct push_request *requests = arena_alloc(arena, (batch->count + 1) * sizeof *requests);
    for (size_t i = 0; i < batch->count; i++)
        if (batch->records[i].payload.bytes &&
            !codec_push_request(arena, batch->records[i].payload, batch->records[i].timestamp_ms, &requests[i], err))
            return false;
    struct taken_requests taken;
    if (!store_apply_requests(app->db, arena, batch, requests, &limits, &taken, err))
        return false;
    figures_requests("new", taken.with_devices);
    figures_requests("no_device", taken.fresh - taken.with_devices);
    figures_requests("double", (int64_t)batch->count - taken.fresh);
    figures_dropped_full(taken.dropped);
    if (taken.dropped > 0)
        log_event(LOG_WARN, "push_queue_full", LOG_I64("dropped", taken.dropped));
    if (taken.sends > 0)
        post_wake(app->post);
    return true;
}

const struct kafka_subscription PUSH_SUBSCRIPTIONS[] = {
    {.topic = TOPIC_ACCOUNTS, .apply = accounts_apply, .batch_max = COPIES_BATCH, .poison = POISON_STOP},
    {.topic = TOPIC_SESSIONS_ENDED, .apply = sessions_apply, .batch_max = SESSIONS_BATCH, .poison = POISON_DEAD_LETTER},
    {.topic = TOPIC_PRESENCE_CHANGES, .apply = presence_apply, .batch_max = COPIES_BATCH, .poison = POISON_STOP},
    {.topic = TOPIC_NOTIFY_SETTINGS, .apply = settings_apply, .batch_max = COPIES_BATCH, .poison = POISON_STOP},
    {.topic = TOPIC_PUSH_REQUESTS, .apply = requests_apply, .batch_max = REQUESTS_BATCH, .poison = POISON_DEAD_LETTER},
    {0},
};
