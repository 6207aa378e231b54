#include "store.h"

#include "crypto.h"

/* ---- markets ---- */

#define MARKET_COLUMNS                                                                                                 \
    "id, partition, first_offset, events_from, orders_max, accounts_max, closed_at IS NOT NULL, "                      \
    "coalesce(closed_at < now() - interval '" CLOSED_FORGOTTEN_MINUTES " minutes', false)"

static void take_market(const struct pg_result *result, int at, struct market_row *row)
{
    *row = (struct market_row){.partition = (int32_t)pg_i64(result, at, 1),
                               .first_offset = pg_i64(result, at, 2),
                               .events_from = pg_i64(result, at, 3),
                               .orders_max = pg_i64(result, at, 4),
                               .accounts_max = pg_i64(result, at, 5),
                               .closed = pg_bool(result, at, 6),
                               .forgotten = pg_bool(result, at, 7)};
    (void)uuid_parse(pg_text(result, at, 0), &row->id);
}

bool store_find_market(struct pg_pool *db, const struct uuid *id, struct market_row *row, bool *found, struct err *err)
{
    static const struct pg_statement FIND = {"find_market", "SELECT " MARKET_COLUMNS " FROM markets WHERE id = $1"};
    char text[UUID_TEXT_BYTES];
    uuid_format(id, text);
    AUTO(pg_result) result = pg_query(db, &FIND, PARAMS(PG_TEXT(text)), err);
    if (!result)
        return false;
    *found = pg_rows(result) == 1;
    if (*found)
        take_market(result, 0, row);
    return true;
}

bool store_open_market(struct pg_pool *db, struct market_row *row, bool *made, struct err *err)
{
    static const struct pg_statement OPEN = {
        "open_market", "INSERT INTO markets (id, partition, first_offset, events_from, orders_max, accounts_max) "
                       "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING"};
    char id[UUID_TEXT_BYTES];
    uuid_format(&row->id, id);
    int64_t changed;
    bool found;
    if (!pg_exec(db, &OPEN,
                 PARAMS(PG_TEXT(id), PG_I64(row->partition), PG_I64(row->first_offset), PG_I64(row->events_from),
                        PG_I64(row->orders_max), PG_I64(row->accounts_max)),
                 &changed, err))
        return false;
    *made = changed == 1;
    return *made || store_find_market(db, &row->id, row, &found, err);
}

bool store_live_markets(struct pg_pool *db, int32_t partition, struct arena *arena, struct market_row **rows,
                        size_t *count, struct err *err)
{
    static const struct pg_statement LIVE = {"live_markets",
                                             "SELECT " MARKET_COLUMNS " FROM markets WHERE partition = $1 AND "
                                             "closed_at IS NULL ORDER BY first_offset"};
    AUTO(pg_result) result = pg_query(db, &LIVE, PARAMS(PG_I64(partition)), err);
    if (!result)
        return false;
    *count = (size_t)pg_rows(result);
    *rows = arena_alloc(arena, (*count + 1) * sizeof **rows);
    for (size_t i = 0; i < *count; i++)
        take_market(result, (int)i, &(*rows)[i]);
    return true;
}

/* ---- snapshots ---- */

static void checksum_of(const struct snapshot *snapshot, unsigned char out[SHA256_BYTES])
{
    unsigned char inside[SHA256_BYTES], head[16 + 4 * 8 + SHA256_BYTES];
    const uint64_t numbers[] = {(uint64_t)snapshot->command_offset, (uint64_t)snapshot->events_offset,
                                (uint64_t)snapshot->seq, snapshot->hash};
    crypto_sha256(snapshot->bytes.bytes, snapshot->bytes.length, inside);
    memcpy(head, snapshot->market.bytes, 16);
    for (int i = 0; i < 32; i++)
        head[16 + i] = (unsigned char)(numbers[i / 8] >> (8 * (i % 8)));
    memcpy(head + 48, inside, sizeof inside);
    crypto_sha256(head, sizeof head, out);
}

struct putting {
    const struct snapshot *snapshot;
    unsigned char checksum[SHA256_BYTES];
    bool closes;
};

