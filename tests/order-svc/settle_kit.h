/* settle_kit.h - for the tests of settlement: a schema, a market with the real engine behind it, its records as the
 * owner would tell them, batches of them for settlement, and what the engine holds to compare with. For tests only. */
#ifndef MADANG_TESTS_ORDER_SETTLE_KIT_H
#define MADANG_TESTS_ORDER_SETTLE_KIT_H

#include "../../match-svc/book_internal.h"
#undef NONE /* a name that others have, too */
#include "clock.h"
#include "mem.h"
#include "migrate.h"
#include "settle.h"
#include "test.h"
#include "test_store.h"
#include "topics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct migration ORDER_MIGRATIONS[];

enum { KIT_SEED_CASH = 10000000, KIT_TICK = 10000, KIT_COMPANIES = 3, KIT_ACCOUNTS = 12 };

/* ---- the schema, one for the program ---- */

struct kit {
    struct pg_pool *db;
    struct settle *settle;
    struct kafka_producer *producer;
    const char *topic; /* of the records; market.events as far as the schema knows, no broker holds them */
    int64_t offset;    /* of the next record of the partition */
    int64_t now_ms;
};

static void kit_stop(bool ok, const char *what, const struct err *err)
{
    if (ok)
        return;
    printf("%s: %s %s %s\n", what, err->problem ? err->problem->code : "", err->message, err->detail);
    exit(1);
}

__attribute__((unused)) static struct kit *kit_open(void)
{
    static struct kit kit;
    if (kit.db)
        return &kit;
    struct err err = {0};
    kit.db = test_pool("orders", 4);
    kit_stop(migrate_up(kit.db, ORDER_MIGRATIONS, &err), "migrate", &err);
    kit.producer = kafka_producer_open(test_env("KAFKA_BROKERS"), "test", &err);
    kit_stop(kit.producer != NULL, "producer", &err);
    kit.settle = settle_open(kit.db, test_env("KAFKA_BROKERS"), kit.producer);
    kit.now_ms = clock_now_ms();
    kit.topic = TOPIC_MARKET_EVENTS;
    return &kit;
}

/* ---- a market: the engine and what it told ---- */

struct told {
    char *bytes;
    size_t length;
    int64_t at_ms;
};

struct round {
    struct uuid market;
    char id[UUID_TEXT_BYTES];
    struct uuid companies[KIT_COMPANIES], people[KIT_ACCOUNTS]; /* the first is the bot */
    struct book *book;
    uint64_t n;
    struct told *told;
    size_t count, room;
    struct str record; /* of the command at work */
    size_t settled;    /* records that were handed over */
};

static struct uuid kit_id(void)
{
    char text[UUID_TEXT_BYTES];
    struct uuid id;
    uuid_new(text);
    (void)uuid_parse(text, &id);
    return id;
}

static void round_tell(void *payload, const struct market_event *event)
{
    market_events_add(&((struct round *)payload)->record, event);
}

/* One command through the engine; its record joins the list, when there is one. */
__attribute__((unused)) static void round_do(struct kit *kit, struct round *round, struct market_command *command)
{
    command->market = round->market;
    command->source = 7;
    command->n = ++round->n;
    kit->now_ms += 1 + (int64_t)(test_random() % 300);
    str_clear(&round->record);
    const int64_t first = book_seq(round->book) + 1;
    market_events_begin(&round->record, &round->market, (int64_t)round->n, kit->now_ms, first);
    book_apply(round->book, command, kit->now_ms, round_tell, round);
    if (book_seq(round->book) < first)
        return;
    if (round->count == round->room) {
        round->room = round->room ? round->room * 2 : 256;
        round->told = mem_grow(round->told, round->room, sizeof *round->told);
    }
    struct told *told = &round->told[round->count++];
    *told = (struct told){mem_new(1, round->record.length), round->record.length, kit->now_ms};
    memcpy(told->bytes, round->record.bytes, round->record.length);
}

static struct round *round_open_as(struct kit *kit, struct uuid market)
{
    static const struct book_limits LIMITS = {1000000, 1000};
    struct round *round = MEM_NEW(round);
    round->market = market;
    uuid_format(&round->market, round->id);
    round->book = book_open(&LIMITS);
    str_init(&round->record);
    struct market_command open = {
        .kind = MARKET_OPEN,
        .open = {KIT_SEED_CASH, KIT_TICK, KIT_TICK, 1000 * KIT_TICK, false, KIT_COMPANIES, {{{{0}}, 0}}}};
    for (int i = 0; i < KIT_COMPANIES; i++) {
        round->companies[i] = kit_id();
        open.open.companies[i] = (struct market_company){round->companies[i], (10 + 2 * i) * KIT_TICK};
    }
    for (int i = 0; i < KIT_ACCOUNTS; i++)
        round->people[i] = kit_id();
    round_do(kit, round, &open);
    return round;
}

