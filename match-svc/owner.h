/* owner.h - the one writer of markets: applies market.commands in order and tells what came of it on market.events.
 *
 * It holds the books of the markets in its partitions. A batch: each command to its market's engine; one record of
 * events per command that had any; all of them to market.events, acknowledged; then the offset is committed. What could
 * not be sent is sent again whole before anything newer, so the log may hold doubles but never a gap. Nothing of a
 * market depends on who applies it: every byte of its events comes from the log, so a paused former owner that wakes
 * tells the same once more.
 *
 * Taking a partition over (owner_rebuild.c): for each market that is not closed the newest snapshot that is whole; then
 * what market.events holds after it; then the commands after it again, compared with that, and sent where it ends. A
 * market whose events come out differently stops, alone, and says so (docs/runbooks/market-stuck.md). A partition that
 * goes takes its books with it: it is rebuilt when it comes back.
 *
 * Threads: owner_apply, owner_assigned and owner_revoked are the worker's; a thread of its own looks after markets
 * where nothing happens (snapshots that are due, closed markets that leave memory). */
#ifndef MADANG_MATCH_OWNER_H
#define MADANG_MATCH_OWNER_H

#include "app.h"

struct owner;

struct owner_options {
    const char *brokers;
    struct kafka_producer *producer;
    struct pg_pool *db;
    struct depth *depth;                       /* may be NULL */
    const char *commands_topic, *events_topic; /* NULL: market.commands, market.events */
    int64_t snapshot_commands, snapshot_seconds, linger_seconds;
    int64_t orders_max, accounts_max; /* of markets opened from now on */
    int send_ms;                      /* 0: 10 s */
    bool bundles;                     /* what a batch says about one market leaves as one message */
};

struct owner *owner_open(const struct owner_options *options, struct err *err);
void owner_release(struct owner **owner); /* after the worker ended; stores the snapshots that wait */

/* For the subscription table (events.c): payload is struct match_app. */
bool owner_apply(void *payload, const struct kafka_batch *batch, struct err *err);
bool owner_assigned(void *payload, const char *topic, int32_t partition, struct err *err);
void owner_revoked(void *payload, const char *topic, int32_t partition);

#endif
