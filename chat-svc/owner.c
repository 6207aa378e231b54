#include "owner.h"

#include "applied.h"
#include "clock.h"
#include "hub.h"
#include "lookup.h"
#include "mem.h"
#include "metrics.h"
#include "owner_internal.h"
#include "owner_push.h"
#include "pace.h"
#include "room.h"
#include "shortcut.h"
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
    bool clean;        /* every event in events_out up to sent_id was sent, and there are no others */
    int64_t sent_id;   /* rows that the next batch drops */
    int64_t others_ms; /* monotonic: when it came to us, or we sent what was left: others' events may be on their way */
};

struct owner {
    struct kafka_producer *producer; /* lent */
    const char *events_topic;
    int send_ms;
    struct pace *pace;
    struct holding *holdings;
    size_t holding_count;
    struct metric_child *outcomes[2], *events, *given, *batches_us, *repeats;
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
    owner->given = METRIC_CHILD(metric_counter("madang_chat_events_given_total",
                                               "Events that went from the commit to this instance's sockets", NULL));
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
    *holding = (struct holding){.partition = partition, .others_ms = clock_monotonic_ms()};
    return holding;
}

/* ---- sending ---- */

enum { HEADERS_MAX = 5 };

static void fill_headers(const struct owner_event *event, struct kafka_header headers[HEADERS_MAX])
{
    size_t count = 0;
    if (event->corr)
        headers[count++] = (struct kafka_header){"corr", event->corr};
    if (event->request_id)
        headers[count++] = (struct kafka_header){"x-request-id", event->request_id};
    if (event->traceparent)
        headers[count++] = (struct kafka_header){"traceparent", event->traceparent};
    if (event->given)
        headers[count++] = (struct kafka_header){"given", event->given};
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
    const int64_t partition = work->where->partition;
    size_t first;
    return applied_begin(tx, work->where, &first, err) && store_owner_begin(tx, &partition, &work->sent_id, 1, err) &&
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
        if (work.count > 0)
            holding->others_ms = clock_monotonic_ms();
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
    *holding = (struct holding){.partition = partition, .others_ms = clock_monotonic_ms()};
    return send_leftovers(app, holding, topic, err);
}

/* ---- batches: of one partition, or of several in one transaction ---- */

struct batch_work {
    const struct chat_app *app;
    const struct kafka_batch *batches;
    size_t batch_count;
    const struct owner_command *commands; /* of all batches, one after the other */
    size_t command_count;
    int64_t *partitions, *drop_ids; /* of each batch */
    size_t *firsts;                 /* of each batch: those before it were applied already */
    struct arena *arena;            /* reset for each try */
    struct scene *scene;
    struct owner_event *events;
    size_t event_count, refused, repeated;
    struct pg_result *added; /* which rows the events got; there after the commit */
};

static void batch_work_release(struct batch_work **work)
{
    pg_result_release(&(*work)->added);
}

static bool decode_all(struct arena *arena, const struct kafka_batch *batches, size_t batch_count,
                       struct owner_command *commands, struct err *err)
{
    for (size_t b = 0; b < batch_count; b++)
        for (size_t i = 0; i < batches[b].count; i++, commands++) {
            commands->record = &batches[b].records[i];
            commands->partition = batches[b].partition;
            commands->at_ms = commands->record->timestamp_ms > 0 ? commands->record->timestamp_ms : clock_now_ms();
            if (!command_decode(arena, commands->record->payload, &commands->command, err))
                return false;
        }
    return true;
}

static void decide(struct batch_work *work, size_t source)
{
    const struct owner_command *command = &work->commands[source];
    struct err refusal = {0};
    if (room_apply(work->scene, &command->command, command->at_ms, source, &refusal))
        return;
    work->refused++;
    room_refuse(work->scene, &command->command, command->at_ms, source, &refusal);
}

