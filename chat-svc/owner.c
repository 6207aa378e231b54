#include "clock.h"
#include "lane.h"
#include "mem.h"
#include "owner_parts.h"
#include "pace.h"

#include <stdlib.h>

void owner_enter(struct owner *owner)
{
    (void)pthread_mutex_lock(&owner->lock);
    const uint64_t ticket = owner->last_ticket++;
    while (owner->serving != ticket)
        (void)pthread_cond_wait(&owner->next, &owner->lock);
    (void)pthread_mutex_unlock(&owner->lock);
}

void owner_leave(struct owner *owner)
{
    (void)pthread_mutex_lock(&owner->lock);
    owner->serving++;
    (void)pthread_cond_broadcast(&owner->next);
    (void)pthread_mutex_unlock(&owner->lock);
}

struct owner *owner_open(struct kafka_producer *producer, struct err *err)
{
    (void)err;
    struct owner *owner = MEM_NEW(owner);
    struct metric *commands = metric_counter("madang_chat_commands_total", "Commands applied by the owner", "outcome");
    owner->producer = producer;
    owner->events_topic = TOPIC_CHAT_EVENTS;
    owner->teller = teller_open(producer);
    owner->pace = pace_open();
    uuid_new(owner->id);
    (void)pthread_mutex_init(&owner->lock, NULL);
    (void)pthread_cond_init(&owner->next, NULL);
    struct metric *lane =
        metric_counter("madang_chat_lane_total", "Commands that this instance took past chat.inbound", "outcome");
    owner->passed = METRIC_CHILD(lane, "applied");
    owner->given_back = METRIC_CHILD(lane, "given_back");
    owner->outcomes[false] = METRIC_CHILD(commands, "refused");
    owner->outcomes[true] = METRIC_CHILD(commands, "ok");
    owner->repeats = METRIC_CHILD(commands, "seen_before");
    owner->events = METRIC_CHILD(metric_counter("madang_chat_events_sent_total", "Events sent to chat.events", NULL));
    owner->given = METRIC_CHILD(metric_counter("madang_chat_events_given_total",
                                               "Events that went from the commit to this instance's sockets", NULL));
    owner->batches_us = METRIC_CHILD(metric_histogram(
        "madang_chat_batch_seconds", "One batch of commands, from the first look to the last event handed over", NULL));
    return owner;
}

void owner_release(struct owner **owner)
{
    if (*owner) {
        teller_release(&(*owner)->teller);
        pace_release(&(*owner)->pace);
        (void)pthread_cond_destroy(&(*owner)->next);
        (void)pthread_mutex_destroy(&(*owner)->lock);
        free((*owner)->holdings);
        free(*owner);
    }
    *owner = NULL;
}

void owner_tell_on(struct owner *owner, const char *topic)
{
    owner->events_topic = topic;
}

void owner_mute(struct owner *owner, bool mute)
{
    teller_refuse(owner->teller, mute);
}

struct holding *owner_holding(struct owner *owner, int32_t partition)
{
    for (size_t i = 0; i < owner->holding_count; i++)
        if (owner->holdings[i].partition == partition)
            return &owner->holdings[i];
    owner->holdings = mem_grow(owner->holdings, owner->holding_count + 1, sizeof *owner->holdings);
    struct holding *holding = &owner->holdings[owner->holding_count++];
    *holding = (struct holding){.partition = partition, .others_ms = clock_monotonic_ms()};
    return holding;
}

bool owner_assigned(void *payload, const char *topic, int32_t partition, struct err *err)
{
    const struct chat_app *app = payload;
    owner_enter(app->owner);
    struct holding *holding = owner_holding(app->owner, partition);
    *holding = (struct holding){.partition = partition, .others_ms = clock_monotonic_ms()};
    const bool done = holding->ours = owner_send_leftovers(app, holding, topic, app->owner->id, err);
    owner_leave(app->owner);
    if (done && app->lane)
        lane_hold(app->lane, partition);
    return done;
}

/* The partition goes when we return: until then nobody else applies what is on the log, so what waits in the lane still
 * comes before that. */
void owner_revoked(void *payload, const char *topic, int32_t partition)
{
    const struct chat_app *app = payload;
    if (app->lane)
        lane_let_go(app->lane, partition);
    owner_enter(app->owner);
    (void)owner_work_off(app);
    struct holding *holding = owner_holding(app->owner, partition);
    owner_drop_told(app, holding, topic);
    holding->ours = holding->clean = false;
    owner_leave(app->owner);
}

static bool mend_all(const struct chat_app *app)
{
    bool done = true;
    for (size_t i = 0; i < app->owner->holding_count; i++) {
        done = owner_mend(app, &app->owner->holdings[i]) && done;
        owner_leave(app->owner); /* it may have taken long: others first */
        owner_enter(app->owner);
    }
    return done;
}

bool owner_apply_lane(void *payload)
{
    const struct chat_app *app = payload;
    owner_enter(app->owner);
    const bool worked = owner_work_off(app), told = !owner_must_mend(app->owner) || mend_all(app);
    owner_leave(app->owner);
    return worked && told;
}

bool owner_has_indexed(struct owner *owner)
{
    return atomic_exchange(&owner->indexed, false);
}

static void poke(void *payload)
{
    lane_poke(payload);
}

void owner_watch(struct owner *owner, struct lane *lane)
{
    teller_watch(owner->teller, lane ? poke : NULL, lane);
}

/* ---- the log ---- */

bool owner_apply_together(void *payload, const struct kafka_batch *batches, size_t batch_count, struct err *err)
{
    const struct chat_app *app = payload;
    owner_enter(app->owner);
    (void)owner_work_off(app); /* what waits in the lane was given before what comes now */
    bool done = true;
    for (size_t b = 0; done && app->lane && b < batch_count; b++)
        done = !lane_is_first(app->lane, batches[b].partition) ||
               err_set_internal(err, &ERR_UNAVAILABLE, "commands of the lane come first");
    done = done && owner_batch(app, batches, batch_count, NULL, err);
    owner_leave(app->owner);
    for (size_t b = 0; done && app->lane && b < batch_count; b++) {
        lane_heard(app->lane, &batches[b]);
        lane_hold(app->lane, batches[b].partition); /* it may have been let go for a claim that came late */
    }
    return done;
}

bool owner_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    return owner_apply_together(payload, batch, 1, err);
}
