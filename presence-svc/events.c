#include "events.h"

#include "app.h"
#include "store.h"

enum { BATCH_ARENA_BYTES = 64 * 1024 * 1024, SIGNALS_BATCH = 2000, COPIES_BATCH = 500 };

const char *const PRESENCE_TOPICS[] = {TOPIC_PRESENCE_SIGNALS, TOPIC_PRESENCE_CHANGES, TOPIC_RELATIONS, TOPIC_ACCOUNTS,
                                       NULL};

/* A signal that can't be read is noted as applied before it goes to the dead letters: the sweep of its partition waits
 * for what is not applied. */
static bool signals_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct presence_app *app = payload;
    const struct presence_limits limits = {.lease_ms = app->config->lease_seconds * 1000,
                                           .down_ms = app->config->down_seconds * 1000};
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct presence_signal *signals = arena_alloc(arena, (batch->count + 1) * sizeof *signals);
    for (size_t i = 0; i < batch->count; i++) {
        struct err wrong = {0};
        if (codec_signal(arena, batch->records[i].payload, batch->records[i].timestamp_ms, &signals[i], &wrong))
            continue;
        if (batch->count == 1 && !store_skip(app->db, batch, err))
            return false;
        *err = wrong;
        return false;
    }
    return store_apply_signals(app->db, arena, batch, signals, &limits, err);
}

static bool relations_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct presence_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    const struct relation_copy *relations = relations_decode(arena, batch, err);
    return relations && store_apply_relations(app->db, arena, batch, relations, err);
}

static bool accounts_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct presence_app *app = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    const struct account_copy *accounts = accounts_decode(arena, batch, err);
    return accounts && store_apply_accounts(app->db, arena, batch, accounts, err);
}

const struct kafka_subscription PRESENCE_SUBSCRIPTIONS[] = {
    {.topic = TOPIC_PRESENCE_SIGNALS, .apply = signals_apply, .batch_max = SIGNALS_BATCH, .poison = POISON_DEAD_LETTER},
    {.topic = TOPIC_RELATIONS, .apply = relations_apply, .batch_max = COPIES_BATCH, .poison = POISON_STOP},
    {.topic = TOPIC_ACCOUNTS, .apply = accounts_apply, .batch_max = COPIES_BATCH, .poison = POISON_STOP},
    {0},
};