static void decide_all(struct batch_work *work)
{
    size_t source = 0;
    work->refused = work->repeated = 0;
    for (size_t b = 0; b < work->batch_count; b++) {
        work->repeated += work->firsts[b];
        for (size_t i = 0; i < work->batches[b].count; i++, source++)
            if (i >= work->firsts[b])
                decide(work, source);
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
            .partition = work->commands[entry->source].partition,
            .room_id = entry->event.room_id,
            .corr = entry->answers ? record->corr : NULL,
            .request_id = record->request_id,
            .traceparent = record->traceparent,
            .payload = arena_bytes(work->arena, out.bytes, out.length),
            .short_way = shortcut_takes(entry->event.kind),
        };
    }
}

/* One round trip: under the locks of the partitions, everything that the commands name. */
static bool load_all(struct pg_tx *tx, struct batch_work *work, struct err *err)
{
    AUTO(pg_result) locked = NULL;
    if (!applied_post_lock(tx, work->batches, work->batch_count, &locked, err) ||
        !store_owner_begin(tx, work->partitions, work->drop_ids, work->batch_count, err) ||
        !store_owner_load(tx, work->scene, work->commands, work->command_count, err))
        return false;
    return applied_firsts(locked, work->batches, work->batch_count, work->firsts, err);
}

/* The other one, with COMMIT. */
static bool post_all(struct pg_tx *tx, struct batch_work *work, struct err *err)
{
    const struct chat_app *app = work->app;
    if (!store_owner_write(tx, work->scene, err) || !owner_push(tx, work->scene, app->presence, err) ||
        !store_owner_add_events(tx, work->events, work->event_count, &work->added, err))
        return false;
    for (size_t b = 0; b < work->batch_count; b++)
        if (work->firsts[b] < work->batches[b].count && !applied_end(tx, &work->batches[b], err))
            return false;
    return true;
}

static bool apply_all(struct pg_tx *tx, void *payload, struct err *err)
{
    struct batch_work *work = payload;
    const struct chat_app *app = work->app;
    arena_reset(work->arena);
    pg_result_release(&work->added);
    work->scene = scene_open(work->arena, app->config->friends_only);
    if (!load_all(tx, work, err))
        return false;
    for (size_t i = 0; i < work->scene->recent_list.count; i++)
        pace_recall(app->owner->pace, work->scene->recent_list.items[i]);
    decide_all(work);
    encode_all(work);
    return post_all(tx, work, err);
}

static void count(struct owner *owner, const struct batch_work *work)
{
    metric_add(owner->outcomes[true], (int64_t)(work->command_count - work->repeated - work->refused));
    metric_add(owner->outcomes[false], (int64_t)work->refused);
    metric_add(owner->repeats, (int64_t)work->repeated);
    for (size_t i = 0; i < work->scene->recent_list.count; i++)
        if (work->scene->recent_list.items[i]->changed)
            pace_keep(owner->pace, work->scene->recent_list.items[i]);
}

/* ---- to the sockets of this instance, before Kafka has it: it is committed, so whatever happens it will be told ----
 */

/* Others' events of this partition are not on their way to us any more. */
static bool is_ours_alone(const struct batch_work *work, size_t batch, int64_t now_ms)
{
    return now_ms - holding_of(work->app->owner, work->batches[batch].partition)->others_ms >= SHORTCUT_PATIENCE_MS;
}

/* Behind one of its room that takes the long way an event takes the long way too. */
static bool goes_short(struct batch_work *work, struct lookup *long_way, const struct owner_event *event, bool open)
{
    const struct lookup_key room = KEY(event->room_id);
    if (open && event->short_way && !lookup_get(long_way, room))
        return true;
    (void)lookup_add(long_way, room, work);
    return false;
}

