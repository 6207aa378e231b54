/* owner_internal.h - what the parts of the owner share: owner.c (batches), owner_market.c (one command of one market),
 * owner_rebuild.c (taking over), owner_upkeep.c (snapshots, leaving memory). Everything is under owner->lock. */
#ifndef MADANG_MATCH_OWNER_INTERNAL_H
#define MADANG_MATCH_OWNER_INTERNAL_H

#include "book.h"
#include "depth.h"
#include "metrics.h"
#include "outputs.h"
#include "owner.h"
#include "rounds.h"
#include "snapshots.h"

#include <pthread.h>

enum {
    ASK_MS = 2000,          /* for the brokers to tell an end offset */
    READ_MS = 10000,        /* for a stretch of the log to go on */
    OUTPUT_BYTES = 4 << 20, /* then what waits is sent, in the middle of a batch too */
    OUTPUT_RECORDS = 1000,
};

/* Between two records of market.commands. A message may bring several (kafka_bundle.h): `within` of them, at `offset`,
 * stand before it. Whatever is stored (snapshots) stands between two messages: within 0. */
struct log_place {
    int64_t offset;
    uint32_t within;
};

static inline bool stands_before(const struct kafka_record *record, struct log_place place)
{
    return record->offset < place.offset || (record->offset == place.offset && record->place < place.within);
}

static inline struct log_place place_behind(const struct kafka_record *record)
{
    return record->more ? (struct log_place){record->offset, record->place + 1}
                        : (struct log_place){record->offset + 1, 0};
}

/* A record that market.events held before the market was rebuilt: what comes out again must be it. */
struct tail {
    int64_t first_seq;
    uint32_t count;
    uint64_t hash; /* of the record's bytes */
};

struct market {
    struct uuid id;
    char name[UUID_TEXT_BYTES];
    int32_t partition;
    struct book *book;
    struct depth_market *depth; /* NULL: nobody looks */
    struct log_place next;      /* commands before it are applied */
    int64_t at_ms;              /* the time of the last one */
    bool touched;               /* by what is not acknowledged yet */
    const char *stopped;        /* why; NULL: it runs */
    /* snapshots */
    int64_t events_from;      /* no event after the book that it began with stands before, in market.events */
    int64_t first_events;     /* no event of it at all does */
    uint64_t stored_commands; /* in the last one */
    int64_t stored_next;      /* and its command offset: where a replay begins */
    int64_t unstored_ms;      /* monotonic: since when there is something that is in none; 0: all is */
    int64_t used_ms;          /* monotonic: its last command */
    bool last_stored;         /* the one of its closing was taken */
    /* while it catches up */
    struct tail *tail;
    size_t tail_count, tail_room, tail_at;
    int64_t tail_seq; /* the last event in it */
    bool tail_torn;   /* an event came that is not the next one */
};

struct holding { /* a partition of market.commands that is ours */
    int32_t partition;
    bool rebuilt;
    struct log_place next; /* records before it are done; offset -1: as the worker gives them */
    struct market **markets;
    size_t count;
    struct outputs outputs;
};

struct owner {
    struct owner_options options;
    struct snapshots *snapshots;
    struct rounds *rounds;
    pthread_mutex_t lock;
    struct holding **holdings;
    size_t count;
    /* of the command at work */
    struct market *market;
    const struct kafka_record *command;
    struct str record, users;
    struct uuid *people;
    size_t people_count, people_room;
    int64_t upkeep_ms; /* monotonic: when it was last done */
    struct metric_child *commands, *events, *unknown, *work_ns, *batches, *saves, *takeovers, *replayed, *refused,
        *too_large;
    struct metric_child *markets[3];
};

/* ---- owner_market.c ---- */

struct market *market_new(struct owner *owner, const struct market_row *row);
void market_release(struct market **market);
struct market *market_find(const struct holding *holding, const struct uuid *id);
/* Applies a command that is not behind market->next; its events wait in the holding's outputs. */
void market_apply(struct owner *owner, struct holding *holding, struct market *market,
                  const struct market_command *command, const struct kafka_record *record);
/* It applies nothing more until it is rebuilt; says so. */
void market_stop(struct market *market, const char *why);
bool market_caught_up(const struct market *market); /* nothing of what market.events held is left to come out */

/* ---- owner.c ---- */

/* The market that the command goes to, loaded or opened when need be; *market NULL: none that was ever opened. */
bool holding_seek(struct owner *owner, struct holding *holding, const struct market_command *command,
                  const struct kafka_record *record, struct market **market, struct err *err);
bool holding_take(struct owner *owner, struct holding *holding, const struct kafka_record *record, struct err *err);
void holding_add(struct holding *holding, struct market *market);
void holding_clear(struct holding *holding);
/* Sends what waits, and lets viewers see it. */
bool holding_send(struct owner *owner, struct holding *holding, struct err *err);
bool holding_full(const struct holding *holding); /* enough waits to be sent */
void owner_show(struct owner *owner);             /* gauges */

/* ---- owner_rebuild.c ---- */

/* All markets of the partition that live, up to what stands in the log now. */
bool holding_rebuild(struct owner *owner, struct holding *holding, struct err *err);
/* One market, up to the command at `to`. The holding gets it. */
bool market_load(struct owner *owner, struct holding *holding, const struct market_row *row, int64_t to,
                 struct market **market, struct err *err);

/* ---- owner_upkeep.c ---- */

/* Takes the snapshots that are due, and lets closed markets go. */
void owner_upkeep(struct owner *owner);
/* The markets of a partition that goes: so the next owner need not replay much. */
void owner_store_all(struct owner *owner, struct holding *holding);

#endif
