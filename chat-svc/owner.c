#include "owner.h"

#include "applied.h"
#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include "owner_internal.h"
#include "owner_push.h"
#include "pace.h"
#include "room.h"
#include "store_owner.h"

#include <stdlib.h>

enum {
    BATCH_ARENA_BYTES = 256 * 1024 * 1024, /* a bound, not a size: 500 commands of the largest kind */
    SEND_MS = 10000,
    LEFTOVERS_AT_ONCE = 500,
};

/* What this process knows of a partition of chat.inbound. */
struct holding {
    int32_t partition;
    bool clean;      /* every event in events_out up to sent_id was sent, and there are no others */
    int64_t sent_id; /* rows that the next batch drops */
};

struct owner {
    struct kafka_producer *producer; /* lent */
    const char *events_topic;
    int send_ms;
    struct pace *pace;
    struct holding *holdings;
    size_t holding_count;
    struct metric_child *outcomes[2], *events, *batches_us, *repeats;
};

struct owner *owner_open(struct kafka_producer *producer, struct err *err)
{
    (void)err;
    struct owner *owner = MEM_NEW(owner);
    struct metric *commands = metric_counter("madang_chat_commands_total", "Commands applied by the owner", "outcome");
    owner->producer = producer;
    owner->events_topic = TOPIC_CHAT_EVENTS;
    owner->send_ms = SEND_MS;
    owner->pace = pace_open();
    owner->outcomes[false] = METRIC_CHILD(commands, "refused");
    owner->outcomes[true] = METRIC_CHILD(commands, "ok");
    owner->repeats = METRIC_CHILD(commands, "seen_before");
    owner->events = METRIC_CHILD(metric_counter("madang_chat_events_sent_total", "Events sent to chat.events", NULL));
    owner->batches_us = METRIC_CHILD(metric_histogram(
        "madang_chat_batch_seconds", "One batch of commands, from the first look to the last event sent", NULL));
    return owner;
}

void owner_release(struct owner **owner)
{
    if (*owner) {
        pace_release(&(*owner)->pace);
        free((*owner)->holdings);
        free(*owner);
    }
    *owner = NULL;
}

void owner_tell_on(struct owner *owner, const char *topic, int within_ms)
{
    owner->events_topic = topic;
    owner->send_ms = within_ms;
}

static struct holding *holding_of(struct owner *owner, int32_t partition)
{
    for (size_t i = 0; i < owner->holding_count; i++)
        if (owner->holdings[i].partition == partition)
            return &owner->holdings[i];
    owner->holdings = mem_grow(owner->holdings, owner->holding_count + 1, sizeof *owner->holdings);
    struct holding *holding = &owner->holdings[owner->holding_count++];
    *holding = (struct holding){.partition = partition};
    return holding;
}

/* ---- sending ---- */

enum { HEADERS_MAX = 4 };

static void fill_headers(const struct owner_event *event, struct kafka_header headers[HEADERS_MAX])
{
    size_t count = 0;
    if (event->corr)
        headers[count++] = (struct kafka_header){"corr", event->corr};
    if (event->request_id)
        headers[count++] = (struct kafka_header){"x-request-id", event->request_id};
    if (event->traceparent)
        headers[count++] = (struct kafka_header){"traceparent", event->traceparent};
    headers[count] = (struct kafka_header){NULL, NULL};
}

static bool send_events(struct owner *owner, struct arena *arena, const struct owner_event *events, size_t count,
                        struct err *err)
{
    struct kafka_message *messages = arena_alloc(arena, (count + 1) * sizeof *messages);
    struct kafka_header(*headers)[HEADERS_MAX] = arena_alloc(arena, (count + 1) * sizeof *headers);
    for (size_t i = 0; i < count; i++) {
        fill_headers(&events[i], headers[i]);
        messages[i] = (struct kafka_message){
            .topic = owner->events_topic,
            .key = view_of(events[i].room_id),
            .payload = view_of(events[i].payload),
            .headers = headers[i],
        };
    }
    if (count > 0 && !kafka_send_all(owner->producer, messages, count, owner->send_ms, err))
        return false;
    metric_add(owner->events, (int64_t)count);
    return true;
}

/* ---- what a former owner, or a failed batch, left behind ---- */

struct leftovers {
    struct arena *arena;
    const struct kafka_batch *where; /* topic and partition; no records */
    struct owner_event *events;
    size_t count;
    int64_t sent_id;
};

/* Under the lock of the partition: a former owner that is still in its transaction is waited for. */
static bool look_for_leftovers(struct pg_tx *tx, void *payload, struct err *err)
{
    struct leftovers *work = payload;
    size_t first;
    return applied_begin(tx, work->where, &first, err) &&
           store_owner_begin(tx, work->where->partition, work->sent_id, err) &&
           store_owner_list_events(tx, work->arena, work->where->partition, LEFTOVERS_AT_ONCE, &work->events,
                                   &work->count, err);
}

static bool send_leftovers(const struct chat_app *app, struct holding *holding, const char *topic, struct err *err)
{
    const struct kafka_batch where = {.topic = topic, .partition = holding->partition};
    do {
        AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
        struct leftovers work = {.arena = arena, .where = &where, .sent_id = holding->sent_id};
        if (!pg_transaction(app->db, look_for_leftovers, &work, err))
            return false;
        holding->sent_id = 0;
        holding->clean = work.count == 0;
        if (!send_events(app->owner, arena, work.events, work.count, err))
            return false;
        if (work.count > 0)
            holding->sent_id = work.events[work.count - 1].id;
    } while (!holding->clean);
    return true;
}

