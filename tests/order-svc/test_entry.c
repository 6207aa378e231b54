/* The parts of the sending path that need no store: what Prefer says, ids of orders, the markets that an instance
 * knows, times, and verdicts - those compared with what the real engine says of the same order afterwards. */
#include "../../match-svc/book.h"
#include "clock.h"
#include "codec.h"
#include "entry.h"
#include "mem.h"
#include "problems.h"
#include "test.h"
#include "verdict.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Prefer ---- */

TEST(prefer_is_read_as_rfc_7240_has_it, "S-26")
{
    static const struct {
        const char *header;
        bool async;
        int wait_ms;
    } CASES[] = {
        {NULL, false, 2000},
        {"", false, 2000},
        {"wait=5", false, 5000},
        {"wait=10", false, 10000},
        {"wait=11", false, 10000},
        {"wait=9999", false, 10000},
        {"wait=99999", false, 2000}, /* not read: too long */
        {"wait=0", true, 0},
        {"respond-async", true, 2000},
        {"Respond-Async, WAIT=3", true, 3000},
        {"return=minimal; x=\"y\", wait=7 ; a=b,respond-async", true, 7000},
        {"respond-async; q=1", true, 2000},
        {"respond-asynchronously", false, 2000},
        {"wait=-1", false, 2000},
        {"wait=", false, 2000},
        {"wait=1x", false, 2000},
        {"wait", false, 2000},
        {",,, ;;, wait=1", false, 1000},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        const struct entry_wish wish = entry_wish(CASES[i].header);
        test_check(wish.async == CASES[i].async && wish.wait_ms == CASES[i].wait_ms, __FILE__, __LINE__,
                   "Prefer: %s is %d, %d ms", CASES[i].header, wish.async, wish.wait_ms);
    }
}

/* ---- ids ---- */

TEST(ids_of_orders_are_uuid7_that_grow_and_end_as_their_market, "S-36")
{
    struct err err = {0};
    AUTO(pending) pending = pending_open(16, &err);
    AUTO(entry) entry = entry_open(pending, true, &err);
    AUTO(entry) other = entry_open(pending, true, &err);
    REQUIRE(entry && other);
    const struct uuid market = {"0123456789abcdef"};
    char last[UUID_TEXT_BYTES] = "", text[UUID_TEXT_BYTES];
    for (int i = 0; i < 10000; i++) {
        const int64_t ticket = entry_ticket(entry);
        const struct uuid id = entry_order_id(entry, ticket, &market), same = entry_order_id(entry, ticket, &market);
        const struct uuid others = entry_order_id(other, ticket, &market);
        EXPECT(ticket > 0 && memcmp(&id, &same, sizeof id) == 0 && memcmp(&id, &others, sizeof id) != 0);
        EXPECT(memcmp(id.bytes + CATALOG_TAG_AT, market.bytes + CATALOG_TAG_AT, 2) == 0);
        uuid_format(&id, text);
        const int64_t age_ms = clock_now_ms() - uuid_time_ms(text);
        EXPECT(age_ms >= 0 && age_ms < 60000 && id.bytes[8] >> 6 == 2);
        EXPECT(strcmp(last, text) < 0 || i % 4096 == 0); /* 12 bits of the counter stand behind the time */
        memcpy(last, text, sizeof text);
    }
}

/* ---- the catalog ---- */

static struct uuid numbered(unsigned char kind, int number)
{
    struct uuid id = {{kind}};
    id.bytes[14] = (unsigned char)(number >> 8);
    id.bytes[15] = (unsigned char)number;
    return id;
}

static void tell(struct catalog *catalog, int number, enum market_event_kind kind, int64_t at_ms)
{
    AUTO_STR record;
    str_init(&record);
    const struct uuid market = numbered('m', number);
    struct market_event event = {.kind = kind};
    if (kind == MARKET_OPENED) {
        event.opened = (struct market_rules){10000000,
                                             10000,
                                             10000,
                                             10000000,
                                             false,
                                             2,
                                             {{numbered('a', number), 200000}, {numbered('b', number), 300000}}};
    }
    market_events_begin(&record, &market, 0, at_ms, 1);
    market_events_add(&record, &event);
    catalog_hear(catalog, 3, (struct view){record.bytes, record.length});
}

