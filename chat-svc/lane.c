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
    AGAIN_MS = 1000,
    PARTITIONS_MAX = 64, /* with more of them there is no lane */
    PATIENCE_MS = 2000,  /* a log that is so far behind is not waited for: what comes follows it there */
    REFUSE_AFTER_MS = 5000,
    FORGET_MS = 600000, /* what was not heard by then never will be */
};

/* A command of ours on the log, not applied yet. */
struct under_way {
    uint64_t name; /* of its corr */
    uint64_t number;
    int64_t at_ms;
};

struct place {                       /* a partition */
    bool ours, first_again;          /* first_again: its items were put back, before all that is on the log */
    struct lane_item *items, **last; /* in order; each waits for those on the log up to its `behind` */
    struct under_way *log;           /* from `first` on, oldest first */
    size_t first, count, room;
    uint64_t last_number;
};

struct lane {
    bool enabled, started;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t news;
    pthread_t thread;
    bool (*work)(void *app);
    void *app;
    bool (*leave)(void *log_app, const struct lane_item *item, bool refused);
    void *log_app;
    struct place *places;
    int32_t place_count;
    bool stop, poked;
    size_t count, bytes; /* of items */
};

struct lane *lane_open(bool enabled, bool (*leave)(void *app, const struct lane_item *item, bool refused), void *app)
{
    struct lane *lane = MEM_NEW(lane);
    lane->enabled = enabled;
    lane->leave = leave;
    lane->log_app = app;
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
    for (int32_t i = 0; i < lane->place_count; i++) {
        lane_items_free(lane->places[i].items);
        free(lane->places[i].log);
    }
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

static int32_t partition_of(const struct lane *lane, struct view room_id)
{
    return lane->place_count > 0 ? kafka_partition_of(room_id, lane->place_count) : -1;
}

/* FNV-1a; two of one hash would at worst keep a lane shut a little longer or open it a little early. */
static uint64_t name_of(const char *corr)
{
    uint64_t name = UINT64_C(14695981039346656037);
    for (const char *at = corr; *at; at++)
        name = (name ^ (unsigned char)*at) * UINT64_C(1099511628211);
    return name;
}

static void forget_old(struct place *place)
{
    const int64_t now_ms = clock_monotonic_ms();
    while (place->count && now_ms - place->log[place->first].at_ms >= FORGET_MS) {
        place->first++;
        place->count--;
    }
}

static void log_add(struct place *place, const char *corr)
{
    forget_old(place);
    if (place->first + place->count == place->room) {
        if (place->count)
            memmove(place->log, place->log + place->first, place->count * sizeof *place->log);
        place->first = 0;
        if (place->count * 2 >= place->room) {
            place->room = place->room ? place->room * 2 : 16;
            place->log = mem_grow(place->log, place->room, sizeof *place->log);
        }
    }
    place->log[place->first + place->count++] =
        (struct under_way){name_of(corr), ++place->last_number, clock_monotonic_ms()};
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
    forget_old(place);
    return place->count == 0;
}

static bool is_log_late(struct place *place)
{
    return !is_log_empty(place) && clock_monotonic_ms() - place->log[place->first].at_ms >= PATIENCE_MS;
}

static bool waits_for_log(struct place *place, const struct lane_item *item)
{
    return !is_log_empty(place) && place->log[place->first].number <= item->behind;
}

/* ---- the items of a partition; all hold the lock ---- */

static void items_add(struct lane *lane, struct place *place, struct lane_item *item)
{
    item->next = NULL;
    *place->last = item;
    place->last = &item->next;
    lane->count++;
    lane->bytes += item->record.payload.length;
}

static struct lane_item *items_take_first(struct lane *lane, struct place *place)
{
    struct lane_item *item = place->items;
    place->items = item->next;
    if (!place->items)
        place->last = &place->items;
    lane->count--;
    lane->bytes -= item->record.payload.length;
    item->next = NULL;
    return item;
}

static void log_item(struct lane *lane, struct place *place, struct lane_item *item)
{
    if (item->record.corr)
        log_add(place, item->record.corr);
    if (!lane->leave(lane->log_app, item, false) && item->record.corr)
        log_remove(place, item->record.corr);
    free(item);
}

static void log_all(struct lane *lane, struct place *place)
{
    while (place->items)
        log_item(lane, place, items_take_first(lane, place));
}

/* Those that wait for the log, behind those that do not. */
static void log_waiting(struct lane *lane, struct place *place)
{
    struct lane_item **end = &place->items;
    while (*end && !waits_for_log(place, *end))
        end = &(*end)->next;
    struct lane_item *waiting = *end;
    *end = NULL;
    place->last = end;
    for (struct lane_item *next; waiting; waiting = next) {
        next = waiting->next;
        lane->count--;
        lane->bytes -= waiting->record.payload.length;
        log_item(lane, place, waiting);
    }
}

/* Nobody here will hear what this partition's items wait for. */
static bool waits_in_vain(const struct lane *lane, struct place *place)
{
    return !place->ours || lane->stop || is_log_late(place);
}

static bool is_to_drain(const struct lane *lane, struct place *place)
{
    return place->items && (!waits_for_log(place, place->items) || waits_in_vain(lane, place));
}

void lane_know(struct lane *lane, int32_t partitions)
{
    (void)pthread_mutex_lock(&lane->lock);
    if (lane->place_count == 0 && lane->enabled && partitions > 0 && partitions <= PARTITIONS_MAX) {
        lane->places = mem_new((size_t)partitions, sizeof *lane->places);
        lane->place_count = partitions;
        for (int32_t i = 0; i < partitions; i++)
            lane->places[i].last = &lane->places[i].items;
    }
    (void)pthread_mutex_unlock(&lane->lock);
}

static void set_ours(struct lane *lane, int32_t partition, bool ours)
{
    (void)pthread_mutex_lock(&lane->lock);
    struct place *place = place_at(lane, partition);
    if (place)
        place->ours = ours;
    if (place && place->items)
        (void)pthread_cond_signal(&lane->news);
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
    item->at_ms = clock_monotonic_ms();
    item->record.key = view_of(put(&at, command->room_id));
    item->record.corr = put(&at, command->corr);
    item->record.request_id = put(&at, command->request_id);
    item->record.traceparent = put(&at, command->traceparent);
    memcpy(at, command->payload.bytes, command->payload.length);
    item->record.payload = (struct view){at, command->payload.length};
    return item;
}

/* It may go behind the items of its partition. */
static bool is_open(const struct lane *lane, struct place *place, const struct lane_command *command)
{
    return place && place->ours && !lane->stop && lane->count < ITEMS_MAX &&
           lane->bytes + command->payload.length <= BYTES_MAX && !is_log_late(place);
}

bool lane_take(struct lane *lane, const struct lane_command *command)
{
    (void)pthread_mutex_lock(&lane->lock);
    const int32_t partition = partition_of(lane, view_of(command->room_id));
    struct place *place = place_at(lane, partition);
    const bool open = is_open(lane, place, command);
    if (open) {
        struct lane_item *item = item_new(command, partition);
        const bool first = !place->items;
        item->after = place->last_number;
        item->behind = is_log_empty(place) ? 0 : item->after;
        items_add(lane, place, item);
        if (first) /* also one that waits: somebody has to look whether it waits too long */
            (void)pthread_cond_signal(&lane->news);
    } else if (place) {
        log_waiting(lane, place); /* this one could pass them there */
        if (command->corr)
            log_add(place, command->corr);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return open;
}

static void unlock_and_tell(struct lane *lane, struct place *place)
{
    if (place && is_to_drain(lane, place))
        (void)pthread_cond_signal(&lane->news);
    (void)pthread_mutex_unlock(&lane->lock);
}

void lane_forget(struct lane *lane, const char *room_id, const char *corr)
{
    (void)pthread_mutex_lock(&lane->lock);
    struct place *place = place_at(lane, partition_of(lane, view_of(room_id)));
    if (place && corr)
        log_remove(place, corr);
    unlock_and_tell(lane, place);
}

void lane_answered(struct lane *lane, const struct kafka_record *records, size_t count)
{
    (void)pthread_mutex_lock(&lane->lock);
    for (size_t i = 0; i < count; i++) {
        struct place *place = records[i].corr ? place_at(lane, partition_of(lane, records[i].key)) : NULL;
        if (!place || !place->count)
            continue;
        log_remove(place, records[i].corr);
        if (is_to_drain(lane, place))
            (void)pthread_cond_signal(&lane->news);
    }
    (void)pthread_mutex_unlock(&lane->lock);
}

void lane_heard(struct lane *lane, const struct kafka_batch *batch)
{
    (void)pthread_mutex_lock(&lane->lock);
    struct place *place = place_at(lane, batch->partition);
    for (size_t i = 0; place && place->count && i < batch->count; i++)
        if (batch->records[i].corr)
            log_remove(place, batch->records[i].corr);
    unlock_and_tell(lane, place);
}

/* ---- out ---- */

struct lane_item *lane_drain(struct lane *lane)
{
    struct lane_item *items = NULL, **end = &items;
    (void)pthread_mutex_lock(&lane->lock);
    for (int32_t i = 0; i < lane->place_count; i++) {
        struct place *place = &lane->places[i];
        if (place->items && waits_for_log(place, place->items) && waits_in_vain(lane, place))
            log_all(lane, place);
        place->first_again = false;
        while (place->items && !waits_for_log(place, place->items)) {
            *end = items_take_first(lane, place);
            end = &(*end)->next;
        }
    }
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

/* Those of one partition out of a list, in order. */
static struct lane_item *take_of(struct lane_item **list, int32_t partition)
{
    struct lane_item *taken = NULL, **end = &taken;
    while (*list) {
        struct lane_item *item = *list;
        if (item->partition != partition) {
            list = &item->next;
            continue;
        }
        *list = item->next;
        item->next = NULL;
        *end = item;
        end = &item->next;
    }
    return taken;
}

/* Whoever waits for it repeats it; a mark is as good later as now. */
static void refuse_item(struct lane *lane, struct place *place, struct lane_item *item)
{
    if (item->record.corr) {
        (void)lane->leave(lane->log_app, item, true);
        free(item);
    } else {
        log_item(lane, place, item);
    }
}

/* To the front again. */
static void put_back(struct lane *lane, struct place *place, struct lane_item *items)
{
    struct lane_item *behind = place->items;
    place->items = NULL;
    place->last = &place->items;
    for (struct lane_item *item = items, *next; item; item = next) {
        next = item->next;
        items_add(lane, place, item);
    }
    *place->last = behind;
    while (*place->last)
        place->last = &(*place->last)->next;
    place->first_again = true;
}

/* Behind those of ours that are on the log already an item would come too late: it waits once more, and when that took
 * too long it is refused. So is what waits behind it, or it would pass. */
bool lane_give_back(struct lane *lane, struct lane_item *items, bool must)
{
    bool all = true;
    (void)pthread_mutex_lock(&lane->lock);
    while (items) {
        struct place *place = &lane->places[items->partition];
        struct lane_item *back = take_of(&items, items->partition);
        /* Also by one that another owner has applied meanwhile. */
        const bool passed = !is_log_empty(place) || back->after < place->last_number;
        if (passed && !must && place->ours && !lane->stop && clock_monotonic_ms() - back->at_ms < REFUSE_AFTER_MS) {
            put_back(lane, place, back);
            all = false;
            continue;
        }
        for (struct lane_item *next; back; back = next) {
            next = back->next;
            (passed ? refuse_item : log_item)(lane, place, back);
        }
        while (passed && place->items && !waits_for_log(place, place->items))
            refuse_item(lane, place, items_take_first(lane, place));
        log_all(lane, place);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return all;
}

bool lane_is_first(struct lane *lane, int32_t partition)
{
    (void)pthread_mutex_lock(&lane->lock);
    struct place *place = place_at(lane, partition);
    const bool first = place && place->first_again;
    (void)pthread_mutex_unlock(&lane->lock);
    return first;
}

/* ---- the thread ---- */

static bool is_any_to_drain(struct lane *lane)
{
    for (int32_t i = 0; i < lane->place_count; i++)
        if (is_to_drain(lane, &lane->places[i]))
            return true;
    return false;
}

/* False: it is over. */
static bool wait_for_news(struct lane *lane, bool again)
{
    const int64_t until_ms = clock_monotonic_ms() + AGAIN_MS;
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    (void)pthread_mutex_lock(&lane->lock);
    while (again && !lane->stop && pthread_cond_timedwait(&lane->news, &lane->lock, &until) == 0)
        continue;
    while (!again && !lane->poked && !lane->stop && !is_any_to_drain(lane)) {
        if (lane->count == 0)
            (void)pthread_cond_wait(&lane->news, &lane->lock);
        else if (pthread_cond_timedwait(&lane->news, &lane->lock, &until) != 0)
            break; /* what waits may wait in vain by now */
    }
    const bool over = lane->stop && lane->count == 0;
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
