#include "copies.h"

#include "applied.h"
#include "arena.h"
#include "clock.h"
#include "market.h"
#include "outbox.h"
#include "records.h"

#include <string.h>

enum { BATCH_ARENA_BYTES = 64 << 20, STRAGGLERS_MAX = 200 };

/* ---- cancel-all of the withdrawn ---- */

/* A sender of its own per person, far from the random ones of instances; its number is the time, so a later one counts
 * and a double changes nothing. */
static void add_cancel(struct arena *arena, const char *market, const char *user, struct outbox_event *event)
{
    struct market_command command = {.kind = MARKET_CANCEL_ALL, .n = (uint64_t)clock_now_ms()};
    (void)uuid_parse(market, &command.market);
    (void)uuid_parse(user, &command.cancel_all.account);
    memcpy(&command.source, command.cancel_all.account.bytes + 8, sizeof command.source);
    AUTO_STR bytes;
    str_init(&bytes);
    market_command_encode(&bytes, &command);
    *event = (struct outbox_event){
        .topic = TOPIC_MARKET_COMMANDS,
        .key = arena_text(arena, market),
        .bytes = {arena_bytes(arena, bytes.bytes, bytes.length), bytes.length},
    };
}

/* rows: (market, user) */
static bool send_cancels(struct pg_tx *tx, struct arena *arena, const struct pg_result *rows, struct err *err)
{
    const size_t count = (size_t)pg_rows(rows);
    struct outbox_event *events = arena_alloc(arena, (count + 1) * sizeof *events);
    for (size_t i = 0; i < count; i++)
        add_cancel(arena, pg_text(rows, (int)i, 0), pg_text(rows, (int)i, 1), &events[i]);
    return !count || outbox_add_all(tx, events, count, err);
}

static const struct pg_statement STRAGGLERS = {
    "copies_stragglers", "SELECT DISTINCT o.market_id, o.user_id FROM orders o JOIN people p ON p.user_id = o.user_id"
                         " WHERE o.status = 'open' AND p.withdrawn LIMIT $1"};

static bool stragglers_in(struct pg_tx *tx, void *payload, struct err *err)
{
    int64_t *sent = payload;
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    AUTO(pg_result) rows = pg_tx_query(tx, &STRAGGLERS, PARAMS(PG_I64(STRAGGLERS_MAX)), err);
    *sent = rows ? pg_rows(rows) : 0;
    return rows && send_cancels(tx, arena, rows, err);
}

bool copies_cancel_stragglers(struct pg_pool *db, int64_t *sent, struct err *err)
{
    return pg_transaction(db, stragglers_in, sent, err);
}

/* ---- accounts ---- */

/* Who has just withdrawn, with every market that goes on. */
static const struct pg_statement PUT_PEOPLE = {
    "copies_put_people",
    "WITH put AS (INSERT INTO people AS p (user_id, nickname, withdrawn, version)"
    " SELECT user_id, nickname, withdrawn <> 0, version"
    " FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) AS n (user_id, nickname, withdrawn, version)"
    " ON CONFLICT (user_id) DO UPDATE SET nickname = excluded.nickname, withdrawn = excluded.withdrawn,"
    " version = excluded.version WHERE p.version < excluded.version RETURNING user_id, withdrawn)"
    " SELECT m.id, put.user_id FROM put CROSS JOIN markets m WHERE put.withdrawn AND m.phase <> 'closed'"};

struct accounts_work {
    struct arena *arena;
    const struct kafka_batch *batch;
    const struct account_copy *copies;
};

static bool accounts_in(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct accounts_work *work = payload;
    const size_t count = work->batch->count;
    const char **users = arena_alloc(work->arena, count * sizeof *users);
    const char **names = arena_alloc(work->arena, count * sizeof *names);
    int64_t *withdrawn = arena_alloc(work->arena, count * sizeof *withdrawn);
    int64_t *versions = arena_alloc(work->arena, count * sizeof *versions);
    size_t first, kept = 0;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    for (size_t i = first; i < count; i++) {
        const struct account_copy *copy = &work->copies[i];
        if (!copy->user_id || account_is_superseded(work->copies, count, i))
            continue;
        users[kept] = copy->user_id;
        names[kept] = copy->withdrawn || !copy->nickname ? "" : copy->nickname;
        withdrawn[kept] = copy->withdrawn;
        versions[kept++] = copy->version;
    }
    if (kept) {
        AUTO(pg_result)
        rows = pg_tx_query(
            tx, &PUT_PEOPLE,
            PARAMS(PG_TEXTS(users, kept), PG_TEXTS(names, kept), PG_I64S(withdrawn, kept), PG_I64S(versions, kept)),
            err);
        if (!rows || !send_cancels(tx, work->arena, rows, err))
            return false;
    }
    return applied_end(tx, work->batch, err);
}

