#include "book.h"
#include "config.h"
#include "kafka.h"
#include "mem.h"
#include "store.h"
#include "tools.h"
#include "topics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { READ_MS = 10000, ARENA_BYTES = 1 << 30, RECORD_ARENA_BYTES = 64 << 20 };

struct replay_config {
    const char *brokers, *db_url;
};

static const struct setting REPLAY_SETTINGS[] = {
    SETTING_TEXT(struct replay_config, brokers, "KAFKA_BROKERS", "127.0.0.1:9092", "Kafka brokers, host:port,..."),
    SETTING_SECRET(struct replay_config, db_url, "MATCH_DB_URL", "PostgreSQL URL of role madang_match; never logged"),
    {0},
};

struct told { /* a record of market.events */
    int64_t first_seq;
    uint32_t count;
    uint64_t hash;
};

struct replay {
    const struct replay_config *config;
    struct market_row row;
    int64_t end; /* of the commands */
    struct told *told;
    size_t told_count, told_room;
    int64_t told_seq;
    size_t doubles, lost; /* doubles that are the same; gaps, and doubles that are not */
    /* one run */
    struct book *book;
    const struct kafka_record *command;
    struct str record;
    size_t at, same, differ, untold, commands;
};

/* ---- what was told ---- */

static void note_told(struct replay *replay, const struct market_events *events, uint64_t hash)
{
    if (replay->told_count && events->first_seq <= replay->told_seq) {
        size_t at = replay->told_count; /* doubles are near the end */
        while (at > 0 && replay->told[at - 1].first_seq > events->first_seq)
            at--;
        const struct told *first = at > 0 ? &replay->told[at - 1] : NULL;
        const bool same = first && first->first_seq == events->first_seq && first->hash == hash;
        replay->doubles += same;
        replay->lost += !same;
        return;
    }
    replay->lost += events->first_seq != replay->told_seq + 1;
    if (replay->told_count == replay->told_room) {
        replay->told_room = replay->told_room ? replay->told_room * 2 : 1024;
        replay->told = mem_grow(replay->told, replay->told_room, sizeof *replay->told);
    }
    replay->told[replay->told_count++] = (struct told){events->first_seq, events->count, hash};
    replay->told_seq = events->first_seq + events->count - 1;
}

static bool read_told(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct replay *replay = payload;
    AUTO(arena) arena = arena_open(RECORD_ARENA_BYTES);
    for (size_t i = 0; i < batch->count; i++) {
        const struct view bytes = batch->records[i].payload;
        struct market_events events;
        arena_reset(arena);
        if (!market_events_decode(arena, bytes, &events, err))
            return false;
        if (memcmp(&events.market, &replay->row.id, sizeof events.market) == 0 &&
            events.command_offset < replay->end) /* a round that runs goes on meanwhile */
            note_told(replay, &events, hash_bytes(bytes.bytes, bytes.length));
    }
    return true;
}

/* ---- one run: commands from an offset, over a book ---- */

static void on_event(void *payload, const struct market_event *event)
{
    struct replay *replay = payload;
    if (!replay->record.length)
        market_events_begin(&replay->record, &replay->row.id, replay->command->offset, replay->command->timestamp_ms,
                            event->seq);
    market_events_add(&replay->record, event);
}

static void compare(struct replay *replay, int64_t first_seq)
{
    if (replay->at == replay->told_count) {
        replay->untold++;
        return;
    }
    const struct told *told = &replay->told[replay->at++];
    const bool same = told->first_seq == first_seq && told->count == book_seq(replay->book) - first_seq + 1 &&
                      told->hash == hash_bytes(replay->record.bytes, replay->record.length);
    if (!same && !replay->differ)
        printf("  differs first at command %" PRId64 ", seq %" PRId64 " (told seq %" PRId64 ")\n",
               replay->command->offset, first_seq, told->first_seq);
    replay->same += same;
    replay->differ += !same;
}

static bool apply_batch(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct replay *replay = payload;
    for (size_t i = 0; i < batch->count; i++) {
        struct market_command command;
        if (!market_command_decode(batch->records[i].payload, &command, err))
            return false;
        if (memcmp(&command.market, &replay->row.id, sizeof command.market) != 0)
            continue;
        replay->command = &batch->records[i];
        const int64_t first_seq = book_seq(replay->book) + 1;
        str_clear(&replay->record);
        book_apply(replay->book, &command, replay->command->timestamp_ms, on_event, replay);
        replay->commands++;
        if (replay->record.length)
            compare(replay, first_seq);
    }
    return true;
}

