#include "clock.h"
#include "lane.h"
#include "log.h"
#include "mem.h"
#include "owner_parts.h"

enum {
    PARTITIONS_MAX = 64, /* of one batch; items of others go to the log */
    COUNT_MS = 2000,
};

void owner_open_lane(const struct chat_app *app, const char *topic, int32_t partition)
{
    struct err err = {0};
    int32_t count = 0;
    if (!app->lane)
        return;
    if (!lane_is_known(app->lane) && !kafka_partition_count(app->producer, topic, COUNT_MS, &count, &err))
        log_err("lane_stays_shut", &err); /* until the next partition comes to us */
    lane_know(app->lane, count);
    lane_hold(app->lane, partition);
}

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

/* Those whose batch was applied leave the list. */
static struct lane_item *not_applied(struct lane_item *items, const struct kafka_batch *batches, size_t batch_count,
                                     const bool *lost)
{
    struct lane_item *left = NULL, **end = &left;
    for (struct lane_item *item = items, *next; item; item = next) {
        size_t b = 0;
        next = item->next;
        item->next = NULL;
        while (b < batch_count && batches[b].partition != item->partition)
            b++;
        if (b < batch_count && !lost[b]) {
            lane_items_free(item);
            continue;
        }
        *end = item;
        end = &item->next;
    }
    return left;
}

bool owner_work_off(const struct chat_app *app)
{
    struct lane_item *items = app->lane ? lane_drain(app->lane) : NULL;
    if (!items)
        return true;
    AUTO(arena) arena = arena_open(OWNER_ARENA_BYTES);
    struct kafka_batch batches[PARTITIONS_MAX];
    bool lost[PARTITIONS_MAX];
    struct err err = {0};
    const size_t count = batches_of(arena, items, batches);
    const int64_t began_us = clock_now_us();
    if (!owner_batch(app, batches, count, lost, &err)) {
        log_err("lane_failed", &err);
        for (size_t b = 0; b < count; b++)
            metric_add(app->owner->given_back, (int64_t)batches[b].count);
        return lane_give_back(app->lane, items, false);
    }
    for (size_t b = 0; b < count; b++) {
        kafka_trace_batch(&batches[b], "lane", began_us, !lost[b]);
        metric_add(lost[b] ? app->owner->given_back : app->owner->passed, (int64_t)batches[b].count);
        if (lost[b])
            lane_let_go(app->lane, batches[b].partition);
    }
    items = not_applied(items, batches, count, lost);
    return !items || lane_give_back(app->lane, items, true);
}