bool copies_accounts(struct pg_pool *db, const struct kafka_batch *batch, struct err *err)
{
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct accounts_work work = {arena, batch, accounts_decode(arena, batch, err)};
    return work.copies && pg_transaction(db, accounts_in, &work, err);
}

/* ---- the game ---- */

struct game_record {
    const char *kind, *market;
    const char *companies; /* [{id, name, ..}] of a round */
    const char *ratings;   /* [{user_id, rating, tier}] */
};

static const struct field GAME_FIELDS[] = {
    FIELD_TEXT(struct game_record, kind),
    FIELD_UUID(struct game_record, market),
    FIELD_RAW(struct game_record, companies),
    FIELD_RAW(struct game_record, ratings),
    {0},
};

/* The lock is shared with settlement's OPENED: one of the two sees the other's row. */
static const struct pg_statement LOCK_NAMES = {
    "copies_lock_names", "SELECT pg_advisory_xact_lock(hashtext('orders company names'), hashtext($1))"};
static const struct pg_statement PUT_NAMES = {
    "copies_put_names", "INSERT INTO company_names AS c (company_id, market_id, name)"
                        " SELECT id, $1, name FROM jsonb_to_recordset($2::jsonb) AS n (id uuid, name text)"
                        " WHERE id IS NOT NULL AND name IS NOT NULL ON CONFLICT (company_id)"
                        " DO UPDATE SET name = excluded.name WHERE c.name <> excluded.name"};
static const struct pg_statement NAME_COMPANIES = {
    "copies_name_companies",
    "UPDATE companies c SET name = n.name FROM company_names n WHERE n.market_id = $1 AND c.id = n.company_id"
    " AND c.name IS DISTINCT FROM n.name"};
/* A rating never falls, and rounds of different partitions may come in any order. */
static const struct pg_statement PUT_RATINGS = {
    "copies_put_ratings",
    "INSERT INTO people AS p (user_id, rating, tier) SELECT DISTINCT ON (user_id) user_id, rating,"
    " tier FROM jsonb_to_recordset($1::jsonb) AS n (user_id uuid, rating bigint, tier text)"
    " WHERE user_id IS NOT NULL AND rating >= 0 AND tier IS NOT NULL ORDER BY user_id, rating DESC"
    " ON CONFLICT (user_id) DO UPDATE SET rating = excluded.rating, tier = excluded.tier"
    " WHERE p.rating <= excluded.rating"};

static bool apply_game_record(struct pg_tx *tx, const struct game_record *record, struct err *err)
{
    if (!record->kind)
        return true;
    if (strcmp(record->kind, "round") == 0 && record->market && record->companies) {
        const struct pg_params market = PARAMS(PG_TEXT(record->market));
        return pg_tx_exec(tx, &LOCK_NAMES, market, NULL, err) &&
               pg_tx_exec(tx, &PUT_NAMES, PARAMS(PG_TEXT(record->market), PG_TEXT(record->companies)), NULL, err) &&
               pg_tx_exec(tx, &NAME_COMPANIES, market, NULL, err);
    }
    if (strcmp(record->kind, "ratings") == 0 && record->ratings)
        return pg_tx_exec(tx, &PUT_RATINGS, PARAMS(PG_TEXT(record->ratings)), NULL, err);
    return true;
}

struct game_work {
    const struct kafka_batch *batch;
    const struct game_record *records;
};

static bool game_in(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct game_work *work = payload;
    size_t first;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    for (size_t i = first; i < work->batch->count; i++)
        if (!apply_game_record(tx, &work->records[i], err))
            return false;
    return applied_end(tx, work->batch, err);
}

bool copies_game(struct pg_pool *db, const struct kafka_batch *batch, struct err *err)
{
    AUTO(arena) arena = arena_open(BATCH_ARENA_BYTES);
    struct game_work work = {batch, records_decode(arena, batch, GAME_FIELDS, sizeof(struct game_record), err)};
    return work.records && pg_transaction(db, game_in, &work, err);
}