__attribute__((unused)) static struct round *round_open(struct kit *kit)
{
    return round_open_as(kit, kit_id());
}

__attribute__((unused)) static void round_release(struct round *round)
{
    for (size_t i = 0; i < round->count; i++)
        free(round->told[i].bytes);
    free(round->told);
    str_free(&round->record);
    book_release(&round->book);
    free(round);
}

__attribute__((unused)) static void round_simple(struct kit *kit, struct round *round, enum market_command_kind kind)
{
    round_do(kit, round, &(struct market_command){.kind = kind});
}

__attribute__((unused)) static void round_deposit(struct kit *kit, struct round *round)
{
    struct market_command command = {
        .kind = MARKET_DEPOSIT,
        .deposit = {kit_id(), round->people[0], INT64_C(10000000000), KIT_COMPANIES, {100000, 100000, 100000}}};
    round_do(kit, round, &command);
}

/* The order's id. */
__attribute__((unused)) static struct uuid round_place(struct kit *kit, struct round *round, int who, int company,
                                                       int side, int64_t quantity, int64_t price)
{
    struct market_command command = {.kind = MARKET_PLACE,
                                     .order = {.order_id = kit_id(),
                                               .account = round->people[who],
                                               .company = (uint8_t)company,
                                               .side = (uint8_t)side,
                                               .type = price ? TYPE_LIMIT : TYPE_MARKET,
                                               .bot = who == 0,
                                               .price = price,
                                               .quantity = quantity,
                                               .client_order_id = {"", 0}}};
    round_do(kit, round, &command);
    return command.order.order_id;
}

__attribute__((unused)) static void round_cancel(struct kit *kit, struct round *round, int who, struct uuid order)
{
    round_do(kit, round,
             &(struct market_command){
                 .kind = MARKET_CANCEL,
                 .order = {.order_id = order, .account = round->people[who], .client_order_id = {"", 0}}});
}

__attribute__((unused)) static void round_amend(struct kit *kit, struct round *round, int who, struct uuid order,
                                                int64_t price, int64_t quantity)
{
    round_do(kit, round,
             &(struct market_command){.kind = MARKET_AMEND,
                                      .order = {.order_id = order,
                                                .account = round->people[who],
                                                .price = price,
                                                .quantity = quantity,
                                                .client_order_id = {"", 0}}});
}

/* ---- settling ---- */

/* The records [from, to) of the round as a batch at the next offsets. */
__attribute__((unused)) static bool kit_settle_range(struct kit *kit, const struct round *round, size_t from, size_t to,
                                                     struct err *err)
{
    struct kafka_record *records = mem_new(to - from + 1, sizeof *records);
    for (size_t i = from; i < to; i++)
        records[i - from] = (struct kafka_record){.offset = kit->offset + (int64_t)(i - from),
                                                  .timestamp_ms = round->told[i].at_ms,
                                                  .key = view_of(round->id),
                                                  .payload = {round->told[i].bytes, round->told[i].length}};
    const struct kafka_batch batch = {.topic = kit->topic, .records = records, .count = to - from};
    const bool ok = settle_batch(kit->settle, &batch, err);
    if (ok)
        kit->offset += (int64_t)(to - from);
    free(records);
    return ok;
}

/* What was told and not yet handed over. */
__attribute__((unused)) static bool kit_settle(struct kit *kit, struct round *round)
{
    struct err err = {0};
    const bool ok = round->settled == round->count || kit_settle_range(kit, round, round->settled, round->count, &err);
    round->settled = round->count;
    return test_check(ok, __FILE__, __LINE__, "settle: %s %s %s", err.problem ? err.problem->code : "", err.message,
                      err.detail);
}

/* ---- looking ---- */

/* One number; $1.. of the text are the round's market. */
#define KIT_NUMBER(...) atoll(test_sql(__VA_ARGS__))

/* The row of an account: cash, then shares of each company, then what its open buys reserve. */
static const struct pg_statement KIT_ACCOUNT = {
    "kit_account",
    "SELECT a.cash, (SELECT coalesce(sum(o.price * o.remaining), 0) FROM orders o WHERE o.market_id = a.market_id AND "
    "o.user_id = a.user_id AND o.status = 'open' AND o.side = 'buy'), (SELECT array_agg(coalesce(h.quantity, 0) ORDER "
    "BY "
    "c.index) FROM companies c LEFT JOIN holdings h ON h.company_id = c.id AND h.user_id = a.user_id WHERE c.market_id "
    "= "
    "a.market_id)::text[] FROM accounts a WHERE a.market_id = $1 AND a.user_id = $2"};