/* Prints a line; *hash is the state's at the end. */
static bool run(struct replay *replay, const char *name, int64_t from, uint64_t *hash, struct err *err)
{
    replay->same = replay->differ = replay->untold = replay->commands = 0;
    for (replay->at = 0;
         replay->at < replay->told_count && replay->told[replay->at].first_seq <= book_seq(replay->book);)
        replay->at++;
    if (from < replay->end && !kafka_read(replay->config->brokers, TOPIC_MARKET_COMMANDS, replay->row.partition, from,
                                          replay->end, READ_MS, apply_batch, replay, err))
        return false;
    *hash = book_hash(replay->book);
    printf("%-22s %zu commands to seq %" PRId64 ", hash %016" PRIx64
           "; records: %zu the same, %zu differ, %zu not told yet, %zu told beyond\n",
           name, replay->commands, book_seq(replay->book), *hash, replay->same, replay->differ, replay->untold,
           replay->told_count - replay->at);
    replay->differ += replay->told_count - replay->at;
    return true;
}

static bool run_from_start(struct replay *replay, const struct book_limits *limits, uint64_t *hash, bool *same,
                           struct err *err)
{
    replay->book = book_open(limits);
    const bool ok = run(replay, "from the start", replay->row.first_offset, hash, err);
    book_release(&replay->book);
    *same = !replay->differ && !replay->lost;
    return ok;
}

static bool run_from_snapshots(struct replay *replay, struct pg_pool *db, const struct book_limits *limits,
                               uint64_t expected, bool *same, struct err *err)
{
    struct snapshot snapshot = {.command_offset = INT64_MAX};
    bool found = true, whole;
    while (found) {
        AUTO(arena) arena = arena_open(ARENA_BYTES);
        struct err why = {0};
        char name[40];
        uint64_t hash;
        if (!store_find_snapshot(db, &replay->row.id, snapshot.command_offset, arena, &snapshot, &found, &whole, err))
            return false;
        if (!found)
            break;
        (void)snprintf(name, sizeof name, "from %" PRId64, snapshot.command_offset);
        replay->book = whole ? book_restore(snapshot.bytes, limits, &why) : NULL;
        if (!replay->book) {
            printf("%-22s refused: %s\n", name, whole ? why.message : "the row's checksum differs");
            *same = false;
            continue;
        }
        const bool ok = run(replay, name, snapshot.command_offset, &hash, err);
        book_release(&replay->book);
        if (!ok)
            return false;
        *same = *same && hash == expected && !replay->differ;
    }
    return true;
}

/* ---- the market ---- */

static bool find_market(struct replay *replay, struct pg_pool *db, const char *text, struct err *err)
{
    struct uuid id;
    bool found;
    if (!uuid_parse(text, &id))
        return err_set(err, &ERR_BAD_INPUT, "\"%.40s\" is no market's id", text);
    if (!store_find_market(db, &id, &replay->row, &found, err))
        return false;
    return found || err_set(err, &ERR_NOT_FOUND, "no market %s was ever opened", text);
}

static bool find_end(struct replay *replay, struct err *err)
{
    AUTO(kafka_producer) producer = kafka_producer_open(replay->config->brokers, "replay", err);
    return producer &&
           kafka_end_offset(producer, TOPIC_MARKET_COMMANDS, replay->row.partition, READ_MS, &replay->end, err);
}

static bool replay_market(struct replay *replay, const char *market, bool *same, struct err *err)
{
    AUTO(pg_pool) db = pg_pool_open(replay->config->db_url, "match", 1, err);
    if (!db || !find_market(replay, db, market, err) || !find_end(replay, err) ||
        !kafka_read(replay->config->brokers, TOPIC_MARKET_EVENTS, replay->row.partition, replay->row.events_from,
                    INT64_MAX, READ_MS, read_told, replay, err))
        return false;
    const struct book_limits limits = {.orders_max = (size_t)replay->row.orders_max,
                                       .accounts_max = (size_t)replay->row.accounts_max};
    uint64_t hash;
    printf("market %s: partition %d, commands from %" PRId64 " to %" PRId64 "; told: %zu records to seq %" PRId64
           ", %zu doubles, %zu gaps\n",
           market, (int)replay->row.partition, replay->row.first_offset, replay->end, replay->told_count,
           replay->told_seq, replay->doubles, replay->lost);
    return run_from_start(replay, &limits, &hash, same, err) &&
           run_from_snapshots(replay, db, &limits, hash, same, err);
}

int tool_replay(const char *market)
{
    struct replay_config config;
    struct err err = {0};
    struct replay replay = {.config = &config};
    bool same = false;
    str_init(&replay.record);
    const bool ok = config_load(REPLAY_SETTINGS, &config, &err) && replay_market(&replay, market, &same, &err);
    if (!ok)
        (void)fprintf(stderr, "match-svc: %s %s\n", err.message, err.detail);
    else
        printf("%s\n", same ? "the same" : "DIFFERENT");
    book_release(&replay.book);
    free(replay.told);
    str_free(&replay.record);
    return ok && same ? 0 : 1;
}
