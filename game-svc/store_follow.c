#include "arena.h"
#include "store.h"

#include <stdio.h>

static const struct pg_statement READ = {
    "progress_read", "SELECT round_id, seq, accounts_at IS NOT NULL, n, heard_n[n], heard_seq[n] FROM progress, "
                     "generate_subscripts(heard_n, 1) AS n WHERE round_id = ANY ($1::uuid[]) ORDER BY round_id, n"};
static const struct pg_statement WRITE = {
    "progress_write",
    "UPDATE progress SET seq = $2, heard_n = $3::bigint[], heard_seq = $4::bigint[] WHERE round_id = $1::uuid AND seq "
    "< $2"};
static const struct pg_statement PARTICIPANTS = {
    "progress_participants",
    "INSERT INTO participants (round_id, user_id, bot, orders, fills, bought, sold) SELECT round_id, user_id, bot <> "
    "0, "
    "orders, fills, bought, sold FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], "
    "$6::bigint[], $7::bigint[]) AS part (round_id, user_id, bot, orders, fills, bought, sold) "
    "ON CONFLICT (round_id, user_id) DO UPDATE SET bot = participants.bot OR excluded.bot, orders = "
    "participants.orders "
    "+ excluded.orders, fills = participants.fills + excluded.fills, bought = participants.bought + excluded.bought, "
    "sold = participants.sold + excluded.sold"};
static const struct pg_statement ACCOUNTS = {
    "progress_accounts",
    "INSERT INTO participants (round_id, user_id, bot, cash) SELECT $1::uuid, user_id, bot <> 0, cash FROM "
    "unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS account (user_id, bot, cash) "
    "ON CONFLICT (round_id, user_id) DO UPDATE SET bot = excluded.bot, cash = excluded.cash"};
static const struct pg_statement LAST_PRICES = {
    "progress_last_prices",
    "UPDATE companies SET last_price = price FROM unnest($2::bigint[]) WITH ORDINALITY AS last (price, place) WHERE "
    "round_id = $1::uuid AND index = place - 1"};
static const struct pg_statement DONE = {
    "progress_done", "UPDATE progress SET accounts_at = now() WHERE round_id = $1::uuid AND accounts_at IS NULL"};
static const struct pg_statement RANK = {
    "progress_rank", "INSERT INTO steps (round_id, kind, number, at) VALUES ($1::uuid, 'rank', 1, now()) ON CONFLICT "
                     "DO NOTHING"};

bool store_progress_read(struct pg_tx *tx, struct arena *arena, const struct texts *round_ids, struct progress **list,
                         size_t *count, struct err *err)
{
    AUTO(pg_result)
    rows = pg_tx_query(tx, &READ, PARAMS(PG_TEXTS((const char *const *)round_ids->items, round_ids->count)), err);
    if (!rows)
        return false;
    *list = arena_alloc(arena, (size_t)(pg_rows(rows) + 1) * sizeof **list);
    *count = 0;
    for (int row = 0; row < pg_rows(rows); row++) {
        const int64_t n = pg_i64(rows, row, 3);
        if (n == 1)
            ++*count;
        struct progress *round = &(*list)[*count - 1];
        (void)snprintf(round->round_id, sizeof round->round_id, "%s", pg_text(rows, row, 0));
        round->seq = pg_i64(rows, row, 1);
        round->has_accounts = pg_bool(rows, row, 2);
        round->company_count = (int)n;
        round->heard_n[n - 1] = pg_i64(rows, row, 4);
        round->heard_seq[n - 1] = pg_i64(rows, row, 5);
    }
    return true;
}

bool store_progress_write(struct pg_tx *tx, const struct progress *progress, struct err *err)
{
    const size_t count = (size_t)progress->company_count;
    return pg_tx_exec(tx, &WRITE,
                      PARAMS(PG_TEXT(progress->round_id), PG_I64(progress->seq), PG_I64S(progress->heard_n, count),
                             PG_I64S(progress->heard_seq, count)),
                      NULL, err);
}

static const char *id_text(struct arena *arena, const struct uuid *id)
{
    char *text = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_format(id, text);
    return text;
}

bool store_participants_add(struct pg_tx *tx, struct arena *arena, const struct taking_part *list, size_t count,
                            struct err *err)
{
    enum { BOT, ORDERS, FILLS, BOUGHT, SOLD, COLUMNS };
    if (!count)
        return true;
    const char **rounds = arena_alloc(arena, count * sizeof *rounds),
               **users = arena_alloc(arena, count * sizeof *users);
    int64_t *cells = arena_alloc(arena, count * COLUMNS * sizeof *cells);
    for (size_t i = 0; i < count; i++) {
        rounds[i] = list[i].round_id;
        users[i] = id_text(arena, &list[i].user);
        cells[BOT * count + i] = list[i].bot;
        cells[ORDERS * count + i] = list[i].orders;
        cells[FILLS * count + i] = list[i].fills;
        cells[BOUGHT * count + i] = list[i].bought;
        cells[SOLD * count + i] = list[i].sold;
    }
    return pg_tx_exec(tx, &PARTICIPANTS,
                      PARAMS(PG_TEXTS(rounds, count), PG_TEXTS(users, count), PG_I64S(cells + BOT * count, count),
                             PG_I64S(cells + ORDERS * count, count), PG_I64S(cells + FILLS * count, count),
                             PG_I64S(cells + BOUGHT * count, count), PG_I64S(cells + SOLD * count, count)),
                      NULL, err);
}

bool store_accounts_add(struct pg_tx *tx, struct arena *arena, const char *round_id,
                        const struct market_account *accounts, size_t count, struct err *err)
{
    if (!count)
        return true;
    const char **users = arena_alloc(arena, count * sizeof *users);
    int64_t *bots = arena_alloc(arena, count * sizeof *bots), *cash = arena_alloc(arena, count * sizeof *cash);
    for (size_t i = 0; i < count; i++) {
        users[i] = id_text(arena, &accounts[i].account);
        bots[i] = accounts[i].bot;
        cash[i] = accounts[i].cash;
    }
    return pg_tx_exec(tx, &ACCOUNTS,
                      PARAMS(PG_TEXT(round_id), PG_TEXTS(users, count), PG_I64S(bots, count), PG_I64S(cash, count)),
                      NULL, err);
}

bool store_last_prices(struct pg_tx *tx, const char *round_id, const int64_t *prices, size_t count, struct err *err)
{
    return pg_tx_exec(tx, &LAST_PRICES, PARAMS(PG_TEXT(round_id), PG_I64S(prices, count)), NULL, err);
}

bool store_accounts_done(struct pg_tx *tx, const char *round_id, struct err *err)
{
    return pg_tx_exec(tx, &DONE, PARAMS(PG_TEXT(round_id)), NULL, err) &&
           pg_tx_exec(tx, &RANK, PARAMS(PG_TEXT(round_id)), NULL, err);
}
