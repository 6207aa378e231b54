#include "clock.h"
#include "lane.h"
#include "log.h"
#include "mem.h"
#include "owner_parts.h"

enum { PARTITIONS_MAX = 64 /* as many as a lane has */ };

/* The items of each partition behind one another, in their order. Returns how many batches that is. */
static size_t batches_of(struct arena *arena, const struct lane_item *items, struct kafka_batch *batches)
{
    size_t batch_count = 0, count = 0;
    for (const struct lane_item *item = items; item; item = item->next)
        count++;
    struct kafka_record *records = arena_alloc(arena, count * sizeof *records);
    for (const struct lane_item *first = items; first; first = first->next) {
        size_t known = 0;
        while (known < batch_count && batches[known].partition != first->partition)
            known++;
        if (known < batch_count || batch_count == PARTITIONS_MAX)
            continue;
        struct kafka_record *start = records;
        for (const struct lane_item *item = first; item; item = item->next)
            if (item->partition == first->partition)
                *records++ = item->record;
        batches[batch_count++] = (struct kafka_batch){.topic = TOPIC_CHAT_INBOUND,
                                                      .partition = first->partition,
                                                      .records = start,
                                                      .count = (size_t)(records - start)};
    }
    return batch_count;
}

enum fate { APPLIED, FAILED, LOST };

/* Takes the items of these partitions out of the list. */
static struct lane_item *items_of(struct lane_item **items, const struct kafka_batch *batches, size_t batch_count,
                                  const enum fate *fates, enum fate fate)
{
    struct lane_item *taken = NULL, **end = &taken;
    for (struct lane_item **at = items; *at;) {
        struct lane_item *item = *at;
        size_t b = 0;
        while (b < batch_count && batches[b].partition != item->partition)
            b++;
        if (b == batch_count || fates[b] != fate) {
            at = &item->next;
            continue;
        }
        *at = item->next;
        item->next = NULL;
        *end = item;
        end = &item->next;
    }
    return taken;
}

static bool apply_these(const struct chat_app *app, const struct kafka_batch *batches, size_t count, enum fate *fates,
                        struct err *err)
{
    bool lost[PARTITIONS_MAX];
    const int64_t began_us = clock_now_us();
    const bool done = owner_batch(app, batches, count, lost, err);
    if (!done)
        log_err("lane_failed", err);
    for (size_t b = 0; b < count; b++) {
        fates[b] = !done ? FAILED : lost[b] ? LOST : APPLIED;
        kafka_trace_batch(&batches[b], "lane", began_us, fates[b] == APPLIED);
    }
    return done;
}

/* A partition whose events could not be told keeps no other waiting: what it has goes the way of the log, and mending
 * is the thread's. Returns how many can be applied; they come first. */
static size_t ready_first(const struct chat_app *app, struct kafka_batch *batches, size_t count)
{
    size_t ready = 0;
    for (size_t b = 0; b < count; b++) {
        if (!owner_is_clean(app->owner, batches[b].partition))
            continue;
        const struct kafka_batch batch = batches[b];
        batches[b] = batches[ready];
        batches[ready++] = batch;
    }
    return ready;
}

bool owner_work_off(const struct chat_app *app)
{
    struct lane_item *items = app->lane ? lane_drain(app->lane) : NULL;
    if (!items)
        return true;
    AUTO(arena) arena = arena_open(OWNER_ARENA_BYTES);
    struct kafka_batch batches[PARTITIONS_MAX];
    enum fate fates[PARTITIONS_MAX];
    const size_t count = batches_of(arena, items, batches), ready = ready_first(app, batches, count);
    for (size_t b = ready; b < count; b++)
        fates[b] = FAILED;
    struct err err = {0};
    const bool done = ready == 0 || apply_these(app, batches, ready, fates, &err);
    if (!done && ready > 1 &&
        !err_is(&err, &ERR_UNAVAILABLE)) /* the one that can't be applied keeps no other waiting */
        for (size_t b = 0; b < ready; b++)
            (void)apply_these(app, &batches[b], 1, &fates[b], &(struct err){0});
    for (size_t b = 0; b < count; b++) {
        metric_add(fates[b] == APPLIED ? app->owner->passed : app->owner->given_back, (int64_t)batches[b].count);
        if (fates[b] == LOST)
            lane_let_go(app->lane, batches[b].partition);
    }
    if (ready < count || !done)
        lane_poke(app->lane); /* its thread mends, and looks again */
    lane_items_free(items_of(&items, batches, count, fates, APPLIED));
    struct lane_item *lost = items_of(&items, batches, count, fates, LOST);
    if (lost)
        (void)lane_give_back(app->lane, lost, true);
    return !items || lane_give_back(app->lane, items, false);
}
