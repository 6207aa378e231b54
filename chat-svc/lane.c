#include "lane.h"

#include "clock.h"
#include "mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ITEMS_MAX = 500,
    BYTES_MAX = 8 * 1024 * 1024,
    PARTITIONS_MAX = 1024, /* with more of them there is no lane */
    AGAIN_MS = 1000,
    GIVE_BACK_AFTER_MS = 5000,
    UNDER_WAY_MS = 20000, /* longer than Kafka's producer tries: what was not heard by then never will be */
};

/* A command of ours on the log, not applied yet. */
struct under_way {
    uint64_t name; /* of its corr */
    int64_t at_ms;
};

struct place {
    bool ours;
    enum { UNTOUCHED, UNDECIDED, TO_LOG, KEPT } fate; /* of its commands, while some are given back */
    struct under_way *log;                            /* from `first` on, oldest first */
    size_t first, count, room;
};

struct lane {
    bool enabled, started;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t news;
    pthread_t thread;
    bool (*work)(void *app);
    void *app;
    struct place *places;
    int32_t place_count;
    bool stop, poked;
    struct lane_item *items, **last;
    size_t count, bytes;
};

struct lane *lane_open(bool enabled)
{
    struct lane *lane = MEM_NEW(lane);
    lane->enabled = enabled;
    lane->last = &lane->items;
    (void)pthread_mutex_init(&lane->lock, NULL);
    pthread_condattr_t clock;
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&lane->news, &clock);
    (void)pthread_condattr_destroy(&clock);
    return lane;
}

void lane_release(struct lane **place)
{
    struct lane *lane = TAKE(*place);
    if (!lane)
        return;
    lane_stop(lane);
    lane_items_free(lane->items);
    for (int32_t i = 0; i < lane->place_count; i++)
        free(lane->places[i].log);
    free(lane->places);
    (void)pthread_cond_destroy(&lane->news);
    (void)pthread_mutex_destroy(&lane->lock);
    free(lane);
}

/* ---- partitions; all hold the lock ---- */

static struct place *place_at(struct lane *lane, int32_t partition)
{
    return partition >= 0 && partition < lane->place_count ? &lane->places[partition] : NULL;
}

static int32_t partition_of(const struct lane *lane, const char *room_id)
{
    return lane->place_count > 0 ? kafka_partition_of(view_of(room_id), lane->place_count) : -1;
}

/* FNV-1a; two of one hash would at worst keep a lane shut a little longer or open it a little early. */
static uint64_t name_of(const char *corr)
{
    uint64_t name = UINT64_C(14695981039346656037);
    for (const char *at = corr; *at; at++)
        name = (name ^ (unsigned char)*at) * UINT64_C(1099511628211);
    return name;
}

static void log_add(struct place *place, const char *corr)
{
    if (place->first + place->count == place->room) {
        if (place->count)
            memmove(place->log, place->log + place->first, place->count * sizeof *place->log);
        place->first = 0;
        if (place->count * 2 >= place->room) {
            place->room = place->room ? place->room * 2 : 16;
            place->log = mem_grow(place->log, place->room, sizeof *place->log);
        }
    }
    place->log[place->first + place->count++] = (struct under_way){name_of(corr), clock_monotonic_ms()};
}

static void log_remove(struct place *place, const char *corr)
{
    const uint64_t name = name_of(corr);
    struct under_way *log = place->log + place->first;
    size_t i = 0;
    while (i < place->count && log[i].name != name)
        i++;
    if (i == place->count)
        return;
    memmove(log + 1, log, i * sizeof *log);
    place->first++;
    place->count--;
}

static bool is_log_empty(struct place *place)
{
    const int64_t now_ms = clock_monotonic_ms();
    while (place->count && now_ms - place->log[place->first].at_ms >= UNDER_WAY_MS) {
        place->first++;
        place->count--;
    }
    return place->count == 0;
}

void lane_know(struct lane *lane, int32_t partitions)
{
    (void)pthread_mutex_lock(&lane->lock);
    if (lane->place_count == 0 && lane->enabled && partitions > 0 && partitions <= PARTITIONS_MAX) {
        lane->places = mem_new((size_t)partitions, sizeof *lane->places);
        lane->place_count = partitions;
    }
    (void)pthread_mutex_unlock(&lane->lock);
}

bool lane_is_known(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    const bool known = lane->place_count > 0 || !lane->enabled;
    (void)pthread_mutex_unlock(&lane->lock);
    return known;
}

static void set_ours(struct lane *lane, int32_t partition, bool ours)
{
    (void)pthread_mutex_lock(&lane->lock);
    struct place *place = place_at(lane, partition);
    if (place)
        place->ours = ours;
    (void)pthread_mutex_unlock(&lane->lock);
}

void lane_hold(struct lane *lane, int32_t partition)
{
    set_ours(lane, partition, true);
}

void lane_let_go(struct lane *lane, int32_t partition)
{
    set_ours(lane, partition, false);
}

/* ---- in ---- */

static size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *put(char **at, const char *text)
{
    const size_t size = size_of(text);
    char *start = *at;
    if (!text)
        return NULL;
    memcpy(start, text, size);
    *at += size;
    return start;
}

static struct lane_item *item_new(const struct lane_command *command, int32_t partition)
{
    struct lane_item *item =
        mem_new(1, sizeof *item + command->payload.length + size_of(command->room_id) + size_of(command->corr) +
                       size_of(command->request_id) + size_of(command->traceparent));
    char *at = (char *)(item + 1);
    item->partition = partition;
    item->record.offset = INT64_MAX;
    item->record.timestamp_ms = clock_now_ms();
    item->record.key = view_of(put(&at, command->room_id));
    item->record.corr = put(&at, command->corr);
    item->record.request_id = put(&at, command->request_id);
    item->record.traceparent = put(&at, command->traceparent);
    memcpy(at, command->payload.bytes, command->payload.length);
    item->record.payload = (struct view){at, command->payload.length};
    return item;
}

