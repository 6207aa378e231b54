#include "events.h"

#include "app.h"
#include "copies.h"
#include "settle.h"
#include "topics.h"

const char *const ORDER_TOPICS[] = {TOPIC_ACCOUNTS, TOPIC_MARKET_COMMANDS, TOPIC_MARKET_EVENTS, TOPIC_GAME_EVENTS,
                                    NULL};

/* Settlement in fewer, larger transactions when there is much to settle and nobody waits for it (fresh.c). */
enum { ACCOUNTS_BATCH = 200, GAME_BATCH = 200, SETTLE_BATCH = 2000, GATHER_MS = 5, BUSY_GATHER_MS = 100 };

static bool accounts_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    return copies_accounts(((const struct order_app *)payload)->db, batch, err);
}

static bool game_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    return copies_game(((const struct order_app *)payload)->db, batch, err);
}

static bool market_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    return settle_batch(((const struct order_app *)payload)->settle, batch, err);
}

static bool market_assigned(void *payload, const char *topic, int32_t partition, struct err *err)
{
    return settle_took_over(((const struct order_app *)payload)->settle, topic, partition, err);
}

/* Money is never skipped: a record of market.events that can't be settled stops its partition. */
const struct kafka_subscription ORDER_SUBSCRIPTIONS[] = {
    {.topic = TOPIC_ACCOUNTS,
     .apply = accounts_apply,
     .batch_max = ACCOUNTS_BATCH,
     .gather_ms = GATHER_MS,
     .busy_gather_ms = BUSY_GATHER_MS,
     .poison = POISON_STOP},
    {.topic = TOPIC_GAME_EVENTS,
     .apply = game_apply,
     .batch_max = GAME_BATCH,
     .gather_ms = GATHER_MS,
     .busy_gather_ms = BUSY_GATHER_MS,
     .poison = POISON_DEAD_LETTER},
    {.topic = TOPIC_MARKET_EVENTS,
     .apply = market_apply,
     .batch_max = SETTLE_BATCH,
     .gather_ms = GATHER_MS,
     .busy_gather_ms = BUSY_GATHER_MS,
     .bare = true,
     .poison = POISON_STOP,
     .assigned = market_assigned},
    {0},
};
