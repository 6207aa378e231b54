/* owner_parts.h - what the parts of the owner share: owner.c (its life, who may begin), owner_batch.c (one
 * transaction), owner_tell.c (events to chat.events), owner_lane.c (commands past the log). Private to them. All but
 * the lock belongs to whoever has it. */
#ifndef MADANG_CHAT_OWNER_PARTS_H
#define MADANG_CHAT_OWNER_PARTS_H

#include "metrics.h"
#include "owner_internal.h"
#include "store_owner.h"
#include "teller.h"
#include "uuid.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    OWNER_ARENA_BYTES = 256 * 1024 * 1024, /* a bound, not a size: 500 commands of the largest kind */
    OWNER_SEND_MS = 10000,
};

/* What this process knows of a partition of chat.inbound. */
struct holding {
    int32_t partition;
    bool ours;
    bool clean;        /* every event in events_out is sent up to sent_id or travels; there are no others */
    int64_t sent_id;   /* rows that the next batch drops, besides what the teller knows */
    int64_t gone_id;   /* rows that were dropped; 0: not known */
    int64_t others_ms; /* monotonic: when it came to us, or we sent what was left: others' events may be on their way */
};

struct owner {
    struct kafka_producer *producer; /* lent */
    struct teller *teller;
    const char *events_topic;
    struct pace *pace;
    struct holding *holdings;
    size_t holding_count;
    struct metric_child *outcomes[2], *events, *given, *batches_us, *repeats, *passed, *given_back;
    char id[UUID_TEXT_BYTES]; /* in applied.owner */
    _Atomic bool indexed;     /* words were added since the index was tidied (sweep.h) */
    /* One batch at a time, the worker's or the lane's, in the order of coming: a mutex alone may keep one out for long.
     */
    pthread_mutex_t lock;
    pthread_cond_t next;
    uint64_t last_ticket, serving;
};

void owner_enter(struct owner *owner);
void owner_leave(struct owner *owner);
struct holding *owner_holding(struct owner *owner, int32_t partition);

/* Applies these batches in one transaction. `lost` (NULL: they come from the log) says of which nothing was applied.
 * True when it is committed: what Kafka cannot be told stands in events_out, and the next batch or owner_mend begins
 * with that. */
bool owner_batch(const struct chat_app *app, const struct kafka_batch *batches, size_t batch_count, bool *lost,
                 struct err *err);

/* Messages and headers lie in the arena, texts where they were. */
struct kafka_message *owner_messages(const struct owner *owner, struct arena *arena, const struct owner_event *events,
                                     size_t count);
/* What stands in events_out and does not travel; claim_for: the partition becomes this owner's first. Waits. */
bool owner_send_leftovers(const struct chat_app *app, struct holding *holding, const char *topic, const char *claim_for,
                          struct err *err);
/* Some partition has to be mended. */
bool owner_must_mend(struct owner *owner);
/* What could not be told of one partition, though no batch comes that would begin with it. False: not yet. */
bool owner_mend(const struct chat_app *app, struct holding *holding);
/* Rows of what was told, when that is known soon: the next owner need not tell it again. */
void owner_drop_told(const struct chat_app *app, struct holding *holding, const char *topic);

/* Nothing of this partition has to be told before the next batch. */
bool owner_is_clean(struct owner *owner, int32_t partition);
/* Applies what waits in the lane. What cannot be applied goes to the log: there it waits, is tried again, or is put
 * aside when it never can be. False: some of it waits in the lane again (lane_is_first). */
bool owner_work_off(const struct chat_app *app);

#endif