TEST(the_catalog_finds_markets_by_company_by_order_and_the_newest, "S-26")
{
    AUTO(catalog) catalog = catalog_open();
    struct catalog_market market;
    int index = -1;
    const struct uuid company = numbered('b', 1), order = numbered('o', 1), nobody = numbered('x', 9);
    EXPECT(!catalog_current(catalog, &market) && !catalog_of_company(catalog, &company, &market, NULL));
    tell(catalog, 1, MARKET_OPENED, 1000);
    REQUIRE(catalog_of_company(catalog, &company, &market, &index));
    EXPECT(index == 1 && market.partition == 3 && market.phase == PHASE_SET_UP && market.rules.tick == 10000);
    EXPECT(catalog_of_order(catalog, &order, &market) && !catalog_of_order(catalog, &nobody, &market));
    tell(catalog, 1, MARKET_STARTED, 2000);
    tell(catalog, 2, MARKET_OPENED, 3000);
    REQUIRE(catalog_current(catalog, &market));
    EXPECT_I64(3000, market.opened_ms);
    REQUIRE(catalog_of_company(catalog, &company, &market, NULL));
    EXPECT(market.phase == PHASE_OPEN && market.started_ms == 2000);
    tell(catalog, 1, MARKET_CLOSED, 4000);
    /* What the schema says later, and behind, takes nothing back. */
    const struct catalog_market behind = {.id = market.id, .phase = PHASE_SET_UP, .opened_ms = 1000};
    catalog_learn(catalog, &behind);
    REQUIRE(catalog_of_id(catalog, &market.id, &market));
    EXPECT(market.phase == PHASE_CLOSED && market.closed_ms == 4000 && market.rules.company_count == 2);
}

TEST(the_catalog_is_bounded_and_keeps_the_newest, "I9")
{
    AUTO(catalog) catalog = catalog_open();
    struct catalog_market market;
    for (int i = 1; i <= 1000; i++)
        tell(catalog, i, MARKET_OPENED, i * 1000);
    tell(catalog, 5000, MARKET_OPENED, 500); /* an old one is not taken for a new one */
    const struct uuid oldest = numbered('m', 1000 - CATALOG_MARKETS_MAX),
                      kept = numbered('m', 1001 - CATALOG_MARKETS_MAX), old = numbered('m', 5000);
    EXPECT(!catalog_of_id(catalog, &oldest, &market) && catalog_of_id(catalog, &kept, &market) &&
           !catalog_of_id(catalog, &old, &market));
    REQUIRE(catalog_current(catalog, &market));
    EXPECT_I64(1000 * 1000, market.opened_ms);
}

TEST(two_markets_that_end_alike_are_told_apart_by_the_schema_only, "I9")
{
    AUTO(catalog) catalog = catalog_open();
    struct catalog_market market, twin;
    tell(catalog, 7, MARKET_OPENED, 1000);
    const struct uuid order = numbered('o', 7), id = numbered('m', 7);
    REQUIRE(catalog_of_id(catalog, &id, &twin));
    twin.id.bytes[0] = 'n';
    catalog_learn(catalog, &twin);
    EXPECT(!catalog_of_order(catalog, &order, &market));
}

TEST(records_that_are_none_change_nothing, "I9")
{
    AUTO(catalog) catalog = catalog_open();
    struct catalog_market market;
    catalog_hear(catalog, 0, (struct view){NULL, 0});
    catalog_hear(catalog, 0, VIEW("\x01"));
    AUTO_STR record;
    str_init(&record);
    const struct uuid id = numbered('m', 1);
    const struct market_event event = {.kind = MARKET_STARTED};
    market_events_begin(&record, &id, 0, 1, 1);
    market_events_add(&record, &event);
    catalog_hear(catalog, 0, (struct view){record.bytes, record.length}); /* started, and never heard of */
    catalog_hear(catalog, 0, (struct view){record.bytes, record.length - 1});
    EXPECT(!catalog_current(catalog, &market));
}

/* ---- times ---- */

TEST(times_are_rfc_3339_in_utc_and_days_that_exist, "S-43")
{
    static const struct {
        const char *text;
        int64_t at_ms; /* -1: none */
    } CASES[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-31T23:59:59Z", 1769903999000},
        {"2026-01-31T23:59:59.5Z", 1769903999500},
        {"2026-01-31T23:59:59.123456789Z", 1769903999123},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"2026-02-29T00:00:00Z", -1},
        {"2026-00-01T00:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-01-32T00:00:00Z", -1},
        {"2026-01-01T24:00:00Z", -1},
        {"2026-01-01T00:60:00Z", -1},
        {"2026-01-01T00:00:60Z", -1},
        {"2026-01-01T00:00:00", -1},
        {"2026-01-01T00:00:00+09:00", -1},
        {"2026-01-01 00:00:00Z", -1},
        {"2026-01-01T00:00:00.Z", -1},
        {"2026-01-01T00:00:00.1234567890Z", -1},
        {"2026-01-01T00:00:00ZZ", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"", -1},
        {"2026", -1},
        {"20260101", -1},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        int64_t at_ms = -1;
        const bool ok = codec_time(CASES[i].text, &at_ms);
        test_check(ok == (CASES[i].at_ms >= 0) && (!ok || at_ms == CASES[i].at_ms), __FILE__, __LINE__, "%s is %lld",
                   CASES[i].text, (long long)at_ms);
    }
}

/* ---- verdicts ---- */

static void add_event(void *payload, const struct market_event *event)
{
    market_events_add(payload, event);
}

