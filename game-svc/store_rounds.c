#include "arena.h"
#include "store.h"

#include <stdio.h>

#define TIME(n) "to_timestamp($" n "::bigint / 1000.0)"

/* What round_of() reads, in this order. */
#define ROUND_COLUMNS                                                                                                  \
    "id, number, phase, held, size_rule, bots, seed, next_n, seed_cash, tick, price_min, price_max, open_ms, " SQL_MS( \
        "setup_at") ", " SQL_MS("opens_at") ", " SQL_MS("closes_at") ", " SQL_MS("next_at") ", " SQL_MS("closed_at") ", " SQL_MS("ranked_at")

static const struct pg_statement LOAD = {"round_load", "SELECT " ROUND_COLUMNS " FROM rounds WHERE id = $1::uuid"};
static const struct pg_statement LOCK = {
    "round_lock", "SELECT " ROUND_COLUMNS ", " SQL_MS("clock_timestamp()") " FROM rounds ORDER BY number DESC LIMIT 1 "
                                                                           "FOR NO KEY UPDATE"};
static const struct pg_statement COMPANIES = {
    "round_companies",
    "SELECT id, index, name, name_en, business, initial_price, last_price, bot_sent_n FROM companies "
    "WHERE round_id = $1::uuid ORDER BY index"};
static const struct pg_statement ONE_BEGINS = {"round_one_begins",
                                               "SELECT pg_advisory_xact_lock(hashtext('game begins'))"};
static const struct pg_statement WANTED = {
    "round_wanted",
    "SELECT NOT EXISTS (SELECT FROM rounds WHERE phase <> 'closed') AND NOT EXISTS (SELECT FROM steps WHERE kind = "
    "'next'), coalesce(max(number), 0) + 1, " SQL_MS("clock_timestamp()") " FROM rounds"};
static const struct pg_statement INSERT = {
    "round_insert",
    "INSERT INTO rounds (id, number, phase, held, size_rule, bots, seed, next_n, seed_cash, tick, price_min, "
    "price_max, "
    "open_ms, setup_at, opens_at, closes_at, next_at) VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
    "$13, " TIME("14") ", " TIME("15") ", " TIME("16") ", " TIME("17") ")"};
static const struct pg_statement INSERT_COMPANY = {
    "round_insert_company",
    "INSERT INTO companies (id, round_id, index, name, name_en, business, initial_price, bot_sent_n) VALUES ($1::uuid, "
    "$2::uuid, $3, $4, $5, $6, $7, $8)"};
static const struct pg_statement INSERT_PROGRESS = {
    "round_insert_progress",
    "INSERT INTO progress (round_id, seq, heard_n, heard_seq) VALUES ($1::uuid, 0, array_fill(0::bigint, "
    "ARRAY[$2::int]), array_fill(0::bigint, ARRAY[$2::int]))"};
static const struct pg_statement CHANGE = {
    "round_change",
    "UPDATE rounds SET phase = $2, held = $3, next_n = $4, opens_at = " TIME("5") ", closes_at = " TIME(
        "6") ", next_at = " TIME("7") ", closed_at = " TIME("8") ", ranked_at = " TIME("9") " WHERE id = $1::uuid"};
static const struct pg_statement SENT = {"round_company_sent",
                                         "UPDATE companies SET bot_sent_n = $2 WHERE id = $1::uuid"};
static const struct pg_statement ADD_NEWS = {
    "round_add_news",
    "INSERT INTO news (round_id, number, company_id, line, weight) VALUES ($1::uuid, $2, $3::uuid, $4, $5)"};
static const struct pg_statement FIND_NEWS = {
    "round_find_news", "SELECT companies.index, weight FROM news JOIN companies ON companies.id = company_id WHERE "
                       "news.round_id = $1::uuid AND number = $2"};

static struct pg_param time_param(int64_t at_ms)
{
    return at_ms ? PG_I64(at_ms) : PG_NULL;
}

static void round_of(const struct pg_result *rows, struct round *round)
{
    int column = 0;
    *round = (struct round){0};
    (void)snprintf(round->id_text, sizeof round->id_text, "%s", pg_text(rows, 0, column++));
    (void)uuid_parse(round->id_text, &round->id);
    round->number = pg_i64(rows, 0, column++);
    round->phase = round_phase_of(pg_text(rows, 0, column++));
    round->held = pg_bool(rows, 0, column++);
    round->size_rule = pg_bool(rows, 0, column++);
    round->bots = pg_bool(rows, 0, column++);
    int64_t *const numbers[] = {
        &round->seed,       &round->next_n,       &round->seed_cash,    &round->tick,        &round->price_min,
        &round->price_max,  &round->open_ms,      &round->setup_at_ms,  &round->opens_at_ms, &round->closes_at_ms,
        &round->next_at_ms, &round->closed_at_ms, &round->ranked_at_ms,
    };
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        *numbers[i] = pg_i64(rows, 0, column++);
}

static bool load_companies(struct pg_tx *tx, struct arena *arena, struct round *round, struct err *err)
{
    AUTO(pg_result) rows = pg_tx_query(tx, &COMPANIES, PARAMS(PG_TEXT(round->id_text)), err);
    if (!rows)
        return false;
    for (int row = 0; row < pg_rows(rows) && row < MARKET_COMPANIES_MAX; row++) {
        struct company *company = &round->companies[round->company_count++];
        (void)snprintf(company->id_text, sizeof company->id_text, "%s", pg_text(rows, row, 0));
        (void)uuid_parse(company->id_text, &company->id);
        company->index = (int)pg_i64(rows, row, 1);
        company->name = arena_text(arena, pg_text(rows, row, 2));
        company->name_en = arena_text(arena, pg_text(rows, row, 3));
        company->business = arena_text(arena, pg_text(rows, row, 4));
        company->initial_price = pg_i64(rows, row, 5);
        company->last_price = pg_i64(rows, row, 6);
        company->bot_sent_n = pg_i64(rows, row, 7);
    }
    return true;
}

