/* teller.h - events on their way to chat.events, without waiting for Kafka: the owner goes on while they travel.
 *
 * Each event stands in events_out until its acknowledgement is known (teller_sent), so nothing depends on it: what
 * could not be sent makes the partition `broken`, and its owner then waits for what is still travelling
 * (teller_settle) and sends again what the table has, in order. Receivers take revs in order and drop doubles. Threads:
 * all functions; of one partition, one at a time sends. */
#ifndef MADANG_CHAT_TELLER_H
#define MADANG_CHAT_TELLER_H

#include "kafka.h"

struct teller;
struct teller *teller_open(struct kafka_producer *producer); /* lent */
/* Waits up to 5 s for what is travelling. */
void teller_release(struct teller **teller);
/* `broken` runs, on any thread, when a partition becomes broken; it must not block. */
void teller_watch(struct teller *teller, void (*broken)(void *payload), void *payload);

/* In this order. `last_id` is the newest row of these events. */
void teller_send(struct teller *teller, int32_t partition, const struct kafka_message *messages, size_t count,
                 int64_t last_id);
/* Every event of the partition up to this row was acknowledged; 0: none since it was settled. */
int64_t teller_sent(struct teller *teller, int32_t partition);
bool teller_is_broken(struct teller *teller, int32_t partition);
/* Waits until nothing travels any more; then the partition is not broken and *sent_id is what teller_sent was.
 * Unavailable when that takes longer. */
bool teller_settle(struct teller *teller, int32_t partition, int within_ms, int64_t *sent_id, struct err *err);
/* For tests: as if Kafka's queue were full. */
void teller_refuse(struct teller *teller, bool refuse);

#endif
