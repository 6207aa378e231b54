#include "applied.h"
#include "clock.h"
#include "hub.h"
#include "log.h"
#include "lookup.h"
#include "mem.h"
#include "owner_parts.h"
#include "owner_push.h"
#include "pace.h"
#include "room.h"
#include "shortcut.h"

/* Rows of events that were sent cost less to drop when they are many. A new owner tells them again: receivers drop
 * doubles. (Their numbers run through all partitions, so some fewer rows than that.) */
enum { DROP_TOGETHER = 200 };

/* ---- batches: of one partition, or of several in one transaction ---- */

struct batch_work {
    const struct chat_app *app;
    const struct kafka_batch *batches;
    size_t batch_count;
    const struct owner_command *commands; /* of all batches, one after the other */
    size_t command_count;
    int64_t *partitions, *gone_ids, *drop_ids; /* of each batch */
    size_t *firsts;                            /* of each batch: those before it were applied already */
    struct arena *arena;                       /* reset for each try */
    struct scene *scene;
    struct owner_event *events;
    size_t event_count, refused, repeated;
    struct pg_result *added; /* which rows the events got; there after the commit */
    bool of_lane, *lost;     /* of the lane: which batches are another owner's by now; nothing of them is applied */
    bool *foreign;           /* another owner has claimed it, though the log gives it to us: his events may be untold */
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
    AUTO(pg_result) ours = NULL;
    if (!applied_post_lock(tx, work->batches, work->batch_count, &locked, err) ||
        !store_owner_ask(tx, work->batches[0].topic, work->partitions, work->batch_count, work->app->owner->id, &ours,
                         err) ||
        !store_owner_begin(tx, work->partitions, work->gone_ids, work->drop_ids, work->batch_count, err) ||
        !store_owner_load(tx, work->scene, work->commands, work->command_count, err))
        return false;
    if (!applied_firsts(locked, work->batches, work->batch_count, work->firsts, err))
        return false;
    for (size_t b = 0; b < work->batch_count; b++) {
        work->foreign[b] = !store_owner_has(ours, work->batches[b].partition);
        work->lost[b] = work->of_lane && work->foreign[b];
        if (work->of_lane)
            work->firsts[b] = work->lost[b] ? work->batches[b].count : 0;
    }
    return true;
}

