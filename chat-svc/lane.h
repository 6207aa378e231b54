/* lane.h - commands of this instance for rooms that it owns itself: past chat.inbound, straight into the owner's next
 * transaction (docs/decisions/019). Only what may be done twice takes it, and what nobody was told is stored before the
 * verdict: messages of sockets, which their client_id keeps from doubling, and read marks.
 *
 * What it must keep is the order in which one thread gave its commands. Those that went to the log before are waited
 * for: what comes behind them stays in the lane until the owner has heard them. What waits in the lane when a batch of
 * the log begins, and does not wait for it, is applied before that batch. Whoever cannot apply what he took gives it
 * back: then it and all that waits behind it go to the log, in order, under the lock that every newcomer needs, or wait
 * once more.
 *
 * Memory only; nothing here is durable: a command of the lane is accepted when its transaction is committed, and until
 * then whoever sent it has no answer. Bounded: when it is full all of it goes to the log. Threads: all functions. */
#ifndef MADANG_CHAT_LANE_H
#define MADANG_CHAT_LANE_H

#include "kafka.h"

struct lane;
struct lane_item;
/* `leave` puts a command on chat.inbound, false: it could not, and whoever waits was told; or, `refused`, only tells
 * whoever waits to repeat it. It is called under the lane's lock and must not call the lane. */
struct lane *lane_open(bool enabled, bool (*leave)(void *app, const struct lane_item *item, bool refused), void *app);
void lane_release(struct lane **lane);

/* ---- whose partitions are ---- */

/* The topic has so many partitions; before that everything goes to the log. What goes there then is not waited for: so
 * before the first command. */
void lane_know(struct lane *lane, int32_t partitions);
void lane_hold(struct lane *lane, int32_t partition);
void lane_let_go(struct lane *lane, int32_t partition);

/* ---- in ---- */

struct lane_command {
    const char *room_id;
    struct view payload; /* as on chat.inbound */
    const char *corr, *request_id, *traceparent;
};

/* True: copied and taken. False: it goes to the log, now, by the same thread; with a corr, what comes behind it waits
 * until lane_heard. */
bool lane_take(struct lane *lane, const struct lane_command *command);
/* Kafka has given it up: it is not under way any more. */
void lane_forget(struct lane *lane, const char *room_id, const char *corr);
/* These records of the log are applied: by us, or, as these events say, by whoever owned their rooms then. */
void lane_heard(struct lane *lane, const struct kafka_batch *batch);
void lane_answered(struct lane *lane, const struct kafka_record *events, size_t count);

/* ---- out ---- */

struct lane_item {
    struct lane_item *next;
    int32_t partition;
    uint64_t behind, after;     /* the lane's own */
    int64_t at_ms;              /* monotonic */
    struct kafka_record record; /* offset INT64_MAX: behind all that was ever applied */
};

/* All that waits for nothing, in order; now the caller's, who frees it with lane_items_free. NULL: nothing. */
struct lane_item *lane_drain(struct lane *lane);
void lane_items_free(struct lane_item *items);
/* What was drained and could not be applied, and all that waits behind it: each goes to the log, in order. But when
 * commands of ours that were given later are under way there it waits in the lane again, unless it `must` go: false
 * then, and those on the log must not be applied before it; what must go, or has waited for seconds, is refused. Takes
 * the items. */
bool lane_give_back(struct lane *lane, struct lane_item *items, bool must);
/* Something of this partition was given back and waits: it comes before all that is on the log. */
bool lane_is_first(struct lane *lane, int32_t partition);

/* A thread that calls `work` whenever something is to be drained, and after lane_poke. False from it: once more, but in
 * a second. Ended by lane_stop, which shuts the lane first; what waited then has been worked off or is on the log. */
bool lane_start(struct lane *lane, bool (*work)(void *app), void *app, struct err *err);
void lane_poke(struct lane *lane);
void lane_stop(struct lane *lane);

#endif