static void round_compare_account(const struct kit *kit, const struct round *round, const struct account *account)
{
    char user[UUID_TEXT_BYTES];
    struct err err = {0};
    uuid_format(&account->id, user);
    AUTO(arena) arena = arena_open(65536);
    AUTO(pg_result) row = pg_query(kit->db, &KIT_ACCOUNT, PARAMS(PG_TEXT(round->id), PG_TEXT(user)), &err);
    REQUIRE_OK(row != NULL, &err);
    if (!pg_rows(row)) { /* refused only */
        EXPECT_I64(account->bot ? 0 : KIT_SEED_CASH, account->cash + account->cash_reserved);
        return;
    }
    EXPECT_I64(account->cash + account->cash_reserved, pg_i64(row, 0, 0));
    EXPECT_I64(account->cash_reserved, pg_i64(row, 0, 1));
    const struct texts shares = pg_texts(row, 0, 2, arena);
    for (size_t i = 0; i < shares.count; i++)
        EXPECT_I64(account->shares[i].available + account->shares[i].reserved, atoll(shares.items[i]));
}

/* Our accounts, holdings, open orders and figures are the engine's. */
__attribute__((unused)) static void round_compare(const struct kit *kit, const struct round *round)
{
    const struct book *book = round->book;
    int64_t resting = 0;
    for (uint32_t ref = 0; ref < book->account_count; ref++) {
        round_compare_account(kit, round, account_at(book, ref));
        resting += account_at(book, ref)->own_count;
    }
    EXPECT_I64(resting,
               KIT_NUMBER("SELECT count(*) FROM orders WHERE market_id = '%s' AND status = 'open'", round->id));
    EXPECT_I64(book->order_count,
               KIT_NUMBER("SELECT count(*) FROM orders WHERE market_id = '%s' AND (reason IS NULL OR "
                          "reason NOT IN ('market_closed', 'halted', 'unknown_company'))",
                          round->id));
    for (int i = 0; i < KIT_COMPANIES; i++) {
        const struct company *company = &book->companies[i];
        char expected[200];
        (void)snprintf(expected, sizeof expected, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d",
                       company->last_price, company->volume, company->high, company->low, company->trades,
                       company->halted);
        EXPECT_TEXT(expected, test_sql("SELECT concat_ws(' ', last_price, volume, high, low, trades, halted::int) FROM "
                                       "companies WHERE market_id = '%s' AND index = %d",
                                       round->id, i));
        EXPECT_I64(company->volume, KIT_NUMBER("SELECT coalesce(sum(k.volume), 0) FROM candles k JOIN companies c ON "
                                               "c.id = k.company_id WHERE c.market_id = '%s' AND c.index = %d",
                                               round->id, i));
    }
    EXPECT_I64(book_seq(book), KIT_NUMBER("SELECT seq FROM markets WHERE id = '%s'", round->id));
}

/* Double entry: each event's lines sum to zero per asset, and the lines of each owner are what he has. */
__attribute__((unused)) static void round_check_ledger(const struct round *round)
{
    EXPECT_I64(0,
               KIT_NUMBER("SELECT count(*) FROM (SELECT 1 FROM ledger WHERE market_id = '%s' GROUP BY seq, company_id "
                          "HAVING sum(amount) <> 0) AS wrong",
                          round->id));
    EXPECT_I64(0,
               KIT_NUMBER("SELECT count(*) FROM accounts a WHERE a.market_id = '%s' AND a.cash IS DISTINCT FROM "
                          "coalesce((SELECT sum(amount) FROM ledger l WHERE l.market_id = a.market_id AND l.user_id = "
                          "a.user_id AND l.company_id IS NULL), 0)",
                          round->id));
    EXPECT_I64(0,
               KIT_NUMBER("SELECT count(*) FROM holdings h WHERE h.market_id = '%s' AND h.quantity IS DISTINCT FROM "
                          "coalesce((SELECT sum(amount) FROM ledger l WHERE l.market_id = h.market_id AND l.user_id = "
                          "h.user_id AND l.company_id = h.company_id), 0)",
                          round->id));
    EXPECT_I64(0,
               KIT_NUMBER("WITH fills AS (SELECT maker_order AS id, quantity, price FROM trades WHERE market_id = '%s' "
                          "UNION ALL SELECT taker_order, quantity, price FROM trades WHERE market_id = '%s'), sums AS "
                          "(SELECT id, sum(quantity) AS filled, sum(quantity * price) AS paid FROM fills GROUP BY id) "
                          "SELECT count(*) FROM orders o LEFT JOIN sums s ON s.id = o.id WHERE o.market_id = '%s' AND "
                          "(o.filled <> coalesce(s.filled, 0) OR o.paid <> coalesce(s.paid, 0))",
                          round->id, round->id, round->id));
}

#endif