static bool put_snapshot(struct pg_tx *tx, void *payload, struct err *err)
{
    /* The same state may be stored twice, by a former owner too; a broken row is made whole. */
    static const struct pg_statement PUT = {
        "put_snapshot", "INSERT INTO snapshots (market_id, command_offset, events_offset, seq, hash, bytes, checksum) "
                        "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (market_id, command_offset) DO UPDATE SET "
                        "events_offset = excluded.events_offset, seq = excluded.seq, hash = excluded.hash, bytes = "
                        "excluded.bytes, checksum = excluded.checksum, taken_at = now()"};
    static const struct pg_statement DROP = {
        "drop_snapshots", "DELETE FROM snapshots WHERE market_id = $1 AND command_offset < (SELECT min(command_offset) "
                          "FROM (SELECT command_offset FROM snapshots WHERE market_id = $1 ORDER BY command_offset "
                          "DESC LIMIT $2::bigint) AS kept)"};
    static const struct pg_statement CLOSE = {
        "close_market", "UPDATE markets SET closed_at = now() WHERE id = $1 AND closed_at IS NULL"};
    const struct putting *putting = payload;
    const struct snapshot *snapshot = putting->snapshot;
    char id[UUID_TEXT_BYTES];
    uuid_format(&snapshot->market, id);
    return pg_tx_exec(tx, &PUT,
                      PARAMS(PG_TEXT(id), PG_I64(snapshot->command_offset), PG_I64(snapshot->events_offset),
                             PG_I64(snapshot->seq), PG_I64((int64_t)snapshot->hash),
                             PG_BYTES(snapshot->bytes.bytes, snapshot->bytes.length),
                             PG_BYTES(putting->checksum, sizeof putting->checksum)),
                      NULL, err) &&
           pg_tx_exec(tx, &DROP, PARAMS(PG_TEXT(id), PG_I64(SNAPSHOTS_KEPT)), NULL, err) &&
           (!putting->closes || pg_tx_exec(tx, &CLOSE, PARAMS(PG_TEXT(id)), NULL, err));
}

bool store_put_snapshot(struct pg_pool *db, const struct snapshot *snapshot, bool closes, struct err *err)
{
    struct putting putting = {.snapshot = snapshot, .closes = closes};
    checksum_of(snapshot, putting.checksum);
    return pg_transaction(db, put_snapshot, &putting, err);
}

bool store_find_snapshot(struct pg_pool *db, const struct uuid *market, int64_t before, struct arena *arena,
                         struct snapshot *snapshot, bool *found, bool *whole, struct err *err)
{
    static const struct pg_statement FIND = {
        "find_snapshot", "SELECT command_offset, events_offset, seq, hash, bytes, checksum FROM snapshots WHERE "
                         "market_id = $1 AND command_offset < $2 ORDER BY command_offset DESC LIMIT 1"};
    char id[UUID_TEXT_BYTES];
    uuid_format(market, id);
    AUTO(pg_result) result = pg_query(db, &FIND, PARAMS(PG_TEXT(id), PG_I64(before)), err);
    if (!result)
        return false;
    *found = pg_rows(result) == 1;
    if (!*found)
        return true;
    *snapshot = (struct snapshot){.market = *market,
                                  .command_offset = pg_i64(result, 0, 0),
                                  .events_offset = pg_i64(result, 0, 1),
                                  .seq = pg_i64(result, 0, 2),
                                  .hash = (uint64_t)pg_i64(result, 0, 3),
                                  .bytes = pg_bytes(result, 0, 4, arena)};
    const struct view stored = pg_bytes(result, 0, 5, arena);
    unsigned char checksum[SHA256_BYTES];
    checksum_of(snapshot, checksum);
    *whole = crypto_equal(stored.bytes, stored.length, checksum, sizeof checksum);
    return true;
}

bool store_sweep(struct pg_pool *db, int64_t *snapshots, int64_t *markets, struct err *err)
{
    static const struct pg_statement SNAPSHOTS = {
        "sweep_snapshots", "DELETE FROM snapshots USING markets WHERE markets.id = market_id AND closed_at < now() - "
                           "make_interval(hours => $1::int)"};
    static const struct pg_statement MARKETS = {
        "sweep_markets", "DELETE FROM markets WHERE closed_at < now() - make_interval(days => $1::int)"};
    return pg_exec(db, &SNAPSHOTS, PARAMS(PG_I64(CLOSED_SNAPSHOT_HOURS)), snapshots, err) &&
           pg_exec(db, &MARKETS, PARAMS(PG_I64(CLOSED_MARKET_DAYS)), markets, err);
}