static void give(struct batch_work *work)
{
    const struct chat_app *app = work->app;
    const int64_t now_ms = clock_monotonic_ms();
    if (!app->hub || !app->shortcut)
        return;
    struct kafka_record *records = arena_alloc(work->arena, (work->event_count + 1) * sizeof *records);
    struct lookup *long_way = lookup_open(work->arena);
    const bool open = shortcut_is_free(app->shortcut, now_ms) && hub_keeps_up(app->hub);
    size_t given = 0, owed = 0;
    for (size_t i = 0, b = 0; i < work->event_count; i++) {
        struct owner_event *event = &work->events[i];
        while (work->batches[b].partition != event->partition)
            b++;
        if (work->firsts[b] > 0)
            continue; /* told with what is left over */
        const bool is_short = goes_short(work, long_way, event, open && is_ours_alone(work, b, now_ms));
        event->given = shortcut_header(app->shortcut, is_short);
        owed += !is_short;
        if (is_short)
            records[given++] = (struct kafka_record){.payload = view_of(event->payload), .corr = event->corr};
    }
    shortcut_owe(app->shortcut, owed, now_ms);
    hub_give(app->hub, records, given);
    metric_add(app->owner->given, (int64_t)given);
}

/* Until its events are sent a partition is not clean: whatever fails, the next try begins with what stands in
 * events_out. That is also where those of a partition wait of which somebody else applied a part: theirs come first. */
static bool tell(struct batch_work *work, struct err *err)
{
    const struct chat_app *app = work->app;
    size_t kept = 0;
    for (size_t i = 0, b = 0; i < work->event_count; i++) {
        while (work->batches[b].partition != work->events[i].partition)
            b++;
        if (work->firsts[b] == 0)
            work->events[kept++] = work->events[i];
    }
    if (!send_events(app->owner, work->arena, work->events, kept, err))
        return false;
    for (size_t b = 0; b < work->batch_count; b++) {
        struct holding *holding = holding_of(app->owner, work->batches[b].partition);
        holding->clean = work->firsts[b] == 0;
        holding->sent_id = holding->clean ? store_owner_last_id(work->added, holding->partition) : 0;
        if (!holding->clean && !send_leftovers(app, holding, work->batches[b].topic, err))
            return false;
    }
    return true;
}

static bool prepare(struct batch_work *work, struct err *err)
{
    for (size_t b = 0; b < work->batch_count; b++) {
        struct holding *holding = holding_of(work->app->owner, work->batches[b].partition);
        if (!holding->clean && !send_leftovers(work->app, holding, work->batches[b].topic, err))
            return false;
        work->partitions[b] = holding->partition;
        work->drop_ids[b] = holding->sent_id;
    }
    for (size_t b = 0; b < work->batch_count; b++)
        holding_of(work->app->owner, work->batches[b].partition)->clean = false;
    return true;
}

bool owner_apply_together(void *payload, const struct kafka_batch *batches, size_t batch_count, struct err *err)
{
    const struct chat_app *app = payload;
    const int64_t began_us = clock_monotonic_us();
    AUTO(arena) texts = arena_open(BATCH_ARENA_BYTES);
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct batch_work kept = {.app = app, .batches = batches, .batch_count = batch_count, .arena = arena};
    AUTO(batch_work) work = &kept;
    for (size_t b = 0; b < batch_count; b++)
        work->command_count += batches[b].count;
    struct owner_command *commands = arena_alloc(texts, (work->command_count + 1) * sizeof *commands);
    work->commands = commands;
    work->partitions = arena_alloc(texts, batch_count * sizeof *work->partitions);
    work->drop_ids = arena_alloc(texts, batch_count * sizeof *work->drop_ids);
    work->firsts = arena_alloc(texts, batch_count * sizeof *work->firsts);
    if (!decode_all(texts, batches, batch_count, commands, err) || !prepare(work, err) ||
        !pg_transaction(app->db, apply_all, work, err))
        return false;
    count(app->owner, work);
    give(work);
    if (!tell(work, err))
        return false;
    metric_observe_us(app->owner->batches_us, clock_monotonic_us() - began_us);
    return true;
}

bool owner_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    return owner_apply_together(payload, batch, 1, err);
}
