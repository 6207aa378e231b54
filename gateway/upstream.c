#include "upstream.h"

#include "channel.h"
#include "loop.h"
#include "mem.h"
#include "stats.h"

#include <stdlib.h>
#include <string.h>

/* ---- breaker ---- */

bool breaker_allows(const struct breaker *breaker, int64_t now_ms)
{
    return !breaker->open_until_ms || (now_ms >= breaker->open_until_ms && !breaker->trying);
}

void breaker_success(struct breaker *breaker)
{
    *breaker = (struct breaker){0};
}

void breaker_failure(struct breaker *breaker, int64_t now_ms)
{
    breaker->failures++;
    if (breaker->failures < BREAKER_FAILURES || (breaker->open_until_ms && now_ms < breaker->open_until_ms))
        return;
    breaker->open_for_ms = breaker->open_for_ms ? breaker->open_for_ms * 2 : BREAKER_FIRST_MS;
    if (breaker->open_for_ms > BREAKER_MOST_MS)
        breaker->open_for_ms = BREAKER_MOST_MS;
    breaker->open_until_ms = now_ms + breaker->open_for_ms;
    breaker->trying = false;
}

const char *breaker_name(const struct breaker *breaker, int64_t now_ms)
{
    if (!breaker->open_until_ms)
        return "closed";
    return now_ms < breaker->open_until_ms ? "open" : "half-open";
}

/* ---- the table ---- */

struct fleet *fleet_of(struct loop *loop, const char *service)
{
    for (struct fleet *fleet = loop->fleets; fleet; fleet = fleet->next)
        if (strcmp(fleet->service, service) == 0)
            return fleet;
    struct fleet *fleet = MEM_NEW(fleet);
    memcpy(fleet->service, service, strnlen(service, sizeof fleet->service - 1));
    fleet->next = loop->fleets;
    return loop->fleets = fleet;
}

void upstream_check(struct upstream *upstream)
{
    if (upstream->gone && !upstream->connections && !upstream->in_flight)
        free(upstream);
}

/* Connections that nobody uses are closed: of one that goes, and of one that drains. */
static void close_idle(struct upstream *upstream)
{
    while (upstream->idle)
        channel_close(upstream->idle);
    if (upstream->probe)
        channel_close(TAKE(upstream->probe));
}

static bool same_instance(const struct instance *a, const struct instance *b)
{
    return strcmp(a->entry.instance, b->entry.instance) == 0 && a->entry.epoch == b->entry.epoch &&
           strcmp(a->entry.address, b->entry.address) == 0;
}

static void fleet_join(struct fleet *fleet, const struct instance *instance)
{
    if (fleet->count == FLEET_MAX)
        return;
    struct upstream *upstream = MEM_NEW(upstream);
    upstream->instance = *instance;
    fleet->members[fleet->count++] = upstream;
}

static void fleet_update(struct fleet *fleet, const struct instance_list *list)
{
    int kept = 0;
    for (int i = 0; i < fleet->count; i++) {
        struct upstream *upstream = fleet->members[i];
        const struct instance *found = NULL;
        for (size_t k = 0; k < list->count && !found; k++)
            if (strcmp(list->items[k].entry.service, fleet->service) == 0 &&
                same_instance(&list->items[k], &upstream->instance))
                found = &list->items[k];
        if (found) {
            upstream->instance.entry = found->entry;
            fleet->members[kept++] = upstream;
            if (found->entry.state == INSTANCE_DRAINING)
                close_idle(upstream);
            continue;
        }
        upstream->gone = true;
        stats_forget(upstream);
        upstream->in_flight++; /* keeps it while its connections go */
        close_idle(upstream);
        upstream->in_flight--;
        upstream_check(upstream);
    }
    fleet->count = kept;
}

void fleets_update(struct loop *loop, const struct instance_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        (void)fleet_of(loop, list->items[i].entry.service);
    for (struct fleet *fleet = loop->fleets; fleet; fleet = fleet->next) {
        fleet_update(fleet, list);
        for (size_t i = 0; i < list->count; i++) {
            if (strcmp(list->items[i].entry.service, fleet->service) != 0)
                continue;
            bool there = false;
            for (int k = 0; k < fleet->count && !there; k++)
                there = same_instance(&list->items[i], &fleet->members[k]->instance);
            if (!there)
                fleet_join(fleet, &list->items[i]);
        }
    }
}

void fleets_release(struct loop *loop)
{
    static const struct instance_list NOBODY;
    while (loop->fleets) {
        struct fleet *fleet = loop->fleets;
        fleet_update(fleet, &NOBODY);
        loop->fleets = fleet->next;
        free(fleet);
    }
}

void fleets_probe(struct loop *loop)
{
    for (struct fleet *fleet = loop->fleets; fleet; fleet = fleet->next)
        for (int i = 0; i < fleet->count; i++) {
            struct upstream *upstream = fleet->members[i];
            if (upstream->instance.entry.state == INSTANCE_SUSPECT && !upstream->idle && !upstream->probe)
                channel_probe(loop, upstream);
        }
}

/* ---- picking ---- */

/* 0 is best: up, draining, suspect. */
static int rank_of(const struct upstream *upstream)
{
    static const int RANKS[] = {[INSTANCE_UP] = 0, [INSTANCE_DRAINING] = 1, [INSTANCE_SUSPECT] = 2};
    return RANKS[upstream->instance.entry.state];
}

static uint64_t weight_of(const struct upstream *upstream)
{
    int weight = upstream->instance.entry.weight;
    return weight > 0 ? (uint64_t)weight : 1;
}

static bool of_one_weight(struct upstream *const *able, int count)
{
    for (int i = 1; i < count; i++)
        if (weight_of(able[i]) != weight_of(able[0]))
            return false;
    return true;
}

/* A canary beside the others: an idle gateway gives each its share, and a busy instance less than that. */
static struct upstream *pick_by_weight(struct upstream *const *able, int count, uint64_t random)
{
    uint64_t shares[FLEET_MAX], total = 0;
    for (int i = 0; i < count; i++) {
        shares[i] = weight_of(able[i]) * 10000 / (able[i]->in_flight + 1);
        total += shares[i];
    }
    if (!total)
        return able[0];
    uint64_t at = (random & 0xffffffff) * total >> 32; /* 64 shares of at most 10,000,000: it fits */
    int i = 0;
    while (i < count - 1 && at >= shares[i])
        at -= shares[i++];
    return able[i];
}

/* The less busy of two. */
static struct upstream *pick_of_two(struct upstream *const *able, int count, uint64_t random)
{
    int first = (int)((random & 0xffffffff) * (uint64_t)count >> 32);
    int second = (int)((random >> 32) * (uint64_t)(count - 1) >> 32);
    if (second >= first)
        second++;
    return able[first]->in_flight <= able[second]->in_flight ? able[first] : able[second];
}

struct upstream *fleet_pick(struct loop *loop, struct fleet *fleet, const struct upstream *avoid)
{
    struct upstream *able[FLEET_MAX], *last = NULL;
    int count = 0, best = 3;
    for (int i = 0; i < fleet->count; i++) {
        struct upstream *upstream = fleet->members[i];
        if (!breaker_allows(&upstream->breaker, loop->now_ms))
            continue;
        if (upstream == avoid) {
            last = upstream;
            continue;
        }
        int rank = rank_of(upstream);
        if (rank < best) {
            best = rank;
            count = 0;
        }
        if (rank == best)
            able[count++] = upstream;
    }
    if (!count)
        return last;
    if (count == 1)
        return able[0];
    return (of_one_weight(able, count) ? pick_of_two : pick_by_weight)(able, count, loop_random(loop));
}
