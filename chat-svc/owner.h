/* owner.h - the one writer of rooms: applies chat.inbound in order, each command once, and tells what came of it on
 * chat.events.
 *
 * A batch is one transaction: lock applied(topic, partition); load the rooms, members, people and relations that the
 * commands name (a few statements); decide by the rules of room.c; write by unnest; put the events into events_out and
 * push requests into the outbox; commit. Then the events leave for chat.events in order (teller.h), with
 * header corr, and their rows are deleted some time after they were acknowledged. A new owner first sends what it
 * finds (owner_assigned). A paused former owner changes nothing: its offset is behind `applied`. Commands
 * of this instance for its own rooms come by the lane (lane.h) and are treated alike; instead of an offset it is
 * applied.owner that keeps a former owner from applying them. Threads: the worker's and the lane's.
 */
#ifndef MADANG_CHAT_OWNER_H
#define MADANG_CHAT_OWNER_H

#include "app.h"

struct owner *owner_open(struct kafka_producer *producer, struct err *err);
void owner_release(struct owner **owner);

/* For the subscription table (events.c): payload is struct chat_app. */
bool owner_apply(void *payload, const struct kafka_batch *batch, struct err *err);
/* Several partitions in one transaction: the same statements, the same two round trips. */
bool owner_apply_together(void *payload, const struct kafka_batch *batches, size_t batch_count, struct err *err);
/* Whatever waits in the lane, and what could not be told so far; of struct chat_app as well (lane_start). False: Kafka
 * still can't be told. */
bool owner_apply_lane(void *payload);
/* The lane's thread is woken when events could not be sent; NULL ends that. */
void owner_watch(struct owner *owner, struct lane *lane);
bool owner_assigned(void *payload, const char *topic, int32_t partition, struct err *err);
/* True when words may have been added since the last call. */
bool owner_has_indexed(struct owner *owner);
void owner_revoked(void *payload, const char *topic, int32_t partition);

#endif
