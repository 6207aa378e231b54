/* snapshots.h - the thread that writes snapshots, so that matching never waits for PostgreSQL.
 *
 * The owner saves a book into bytes (memory only) and hands them over; the thread stores them, the oldest first, and
 * tries again until the database takes them. At most one of a market waits at a time: while it does, the next one is
 * not taken, and a little more has to be replayed after a crash. Threads: all functions from any. */
#ifndef MADANG_MATCH_SNAPSHOTS_H
#define MADANG_MATCH_SNAPSHOTS_H

#include "store.h"

struct snapshots;

struct snapshots *snapshots_start(struct pg_pool *db, struct err *err);
/* Stores what waits, within 5 s. */
void snapshots_release(struct snapshots **snapshots);

/* One of this market waits, or is being written. */
bool snapshots_busy(struct snapshots *snapshots, const struct uuid *market);
/* Takes `bytes` (and leaves it empty); snapshot->bytes is set from it. */
void snapshots_add(struct snapshots *snapshots, const struct snapshot *snapshot, struct str *bytes, bool closes);

#endif