/* The other one, with COMMIT. */
static bool post_all(struct pg_tx *tx, struct batch_work *work, struct err *err)
{
    const struct chat_app *app = work->app;
    if (!store_owner_write(tx, work->scene, err) || !owner_push(tx, work->scene, app->presence, err) ||
        !store_owner_add_events(tx, work->events, work->event_count, &work->added, err))
        return false;
    for (size_t b = 0; b < work->batch_count && !work->of_lane; b++)
        if (work->firsts[b] < work->batches[b].count && /* else it was all another's, whose it is */
            (!applied_end(tx, &work->batches[b], err) ||
             (work->foreign[b] &&
              !store_owner_claim(tx, work->batches[b].topic, work->batches[b].partition, app->owner->id, err))))
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
    return now_ms - owner_holding(work->app->owner, work->batches[batch].partition)->others_ms >= SHORTCUT_PATIENCE_MS;
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

/* What stands in events_out before ours may be another's, and untold: all of it is told from there. */
static bool is_mixed(const struct batch_work *work, size_t batch)
{
    return work->firsts[batch] > 0 || work->foreign[batch];
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
        if (is_mixed(work, b))
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

/* Those of a partition of which somebody else applied a part wait in events_out behind his: these come first. */
static bool tell(struct batch_work *work, struct err *err)
{
    const struct chat_app *app = work->app;
    const struct kafka_message *messages = owner_messages(app->owner, work->arena, work->events, work->event_count);
    for (size_t b = 0, first = 0, end; b < work->batch_count; b++, first = end) {
        struct holding *holding = owner_holding(app->owner, work->batches[b].partition);
        for (end = first; end < work->event_count && work->events[end].partition == holding->partition;)
            end++;
        if (work->lost[b])
            continue; /* what stands there is another's to tell */
        holding->clean = !is_mixed(work, b);
        if (!holding->clean && !owner_send_leftovers(app, holding, work->batches[b].topic, NULL, err))
            return false;
        if (!is_mixed(work, b)) {
            teller_send(app->owner->teller, holding->partition, messages + first, end - first,
                        store_owner_last_id(work->added, holding->partition));
            metric_add(app->owner->events, (int64_t)(end - first));
        }
    }
    return true;
}

static bool prepare(struct batch_work *work, struct err *err)
{
    for (size_t b = 0; b < work->batch_count; b++) {
        struct teller *teller = work->app->owner->teller;
        struct holding *holding = owner_holding(work->app->owner, work->batches[b].partition);
        if ((!holding->clean || teller_is_broken(teller, holding->partition)) &&
            !owner_send_leftovers(work->app, holding, work->batches[b].topic, NULL, err))
            return false;
        const int64_t landed_id = teller_sent(teller, holding->partition);
        const int64_t sent_id = landed_id > holding->sent_id ? landed_id : holding->sent_id;
        work->partitions[b] = holding->partition;
        work->gone_ids[b] = holding->gone_id;
        work->drop_ids[b] = sent_id - holding->gone_id >= DROP_TOGETHER ? sent_id : holding->gone_id;
    }
    for (size_t b = 0; b < work->batch_count; b++)
        owner_holding(work->app->owner, work->batches[b].partition)->clean = false;
    return true;
}

/* In one transaction. `lost` (NULL: these come from the log) says of which batches nothing was applied. True when it is
 * committed: what Kafka cannot be told stands in events_out, and the next batch or owner_mend() begins with that. */
bool owner_batch(const struct chat_app *app, const struct kafka_batch *batches, size_t batch_count, bool *lost,
                 struct err *err)
{
    const int64_t began_us = clock_monotonic_us();
    AUTO(arena) texts = arena_open(OWNER_ARENA_BYTES);
    AUTO(arena) arena = arena_open(OWNER_ARENA_BYTES);
    struct batch_work kept = {
        .app = app, .batches = batches, .batch_count = batch_count, .arena = arena, .of_lane = lost, .lost = lost};
    AUTO(batch_work) work = &kept;
    for (size_t b = 0; b < batch_count; b++)
        work->command_count += batches[b].count;
    struct owner_command *commands = arena_alloc(texts, (work->command_count + 1) * sizeof *commands);
    work->commands = commands;
    work->partitions = arena_alloc(texts, batch_count * sizeof *work->partitions);
    work->gone_ids = arena_alloc(texts, batch_count * sizeof *work->gone_ids);
    work->drop_ids = arena_alloc(texts, batch_count * sizeof *work->drop_ids);
    work->firsts = arena_alloc(texts, batch_count * sizeof *work->firsts);
    if (!work->of_lane)
        work->lost = arena_alloc(texts, batch_count * sizeof *work->lost);
    memset(work->lost, 0, batch_count * sizeof *work->lost);
    work->foreign = arena_alloc(texts, batch_count * sizeof *work->foreign);
    if (!decode_all(texts, batches, batch_count, commands, err) || !prepare(work, err) ||
        !pg_transaction(app->db, apply_all, work, err))
        return false;
    for (size_t b = 0; b < batch_count; b++)
        if (work->drop_ids[b] > work->gone_ids[b])
            owner_holding(app->owner, batches[b].partition)->gone_id = work->drop_ids[b];
    count(app->owner, work);
    give(work);
    if (!tell(work, err)) {
        if (!work->of_lane)
            return false; /* it comes again, and finds itself applied */
        log_err("events_not_told_yet", err);
        err_clear(err);
    }
    app->owner->indexed = true;
    metric_observe_us(app->owner->batches_us, clock_monotonic_us() - began_us);
    return true;
}
