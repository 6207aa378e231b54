/* audit_ranking.c - places by the replayed final cash, against the ranking that the game told. Who had an order taken
 * is ranked, bots never; by the return in hundredths of a percent; equal returns share a place. */
#include "audit_internal.h"
#include "json.h"
#include "kafka.h"

#include <inttypes.h>
#include <string.h>

enum { READ_MS = 20000, PLACES_TOLD = 5, ARENA_BYTES = 64 << 20 };

struct told {
    struct audit *audit;
    struct arena *arena;
    bool found;
    int64_t participants;
    const char *places; /* JSON */
};

struct ranking_record {
    const char *kind, *market;
    int64_t participants;
    const char *places;
};

static const struct field RANKING_FIELDS[] = {
    FIELD_TEXT(struct ranking_record, kind),
    FIELD_UUID(struct ranking_record, market),
    FIELD_I64(struct ranking_record, participants, .min = 0, .max = INT64_MAX),
    FIELD_RAW(struct ranking_record, places),
    {0},
};

static bool take_batch(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct told *told = payload;
    (void)err;
    for (size_t i = 0; i < batch->count; i++) {
        struct ranking_record record;
        struct err ignored = {0}; /* what is no JSON is no ranking; the worker says so */
        const struct kafka_record *from = &batch->records[i];
        if (!from->payload.bytes || !view_equals(from->key, view_of(told->audit->market)))
            continue;
        arena_reset(told->arena);
        if (!JSON_DECODE_LENIENT(told->arena, from->payload, RANKING_FIELDS, &record, &ignored) || !record.kind ||
            strcmp(record.kind, "ranking") != 0 || !record.places)
            continue;
        told->found = true;
        told->participants = record.participants;
        told->places = record.places;
        return err_set(err, &ERR_CONFLICT, "found"); /* ends the reading: the arena keeps it */
    }
    return true;
}

/* (cash - seed) / seed in hundredths of a percent, half away from zero. */
static int64_t return_of(const struct audit_log *log, const struct audit_account *account)
{
    const __int128 gain = (__int128)(account->cash - log->rules.seed_cash) * 20000, seed = log->rules.seed_cash;
    return (int64_t)((gain + (gain < 0 ? -seed : seed)) / (2 * seed));
}

static bool is_ranked(const struct audit_account *account)
{
    return account->took_part && !account->bot;
}

static int64_t place_of(const struct audit_log *log, const struct audit_account *account)
{
    int64_t place = 1;
    const int64_t mine = return_of(log, account);
    for (size_t i = 0; i < log->account_count; i++)
        place += is_ranked(&log->accounts[i]) && return_of(log, &log->accounts[i]) > mine;
    return place;
}

static const struct pg_statement PLACES = {
    "audit_places", "SELECT user_id, place, total_asset, (return_pct * 100)::bigint FROM jsonb_to_recordset($1::jsonb)"
                    " AS p (user_id uuid, place bigint, total_asset bigint, return_pct numeric)"};

static void compare_place(struct audit *audit, const struct pg_result *rows, int row)
{
    const struct audit_log *log = &audit->log;
    struct uuid id = {{0}};
    const char *name = pg_is_null(rows, row, 0) ? "" : pg_text(rows, row, 0);
    (void)uuid_parse(name, &id);
    const struct audit_account *account = audit_log_account(log, &id);
    if (!account || !is_ranked(account)) {
        audit_differ(log, "ranking: %s took no part by the log", name);
        return;
    }
    const int64_t place = pg_i64(rows, row, 1), total = pg_i64(rows, row, 2), bp = pg_i64(rows, row, 3);
    if (place != place_of(log, account) || total != account->cash || bp != return_of(log, account))
        audit_differ(log,
                     "ranking: %s has place %" PRId64 ", %" PRId64 " won, %" PRId64 " hundredths of a percent; by the "
                     "log %" PRId64 ", %" PRId64 ", %" PRId64,
                     name, place, total, bp, place_of(log, account), account->cash, return_of(log, account));
}

static bool compare_ranking(struct audit *audit, const struct told *told, struct pg_pool *db, struct err *err)
{
    const struct audit_log *log = &audit->log;
    int64_t participants = 0;
    for (size_t i = 0; i < log->account_count; i++)
        participants += is_ranked(&log->accounts[i]);
    if (told->participants != participants)
        audit_differ(log, "ranking: %" PRId64 " took part, by the log %" PRId64, told->participants, participants);
    AUTO(pg_result) rows = pg_query(db, &PLACES, PARAMS(PG_TEXT(told->places)), err);
    for (int i = 0; rows && i < pg_rows(rows); i++)
        compare_place(audit, rows, i);
    if (rows && pg_rows(rows) < (participants < PLACES_TOLD ? participants : PLACES_TOLD))
        audit_differ(log, "ranking: %d places are told, %" PRId64 " took part", pg_rows(rows), participants);
    return rows != NULL;
}

bool audit_ranking(struct audit *audit, struct pg_pool *db, struct err *err)
{
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    struct told told = {.audit = audit, .arena = arena};
    if (!audit->log.closed || audit->log.rules.seed_cash < 1)
        return true;
    if (!kafka_read(audit->source.brokers, audit->source.game_topic, audit->partition, 0, INT64_MAX, READ_MS,
                    take_batch, &told, err) &&
        !told.found)
        return false;
    err_clear(err);
    audit->report->ranked = told.found;
    return !told.found || compare_ranking(audit, &told, db, err);
}