bool store_round_load(struct pg_tx *tx, struct arena *arena, const struct uuid *id, struct round *round,
                      struct err *err)
{
    char id_text[UUID_TEXT_BYTES];
    uuid_format(id, id_text);
    AUTO(pg_result) rows = pg_tx_query(tx, &LOAD, PARAMS(PG_TEXT(id_text)), err);
    if (!rows)
        return false;
    if (!pg_rows(rows))
        return err_set(err, &ERR_NOT_FOUND, "no such round");
    round_of(rows, round);
    return load_companies(tx, arena, round, err);
}

bool store_round_lock(struct pg_tx *tx, struct arena *arena, struct round *round, int64_t *now_ms, bool *found,
                      struct err *err)
{
    enum { NOW_COLUMN = 19 };
    AUTO(pg_result) rows = pg_tx_query(tx, &LOCK, NO_PARAMS, err);
    if (!rows)
        return false;
    *found = pg_rows(rows) == 1;
    if (!*found)
        return true;
    round_of(rows, round);
    *now_ms = pg_i64(rows, 0, NOW_COLUMN);
    return load_companies(tx, arena, round, err);
}

bool store_round_wanted(struct pg_tx *tx, bool *wanted, int64_t *number, int64_t *now_ms, struct err *err)
{
    if (!pg_tx_exec(tx, &ONE_BEGINS, NO_PARAMS, NULL, err))
        return false;
    AUTO(pg_result) row = pg_tx_query(tx, &WANTED, NO_PARAMS, err);
    if (!row)
        return false;
    *wanted = pg_bool(row, 0, 0);
    *number = pg_i64(row, 0, 1);
    *now_ms = pg_i64(row, 0, 2);
    return true;
}

static bool insert_company(struct pg_tx *tx, const struct round *round, const struct company *company, struct err *err)
{
    return pg_tx_exec(tx, &INSERT_COMPANY,
                      PARAMS(PG_TEXT(company->id_text), PG_TEXT(round->id_text), PG_I64(company->index),
                             PG_TEXT(company->name), PG_TEXT(company->name_en), PG_TEXT(company->business),
                             PG_I64(company->initial_price), PG_I64(company->bot_sent_n)),
                      NULL, err);
}

bool store_round_insert(struct pg_tx *tx, const struct round *round, struct err *err)
{
    if (!pg_tx_exec(tx, &INSERT,
                    PARAMS(PG_TEXT(round->id_text), PG_I64(round->number), PG_TEXT(round_phase_name(round->phase)),
                           PG_BOOL(round->held), PG_BOOL(round->size_rule), PG_BOOL(round->bots), PG_I64(round->seed),
                           PG_I64(round->next_n), PG_I64(round->seed_cash), PG_I64(round->tick),
                           PG_I64(round->price_min), PG_I64(round->price_max), PG_I64(round->open_ms),
                           time_param(round->setup_at_ms), time_param(round->opens_at_ms),
                           time_param(round->closes_at_ms), time_param(round->next_at_ms)),
                    NULL, err))
        return false;
    for (int i = 0; i < round->company_count; i++)
        if (!insert_company(tx, round, &round->companies[i], err))
            return false;
    return pg_tx_exec(tx, &INSERT_PROGRESS, PARAMS(PG_TEXT(round->id_text), PG_I64(round->company_count)), NULL, err);
}

bool store_round_change(struct pg_tx *tx, const struct round *round, struct err *err)
{
    return pg_tx_exec(tx, &CHANGE,
                      PARAMS(PG_TEXT(round->id_text), PG_TEXT(round_phase_name(round->phase)), PG_BOOL(round->held),
                             PG_I64(round->next_n), time_param(round->opens_at_ms), time_param(round->closes_at_ms),
                             time_param(round->next_at_ms), time_param(round->closed_at_ms),
                             time_param(round->ranked_at_ms)),
                      NULL, err);
}

bool store_company_sent(struct pg_tx *tx, const struct company *company, struct err *err)
{
    return pg_tx_exec(tx, &SENT, PARAMS(PG_TEXT(company->id_text), PG_I64(company->bot_sent_n)), NULL, err);
}

bool store_news_add(struct pg_tx *tx, const struct round *round, int64_t number, const struct news_draw *draw,
                    struct err *err)
{
    return pg_tx_exec(tx, &ADD_NEWS,
                      PARAMS(PG_TEXT(round->id_text), PG_I64(number), PG_TEXT(round->companies[draw->company].id_text),
                             PG_TEXT(draw->line->code), PG_I64(draw->weight)),
                      NULL, err);
}

bool store_news_find(struct pg_tx *tx, const struct round *round, int64_t number, int *company, int64_t *weight,
                     bool *found, struct err *err)
{
    AUTO(pg_result) row = pg_tx_query(tx, &FIND_NEWS, PARAMS(PG_TEXT(round->id_text), PG_I64(number)), err);
    if (!row)
        return false;
    *found = pg_rows(row) == 1;
    if (*found) {
        *company = (int)pg_i64(row, 0, 0);
        *weight = pg_i64(row, 0, 1);
    }
    return true;
}
