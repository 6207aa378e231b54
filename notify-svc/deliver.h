/* deliver.h - what leaves to the outside: for each channel a few threads that take due rows of `deliveries`, send, and
 * write what came of it.
 *
 * A row is claimed by moving its next try LEASE ahead, so no transaction is open while something is sent, and a sender
 * that dies gives its row back: who is killed between the sending and its mark sends again. Delivery is at least once;
 * dedupe_id is the same at each try (Message-ID is made of it). Failed tries wait longer and longer (with jitter, and
 * at least what the other side asked for), up to attempts_max or the row's end; then the row is a dead letter: state
 * dead, counted, logged. README.md says how to list and requeue them. Threads: deliver_wake from any. */
#ifndef MADANG_NOTIFY_DELIVER_H
#define MADANG_NOTIFY_DELIVER_H

#include "channel.h"
#include "pg.h"

struct deliver;
struct deliver_options {
    struct pg_pool *db;
    const struct channel *channels; /* name NULL ends it; lent */
    int64_t attempts_max, backoff_ms;
};
struct deliver *deliver_start(const struct deliver_options *options, struct err *err);
/* Finishes the sends in hand. */
void deliver_release(struct deliver **deliver);
/* New rows were written: look now. */
void deliver_wake(struct deliver *deliver);

/* The wait before try `attempt` + 1: backoff_ms doubled for each try, at most 5 min; `random` (any number) picks from
 * the upper half of it. */
int64_t deliver_backoff_ms(int64_t backoff_ms, int attempt, uint64_t random);

#endif
