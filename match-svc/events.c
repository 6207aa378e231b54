#include "events.h"

#include "app.h"
#include "feed.h"
#include "owner.h"
#include "table.h"
#include "topics.h"

const char *const MATCH_TOPICS[] = {TOPIC_MARKET_COMMANDS, TOPIC_MARKET_EVENTS, TOPIC_MARKET_DEPTH, NULL};

const struct kafka_subscription MATCH_SUBSCRIPTIONS[] = {
    {.topic = TOPIC_MARKET_COMMANDS,
     .apply = owner_apply,
     .batch_max = 1000,
     .poison = POISON_STOP,
     .assigned = owner_assigned,
     .revoked = owner_revoked},
    {0},
};

static void hear_depth(void *payload, const struct kafka_batch *batch)
{
    const struct match_app *app = payload;
    feed_hear_depth(app->feed, batch);
}

static void depth_ready(void *payload)
{
    const struct match_app *app = payload;
    table_is_whole(app->table);
}

static void hear_events(void *payload, const struct kafka_batch *batch)
{
    const struct match_app *app = payload;
    feed_hear_events(app->feed, batch);
}

/* What viewers are shown: trades of some milliseconds in one frame, of up to 100 when there are many. */
enum { GATHER_MS = 20 };

const struct kafka_listening MATCH_LISTENING[] = {
    {.topic = TOPIC_MARKET_DEPTH,
     .hear = hear_depth,
     .from = LISTEN_FROM_START,
     .ready = depth_ready,
     .gather_ms = GATHER_MS,
     .bare = true},
    {.topic = TOPIC_MARKET_EVENTS, .hear = hear_events, .from = LISTEN_FROM_NOW, .gather_ms = GATHER_MS, .bare = true},
    {0},
};
