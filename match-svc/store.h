/* store.h - every SQL statement of match-svc: markets and their snapshots (migrations/001). */
#ifndef MADANG_MATCH_STORE_H
#define MADANG_MATCH_STORE_H

#include "arena.h"
#include "pg.h"
#include "uuid.h"

struct market_row {
    struct uuid id;
    int32_t partition;
    int64_t first_offset; /* of its OPEN */
    int64_t events_from;  /* no event of it stands before, in market.events */
    int64_t orders_max, accounts_max;
    bool closed;    /* its last snapshot is stored */
    bool forgotten; /* closed so long ago that its snapshots go: nobody gets an answer from it any more */
};

/* Makes the row of a market that was opened now. When there is one already, *row becomes it, and *made is false. */
bool store_open_market(struct pg_pool *db, struct market_row *row, bool *made, struct err *err);
bool store_find_market(struct pg_pool *db, const struct uuid *id, struct market_row *row, bool *found, struct err *err);
/* Those of a partition that are not closed; rows from the arena. */
bool store_live_markets(struct pg_pool *db, int32_t partition, struct arena *arena, struct market_row **rows,
                        size_t *count, struct err *err);

struct snapshot {
    struct uuid market;
    int64_t command_offset; /* every command below it is in */
    int64_t events_offset;  /* no event after seq stands before it in market.events */
    int64_t seq;
    uint64_t hash;
    struct view bytes;
};

enum { SNAPSHOTS_KEPT = 3 };

/* Stores it with its checksum and drops all but the newest three. `closes`: it is the market's last state. */
bool store_put_snapshot(struct pg_pool *db, const struct snapshot *snapshot, bool closes, struct err *err);
/* The newest with a command offset below `before`; bytes from the arena. *whole is false when it is not what was
 * stored. */
bool store_find_snapshot(struct pg_pool *db, const struct uuid *market, int64_t before, struct arena *arena,
                         struct snapshot *snapshot, bool *found, bool *whole, struct err *err);

/* A market is forgotten before its snapshots are. */
#define CLOSED_FORGOTTEN_MINUTES "50"
enum { CLOSED_SNAPSHOT_HOURS = 1, CLOSED_MARKET_DAYS = 31 };

/* What nobody will ask for: snapshots of markets that were closed hours ago (who comes so late has it replayed), rows
 * of markets that the log has forgotten. Any instance, any time. */
bool store_sweep(struct pg_pool *db, int64_t *snapshots, int64_t *markets, struct err *err);

#endif