bool owner_assigned(void *payload, const char *topic, int32_t partition, struct err *err)
{
    const struct chat_app *app = payload;
    struct holding *holding = holding_of(app->owner, partition);
    *holding = (struct holding){.partition = partition};
    return send_leftovers(app, holding, topic, err);
}

/* ---- a batch ---- */

struct batch_work {
    const struct chat_app *app;
    const struct kafka_batch *batch;
    const struct owner_command *commands;
    struct arena *arena; /* reset for each try */
    struct scene *scene;
    struct owner_event *events;
    size_t first, event_count, refused;
    int64_t drop_id, last_id;
};

static bool decode_all(struct arena *arena, const struct kafka_batch *batch, struct owner_command *commands,
                       struct err *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct kafka_record *record = &batch->records[i];
        commands[i].record = record;
        commands[i].at_ms = record->timestamp_ms > 0 ? record->timestamp_ms : clock_now_ms();
        if (!command_decode(arena, record->payload, &commands[i].command, err))
            return false;
    }
    return true;
}

static void decide_all(struct batch_work *work)
{
    work->refused = 0;
    for (size_t i = work->first; i < work->batch->count; i++) {
        const struct owner_command *command = &work->commands[i];
        struct err refusal = {0};
        if (room_apply(work->scene, &command->command, command->at_ms, i, &refusal))
            continue;
        work->refused++;
        room_refuse(work->scene, &command->command, command->at_ms, i, &refusal);
    }
}

/* Answers that nobody waits for are not told. */
static void encode_all(struct batch_work *work)
{
    const struct scene *scene = work->scene;
    AUTO_STR out;
    str_init(&out);
    work->events = arena_alloc(work->arena, (scene->events.count + 1) * sizeof *work->events);
    work->event_count = 0;
    for (size_t i = 0; i < scene->events.count; i++) {
        const struct scene_event *entry = &scene->events.items[i];
        const struct kafka_record *record = work->commands[entry->source].record;
        if (entry->event.kind == EVENT_VERDICT && !record->corr)
            continue;
        str_clear(&out);
        event_encode(&out, &entry->event);
        work->events[work->event_count++] = (struct owner_event){
            .room_id = entry->event.room_id,
            .corr = entry->answers ? record->corr : NULL,
            .request_id = record->request_id,
            .traceparent = record->traceparent,
            .payload = arena_bytes(work->arena, out.bytes, out.length),
        };
    }
}

static bool apply_all(struct pg_tx *tx, void *payload, struct err *err)
{
    struct batch_work *work = payload;
    const struct chat_app *app = work->app;
    arena_reset(work->arena);
    work->event_count = 0;
    work->scene = scene_open(work->arena, app->config->friends_only);
    if (!applied_begin(tx, work->batch, &work->first, err) ||
        !store_owner_begin(tx, work->batch->partition, work->drop_id, err))
        return false;
    if (work->first == work->batch->count)
        return true;
    if (!store_owner_load(tx, work->scene, work->commands + work->first, work->batch->count - work->first, err))
        return false;
    for (size_t i = 0; i < work->scene->recent_list.count; i++)
        pace_recall(app->owner->pace, work->scene->recent_list.items[i]);
    decide_all(work);
    encode_all(work);
    return store_owner_write(tx, work->scene, err) && owner_push(tx, work->scene, app->presence, err) &&
           store_owner_add_events(tx, work->batch->partition, work->events, work->event_count, &work->last_id, err) &&
           applied_end(tx, work->batch, err);
}

static void count(struct owner *owner, const struct batch_work *work)
{
    metric_add(owner->outcomes[true], (int64_t)(work->batch->count - work->first - work->refused));
    metric_add(owner->outcomes[false], (int64_t)work->refused);
    metric_add(owner->repeats, (int64_t)work->first);
    for (size_t i = 0; i < work->scene->recent_list.count; i++)
        if (work->scene->recent_list.items[i]->changed)
            pace_keep(owner->pace, work->scene->recent_list.items[i]);
}

/* Until the events are sent the partition is not clean: whatever fails, the next try begins with what stands in
 * events_out. */
bool owner_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct chat_app *app = payload;
    struct holding *holding = holding_of(app->owner, batch->partition);
    const int64_t began_us = clock_monotonic_us();
    AUTO(arena) texts = arena_open(BATCH_ARENA_BYTES);
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct owner_command *commands = arena_alloc(texts, (batch->count + 1) * sizeof *commands);
    if (!decode_all(texts, batch, commands, err) ||
        (!holding->clean && !send_leftovers(app, holding, batch->topic, err)))
        return false;
    struct batch_work work = {
        .app = app, .batch = batch, .commands = commands, .arena = arena, .drop_id = holding->sent_id};
    holding->clean = false;
    if (!pg_transaction(app->db, apply_all, &work, err))
        return false;
    count(app->owner, &work);
    if (work.first > 0) { /* somebody else applied some of this: their events come first */
        holding->sent_id = 0;
        return send_leftovers(app, holding, batch->topic, err);
    }
    if (!send_events(app->owner, arena, work.events, work.event_count, err))
        return false;
    holding->sent_id = work.last_id;
    holding->clean = true;
    metric_observe_us(app->owner->batches_us, clock_monotonic_us() - began_us);
    return true;
}
