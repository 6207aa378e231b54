#include "applied.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "owner_parts.h"

enum { LEFTOVERS_AT_ONCE = 500, HEADERS_MAX = 5, DROP_MS = 500 };

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

struct kafka_message *owner_messages(const struct owner *owner, struct arena *arena, const struct owner_event *events,
                                     size_t count)
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
    return messages;
}

/* ---- what a former owner, or a failed batch, left behind ---- */

struct leftovers {
    struct arena *arena;
    const struct kafka_batch *where; /* topic and partition; no records */
    const char *claim_for;           /* NULL: it is ours already */
    struct owner_event *events;
    size_t count;
    int64_t sent_id;
};

/* Under the lock of the partition: a former owner that is still in its transaction is waited for. */
static bool look_for_leftovers(struct pg_tx *tx, void *payload, struct err *err)
{
    struct leftovers *work = payload;
    const int64_t partition = work->where->partition, from_the_start = 0;
    size_t first;
    return applied_begin(tx, work->where, &first, err) &&
           (!work->claim_for ||
            store_owner_claim(tx, work->where->topic, work->where->partition, work->claim_for, err)) &&
           store_owner_begin(tx, &partition, &from_the_start, &work->sent_id, 1, err) &&
           store_owner_list_events(tx, work->arena, work->where->partition, LEFTOVERS_AT_ONCE, &work->events,
                                   &work->count, err);
}

bool owner_send_leftovers(const struct chat_app *app, struct holding *holding, const char *topic, const char *claim_for,
                          struct err *err)
{
    const struct kafka_batch where = {.topic = topic, .partition = holding->partition};
    int64_t landed_id;
    if (!teller_settle(app->owner->teller, holding->partition, OWNER_SEND_MS, &landed_id, err))
        return false;
    if (landed_id > holding->sent_id)
        holding->sent_id = landed_id;
    while (true) {
        AUTO(arena) arena = arena_open(OWNER_ARENA_BYTES);
        struct leftovers work = {.arena = arena, .where = &where, .claim_for = claim_for, .sent_id = holding->sent_id};
        if (!pg_transaction(app->db, look_for_leftovers, &work, err))
            return false;
        claim_for = NULL; /* once: a partition that was taken from us meanwhile is not taken back */
        holding->sent_id = 0;
        holding->clean = work.count == 0;
        if (holding->clean)
            break;
        holding->others_ms = clock_monotonic_ms();
        if (!kafka_send_all(app->producer, owner_messages(app->owner, arena, work.events, work.count), work.count,
                            OWNER_SEND_MS, err))
            return false;
        metric_add(app->owner->events, (int64_t)work.count);
        holding->sent_id = work.events[work.count - 1].id;
    }
    return true;
}

bool owner_is_clean(struct owner *owner, int32_t partition)
{
    return owner_holding(owner, partition)->clean && !teller_is_broken(owner->teller, partition);
}

bool owner_must_mend(struct owner *owner)
{
    bool must = false;
    for (size_t i = 0; i < owner->holding_count; i++) {
        const struct holding *holding = &owner->holdings[i];
        must = must || (holding->ours && !holding->clean) || teller_is_broken(owner->teller, holding->partition);
    }
    return must;
}

/* Of a partition that was ours: what stands in its table is the next owner's to tell. */
bool owner_mend(const struct chat_app *app, struct holding *holding)
{
    struct teller *teller = app->owner->teller;
    const bool broken = teller_is_broken(teller, holding->partition);
    struct err err = {0};
    int64_t sent_id;
    bool done = true;
    if (holding->ours && (broken || !holding->clean))
        done = owner_send_leftovers(app, holding, TOPIC_CHAT_INBOUND, NULL, &err);
    else if (broken)
        done = teller_settle(teller, holding->partition, OWNER_SEND_MS, &sent_id, &err);
    if (!done)
        log_err("events_not_told_yet", &err);
    return done;
}

struct told {
    const struct kafka_batch *where;
    int64_t gone_id, sent_id;
};

static bool drop_told(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct told *told = payload;
    const int64_t partition = told->where->partition;
    size_t first;
    return applied_begin(tx, told->where, &first, err) &&
           store_owner_begin(tx, &partition, &told->gone_id, &told->sent_id, 1, err);
}

void owner_drop_told(const struct chat_app *app, struct holding *holding, const char *topic)
{
    struct err err = {0};
    int64_t landed_id;
    if (!holding->clean || !teller_settle(app->owner->teller, holding->partition, DROP_MS, &landed_id, &err))
        return;
    const struct kafka_batch where = {.topic = topic, .partition = holding->partition};
    struct told told = {.where = &where,
                        .gone_id = holding->gone_id,
                        .sent_id = landed_id > holding->sent_id ? landed_id : holding->sent_id};
    if (told.sent_id > told.gone_id && !pg_transaction(app->db, drop_told, &told, &err))
        log_err("told_events_stay", &err);
}