static void enqueue(struct lane *lane, struct lane_item *item)
{
    *lane->last = item;
    lane->last = &item->next;
    lane->bytes += item->record.payload.length;
    if (lane->count++ == 0)
        (void)pthread_cond_signal(&lane->news);
}

bool lane_take(struct lane *lane, const struct lane_command *command)
{
    (void)pthread_mutex_lock(&lane->lock);
    const int32_t partition = partition_of(lane, command->room_id);
    struct place *place = place_at(lane, partition);
    const bool open = place && place->ours && !lane->stop && command->may_pass && lane->count < ITEMS_MAX &&
                      lane->bytes + command->payload.length <= BYTES_MAX && is_log_empty(place);
    if (open)
        enqueue(lane, item_new(command, partition));
    else if (place && command->corr)
        log_add(place, command->corr);
    (void)pthread_mutex_unlock(&lane->lock);
    return open;
}

void lane_forget(struct lane *lane, const char *room_id, const char *corr)
{
    (void)pthread_mutex_lock(&lane->lock);
    struct place *place = place_at(lane, partition_of(lane, room_id));
    if (place && corr)
        log_remove(place, corr);
    (void)pthread_mutex_unlock(&lane->lock);
}

void lane_heard(struct lane *lane, const struct kafka_batch *batch)
{
    (void)pthread_mutex_lock(&lane->lock);
    struct place *place = place_at(lane, batch->partition);
    for (size_t i = 0; place && place->count && i < batch->count; i++)
        if (batch->records[i].corr)
            log_remove(place, batch->records[i].corr);
    (void)pthread_mutex_unlock(&lane->lock);
}

/* ---- out ---- */

static struct lane_item *take_all(struct lane *lane) /* holds the lock */
{
    struct lane_item *items = lane->items;
    lane->items = NULL;
    lane->last = &lane->items;
    lane->count = lane->bytes = 0;
    return items;
}

struct lane_item *lane_drain(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    struct lane_item *items = take_all(lane);
    (void)pthread_mutex_unlock(&lane->lock);
    return items;
}

void lane_items_free(struct lane_item *items)
{
    for (struct lane_item *next; items; items = next) {
        next = items->next;
        free(items);
    }
}

/* Behind those of ours that are on the log already it would come too late; so it stays where it was. Not for ever: what
 * can never be applied must get to where it is put aside. */
static bool goes_to_log(const struct lane *lane, const struct place *place, const struct lane_item *first, bool must)
{
    return must || lane->stop || place->count == 0 || clock_now_ms() - first->record.timestamp_ms >= GIVE_BACK_AFTER_MS;
}

bool lane_give_back(struct lane *lane, struct lane_item *items, bool must,
                    void (*to_log)(void *app, const struct lane_item *item), void *app)
{
    bool all = true;
    (void)pthread_mutex_lock(&lane->lock);
    for (const struct lane_item *item = items; item; item = item->next)
        lane->places[item->partition].fate = UNDECIDED;
    struct lane_item *behind = take_all(lane), **end = &items;
    while (*end)
        end = &(*end)->next;
    *end = behind;
    for (struct lane_item *item = items, *next; item; item = next) {
        struct place *place = &lane->places[item->partition];
        next = item->next;
        if (place->fate == UNDECIDED)
            place->fate = goes_to_log(lane, place, item, must) ? TO_LOG : KEPT;
        all = all && place->fate != KEPT;
        if (place->fate != TO_LOG) {
            item->next = NULL;
            enqueue(lane, item);
            continue;
        }
        if (item->record.corr)
            log_add(place, item->record.corr);
        to_log(app, item);
        free(item);
    }
    for (int32_t i = 0; i < lane->place_count; i++)
        lane->places[i].fate = UNTOUCHED;
    (void)pthread_mutex_unlock(&lane->lock);
    return all;
}

/* ---- the thread ---- */

/* False: it is over. */
static bool wait_for_news(struct lane *lane, bool again)
{
    const int64_t until_ms = clock_monotonic_ms() + AGAIN_MS;
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    (void)pthread_mutex_lock(&lane->lock);
    while (again && !lane->stop && pthread_cond_timedwait(&lane->news, &lane->lock, &until) == 0)
        continue;
    while (!again && !lane->items && !lane->poked && !lane->stop)
        (void)pthread_cond_wait(&lane->news, &lane->lock);
    const bool over = lane->stop && !lane->items;
    lane->poked = false;
    (void)pthread_mutex_unlock(&lane->lock);
    return !over;
}

static void *turn(void *payload)
{
    struct lane *lane = payload;
    bool again = false;
    (void)pthread_setname_np(pthread_self(), "lane");
    while (wait_for_news(lane, again))
        again = !lane->work(lane->app);
    return NULL;
}

void lane_poke(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    lane->poked = true;
    (void)pthread_cond_signal(&lane->news);
    (void)pthread_mutex_unlock(&lane->lock);
}

bool lane_start(struct lane *lane, bool (*work)(void *app), void *app, struct err *err)
{
    lane->work = work;
    lane->app = app;
    lane->started = pthread_create(&lane->thread, NULL, turn, lane) == 0;
    return lane->started || err_set_internal(err, &ERR_INTERNAL, "no thread for the lane");
}

void lane_stop(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    lane->stop = true;
    (void)pthread_cond_signal(&lane->news);
    (void)pthread_mutex_unlock(&lane->lock);
    if (lane->started)
        (void)pthread_join(lane->thread, NULL);
    lane->started = false;
}
