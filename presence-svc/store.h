/* store.h - every SQL statement of presence-svc, over migrations/.
 * store_signals.c: connections and what follows from them, in batches; store_people.c: settings, lists, read copies.
 * What is told goes to the outbox in the same transaction. Failures: those of pg.h, and the ones named here. */
#ifndef MADANG_PRESENCE_STORE_H
#define MADANG_PRESENCE_STORE_H

#include "codec.h"
#include "kafka.h"
#include "pg.h"
#include "records.h"

/* ---- signals (store_signals.c) ---- */

/* The batch's signals, one per record. Applied once (applied.h). */
bool store_apply_signals(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                         const struct presence_signal *signals, const struct presence_limits *limits, struct err *err);
/* The batch holds nothing that can be applied: only its offset is noted. */
bool store_skip(struct pg_pool *db, const struct kafka_batch *batch, struct err *err);

/* Partitions where somebody's time is over; at most `max`. *now_ms: the database's time of the question. */
bool store_due_partitions(struct pg_pool *db, int32_t *partitions, size_t max, size_t *count, int64_t *now_ms,
                          struct err *err);
struct sweep_work {
    int32_t partition;
    int64_t now_ms;       /* whose time was over then ... */
    int64_t end_offset;   /* ... when the signals up to here are applied; otherwise nothing happens */
    int64_t begin_offset; /* what stood before it is not kept any more: no beat can be in it */
    int64_t extra_ms;     /* leases of open connections last so much longer */
    bool behind;          /* out: they are not, so nothing happened */
    size_t looked;        /* out: at so many people */
    size_t went;          /* out: so many are offline now */
};
enum { SWEEP_MAX = 1000 }; /* people of one transaction */
bool store_sweep(struct pg_pool *db, struct arena *arena, struct sweep_work *work, struct err *err);
/* Connections that ended longer ago than this are forgotten. */
bool store_forget_connections(struct pg_pool *db, int64_t after_ms, int64_t *count, struct err *err);

/* Tells what changed: for both files. */
bool store_tx_tell(struct pg_tx *tx, struct arena *arena, const struct presence *changed, size_t count,
                   struct err *err);

/* ---- people (store_people.c) ---- */

/* The columns of struct presence, in its order, and the row as one. */
#define SQL_PRESENCE(p)                                                                                                \
    p ".user_id, " p ".online, " p ".visible, " p ".show_last_seen, " p                                                \
      ".withdrawn, " SQL_MS(p ".look_at") ", " SQL_MS(p ".last_seen") ", " p ".n"
enum { PRESENCE_COLUMNS = 8 };
struct presence row_presence(const struct pg_result *rows, int row);
/* Milliseconds -> timestamptz; 0 -> NULL. */
#define SQL_TIME(parameter) "to_timestamp(nullif(" parameter ", 0) / 1000.0)"

struct presence_list {
    struct presence *items;
    size_t count;
};
/* Friends of `user_id` in order of their ids, after `after` (NULL: from the first), at most `limit`. */
bool store_friends(struct pg_pool *db, struct arena *arena, const char *user_id, const char *after, bool online_only,
                   int64_t limit, struct presence_list *list, struct err *err);
/* Those of `ids` who are friends of `user_id`. */
bool store_friends_among(struct pg_pool *db, struct arena *arena, const char *user_id, const struct texts *ids,
                         struct presence_list *list, struct err *err);

bool store_settings(struct pg_pool *db, const char *user_id, struct presence *presence, struct err *err);
/* session_ended: withdrawn. */
bool store_change_settings(struct pg_pool *db, struct arena *arena, const char *user_id,
                           const struct settings_wish *wish, struct presence *presence, struct err *err);

/* Read copies; one item per record, those with a NULL id left out. */
bool store_apply_accounts(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct account_copy *accounts, struct err *err);
bool store_apply_relations(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                           const struct relation_copy *relations, struct err *err);

#endif