/* The command's record as the owner would tell it, decoded into the arena. */
static bool apply(struct book *book, struct arena *arena, const struct market_command *command,
                  struct market_events *events)
{
    AUTO_STR record;
    str_init(&record);
    struct err err = {0};
    market_events_begin(&record, &command->market, 0, 1000, book_seq(book) + 1);
    book_apply(book, command, 1000, add_event, &record);
    return market_events_decode(arena, (struct view){arena_bytes(arena, record.bytes, record.length), record.length},
                                events, &err);
}

static struct market_command random_place(int64_t n)
{
    struct market_command command = {.kind = MARKET_PLACE, .market = numbered('m', 1), .source = 1, .n = (uint64_t)n};
    struct market_order *order = &command.order;
    order->order_id = numbered('o', (int)n);
    order->account = numbered('p', (int)(test_random() % 5));
    order->side = (uint8_t)(test_random() % 2);
    order->type = test_random() % 4 ? TYPE_LIMIT : TYPE_MARKET;
    order->tif = (uint8_t)(order->type == TYPE_MARKET ? TIF_IOC : test_random() % 3);
    order->price = order->type == TYPE_MARKET ? 0 : (int64_t)(18 + test_random() % 5) * 10000;
    order->quantity = (int64_t)(1 + test_random() % 12);
    return command;
}

TEST(a_verdict_is_what_the_engine_says_of_the_order_when_it_is_asked_again, "S-32 S-37")
{
    const struct book_limits limits = {100000, 100};
    struct book *book = book_open(&limits);
    AUTO(arena) arena = arena_open(64 << 20);
    struct market_events events;
    const struct market_command open = {
        .kind = MARKET_OPEN,
        .market = numbered('m', 1),
        .source = 2,
        .n = 1,
        .open = {1000000000000, 10000, 10000, 10000000, false, 1, {{numbered('c', 1), 200000}}}};
    const struct market_command start = {.kind = MARKET_START, .market = numbered('m', 1), .source = 2, .n = 2};
    REQUIRE(apply(book, arena, &open, &events) && apply(book, arena, &start, &events));
    const struct market_command deposit = {
        .kind = MARKET_DEPOSIT,
        .market = numbered('m', 1),
        .source = 2,
        .n = 3,
        .deposit = {numbered('d', 1), numbered('h', 1), 1000000000000, 1, {1000000}}};
    REQUIRE(apply(book, arena, &deposit, &events));
    int64_t seen[ORDER_STATUSES] = {0}, n = 0;
    for (int i = 0; i < 3000; i++) {
        struct verdict first, again;
        struct err err = {0};
        arena_reset(arena);
        struct market_command command = random_place(++n);
        if (i % 7 == 0) { /* the house sells, and never buys: its own order at the top would end each of its others */
            command.order.account = numbered('h', 1);
            command.order.side = SIDE_SELL;
            command.order.bot = true;
        }
        REQUIRE(apply(book, arena, &command, &events));
        REQUIRE_OK(verdict_of(&events, &first, &err), &err);
        command.n = (uint64_t)++n;
        REQUIRE(apply(book, arena, &command, &events));
        REQUIRE_OK(verdict_of(&events, &again, &err), &err);
        EXPECT(again.repeated && !first.repeated && first.status == again.status && first.reason == again.reason);
        EXPECT(first.filled == again.filled && first.remaining == again.remaining && first.paid == again.paid);
        EXPECT(first.refused == again.refused && memcmp(&first.order_id, &again.order_id, sizeof first.order_id) == 0);
        EXPECT(first.refused == (verdict_problem(first.reason) != NULL));
        seen[first.status]++;
    }
    for (int status = ORDER_OPEN; status < ORDER_STATUSES; status++)
        test_check(seen[status] > 10, __FILE__, __LINE__, "only %lld orders ended as %d", (long long)seen[status],
                   status);
    book_release(&book);
}

TEST(every_reason_is_a_problem_or_an_end, "S-26")
{
    for (int reason = REASON_NONE + 1; reason < REASONS; reason++) {
        const struct problem *problem = verdict_problem((enum market_reason)reason);
        const bool ends = reason == REASON_FILLED || reason == REASON_CANCELLED || reason == REASON_UNFILLED ||
                          reason == REASON_SELF_TRADE || reason == REASON_ROUND_CLOSED;
        EXPECT((problem == NULL) == ends);
        if (problem)
            EXPECT_TEXT(market_reason_name((enum market_reason)reason), problem->code);
    }
    EXPECT(verdict_problem(REASONS) == NULL && verdict_problem(REASON_NONE) == NULL);
}

TEST(a_record_without_a_verdict_is_an_error_not_a_guess, "I9")
{
    struct market_event none = {.kind = MARKET_STARTED};
    const struct market_events events = {.count = 1, .events = &none};
    struct verdict verdict;
    struct err err = {0};
    int64_t count;
    EXPECT(!verdict_of(&events, &verdict, &err));
    EXPECT_PROBLEM("internal", &err);
    EXPECT(!verdict_of_all(&events, &count, &err));
}
