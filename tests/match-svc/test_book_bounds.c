/* What bounds the book: records that always fit, how many orders and accounts there may be, the ends of 64 bits, and
 * what viewers are shown. */
#include "book_kit.h"
#include "test.h"

static struct uuid numbered(char kind, int number)
{
    struct uuid id = {{(unsigned char)kind}};
    (void)snprintf((char *)id.bytes + 1, sizeof id.bytes - 1, "%08d", number);
    return id;
}

static bool open_market(struct pair *pair, int64_t seed_cash, int64_t tick)
{
    struct market_command open = {.kind = MARKET_OPEN}, start = {.kind = MARKET_START};
    open.open.seed_cash = seed_cash;
    open.open.tick = open.open.price_min = tick;
    open.open.price_max = tick * 1000;
    open.open.company_count = 1;
    open.open.companies[0] = (struct market_company){numbered('c', 0), tick};
    return pair_apply(pair, &open) && pair_apply(pair, &start);
}

static bool deposit(struct pair *pair, int number, int64_t cash, int64_t shares)
{
    struct market_command command = {.kind = MARKET_DEPOSIT};
    command.deposit.deposit_id = numbered('d', number);
    command.deposit.account = numbered('b', 0);
    command.deposit.cash = cash;
    command.deposit.company_count = 1;
    command.deposit.shares[0] = shares;
    return pair_apply(pair, &command);
}

static struct market_command order_of(int number, struct uuid account, int side, int64_t price, int64_t quantity)
{
    struct market_command command = {.kind = MARKET_PLACE};
    command.order.order_id = numbered('o', number);
    command.order.account = account;
    command.order.bot = account.bytes[0] == 'b';
    command.order.side = (uint8_t)side;
    command.order.type = price ? TYPE_LIMIT : TYPE_MARKET;
    command.order.price = price;
    command.order.quantity = quantity;
    command.order.client_order_id = (struct view){"", 0};
    return command;
}

static bool place(struct pair *pair, int number, struct uuid account, int side, int64_t price, int64_t quantity)
{
    struct market_command command = order_of(number, account, side, price, quantity);
    return pair_apply(pair, &command);
}

static struct market_event last_event(const struct pair *pair)
{
    struct market_event event = {0};
    struct market_events events;
    struct err err = {0};
    struct arena *arena = arena_open(64 << 20);
    if (market_events_decode(arena, (struct view){pair->ours.bytes, pair->ours.length}, &events, &err) && events.count)
        event = events.events[events.count - 1];
    arena_release(&arena);
    return event;
}

TEST(one_order_takes_from_so_many_that_its_record_fits, "I10 S-36")
{
    struct pair pair = pair_open(10000, 10);
    struct err err = {0};
    REQUIRE(open_market(&pair, 1000000, 10) && deposit(&pair, 0, 0, 10000));
    for (int i = 0; i < MARKET_FILLS_MAX + 1; i++)
        REQUIRE(place(&pair, i, numbered('b', 0), SIDE_SELL, 10, 1));
    REQUIRE(place(&pair, 9000, numbered('a', 0), SIDE_BUY, 10, MARKET_FILLS_MAX + 1));
    EXPECT(pair.ours.length <= MARKET_RECORD_MAX);
    const struct market_event event = last_event(&pair);
    EXPECT_I64(MARKET_DONE, event.kind);
    EXPECT_I64(REASON_UNFILLED, event.order.reason);
    EXPECT_I64(MARKET_FILLS_MAX, event.order.filled);
    EXPECT(place(&pair, 9001, numbered('a', 0), SIDE_BUY, 10, 1) && last_event(&pair).order.reason == REASON_FILLED);
    EXPECT(book_check(pair.book, &err));
    pair_close(&pair);
}

TEST(one_account_has_so_many_open_orders_that_its_cancel_all_fits, "I10 S-10")
{
    struct pair pair = pair_open(10000, 10);
    struct err err = {0};
    REQUIRE(open_market(&pair, 10000000, 10));
    for (int i = 0; i < MARKET_OPEN_ORDERS_MAX; i++)
        REQUIRE(place(&pair, i, numbered('a', 0), SIDE_BUY, 10 * (1 + i % 100), 1));
    REQUIRE(place(&pair, 9000, numbered('a', 0), SIDE_BUY, 10, 1));
    EXPECT_I64(REASON_OVERFLOW, last_event(&pair).order.reason);
    struct market_command all = {.kind = MARKET_CANCEL_ALL, .cancel_all = {numbered('a', 0)}};
    REQUIRE(pair_apply(&pair, &all));
    EXPECT(pair.ours.length <= MARKET_RECORD_MAX);
    EXPECT_I64(MARKET_OPEN_ORDERS_MAX, last_event(&pair).cancelled_all.count);
    EXPECT(place(&pair, 9000, numbered('a', 0), SIDE_BUY, 10, 1) && last_event(&pair).kind == MARKET_ACCEPTED);
    EXPECT(book_check(pair.book, &err));
    pair_close(&pair);
}

TEST(a_close_tells_every_account_in_one_record, "I10 S-17")
{
    const struct book_limits limits = {30000, 1000000};
    struct pair pair = {.book = book_open(&limits)}; /* the engine alone: the model would take long */
    struct market_command command = {.kind = MARKET_OPEN, .source = 1, .n = 1};
    struct err err = {0};
    str_init(&pair.ours);
    command.open.seed_cash = 1000;
    command.open.tick = command.open.price_min = command.open.price_max = 10;
    command.open.company_count = 1;
    command.open.companies[0].initial_price = 10;
    market_events_begin(&pair.ours, &KIT_MARKET, 0, 0, 1);
    book_apply(pair.book, &command, 0, pair_ours, &pair);
    command = (struct market_command){.kind = MARKET_START, .source = 1, .n = 2};
    book_apply(pair.book, &command, 0, pair_ours, &pair);
    for (int i = 0; i <= MARKET_ACCOUNTS_MAX; i++) {
        command = order_of(i, numbered('a', MARKET_ACCOUNTS_MAX - i), SIDE_BUY, 10, 1);
        command.source = 1;
        command.n = (uint64_t)i + 3;
        str_clear(&pair.ours);
        market_events_begin(&pair.ours, &KIT_MARKET, 0, 0, 1);
        book_apply(pair.book, &command, 0, pair_ours, &pair);
    }
    EXPECT_I64(1, pair.reasons[REASON_OVERFLOW]);
    command = (struct market_command){.kind = MARKET_CLOSE, .source = 1, .n = UINT64_MAX};
    str_clear(&pair.ours);
    market_events_begin(&pair.ours, &KIT_MARKET, 0, 0, 1);
    book_apply(pair.book, &command, 0, pair_ours, &pair);
    EXPECT(pair.ours.length <= MARKET_RECORD_MAX);
    struct arena *arena = arena_open(64 << 20);
    struct market_events events;
    int64_t accounts = 0;
    bool sorted = true;
    struct uuid before = {{0}};
    if (test_check(market_events_decode(arena, (struct view){pair.ours.bytes, pair.ours.length}, &events, &err),
                   __FILE__, __LINE__, "%s", err.message))
        for (uint32_t i = 0; i < events.count; i++)
            for (uint32_t j = 0; events.events[i].kind == MARKET_ACCOUNTS && j < events.events[i].accounts.count; j++) {
                const struct market_account *account = &events.events[i].accounts.accounts[j];
                sorted = sorted && memcmp(&before, &account->account, sizeof before) < 0 && account->cash == 1000;
                before = account->account;
                accounts++;
            }
    EXPECT_I64(MARKET_ACCOUNTS_MAX, accounts);
    EXPECT(sorted);
    EXPECT(book_check(pair.book, &err));
    arena_release(&arena);
    book_release(&pair.book);
    str_free(&pair.ours);
}

TEST(orders_and_accounts_beyond_the_limits_are_refused, "I9")
{
    struct pair pair = pair_open(3, 2);
    REQUIRE(open_market(&pair, 1000, 10));
    EXPECT(place(&pair, 0, numbered('a', 0), SIDE_BUY, 10, 1) && last_event(&pair).kind == MARKET_ACCEPTED);
    EXPECT(place(&pair, 1, numbered('a', 1), SIDE_BUY, 10, 1) && last_event(&pair).kind == MARKET_ACCEPTED);
    EXPECT(place(&pair, 2, numbered('a', 2), SIDE_BUY, 10, 1) && last_event(&pair).order.reason == REASON_OVERFLOW);
    EXPECT(place(&pair, 3, numbered('a', 1), SIDE_BUY, 10, 1) && last_event(&pair).kind == MARKET_ACCEPTED);
    EXPECT(place(&pair, 4, numbered('a', 1), SIDE_BUY, 10, 1) && last_event(&pair).order.reason == REASON_OVERFLOW);
    EXPECT(deposit(&pair, 0, 1, 1) && last_event(&pair).order.reason == REASON_OVERFLOW);
    pair_close(&pair);
}

TEST(nothing_passes_the_ends_of_64_bits, "I3 S-20 S-38")
{
    struct pair pair = pair_open(100, 100);
    struct err err = {0};
    const int64_t tick = INT64_C(1) << 40;
    REQUIRE(open_market(&pair, INT64_MAX / 2, tick));
    EXPECT(place(&pair, 0, numbered('a', 0), SIDE_BUY, tick, 1) && last_event(&pair).kind == MARKET_ACCEPTED);
    EXPECT(place(&pair, 1, numbered('a', 1), SIDE_BUY, tick, 1) && last_event(&pair).kind == MARKET_ACCEPTED);
    /* A third seed would make more money than can be told. */
    EXPECT(place(&pair, 2, numbered('a', 2), SIDE_BUY, tick, 1) && last_event(&pair).order.reason == REASON_OVERFLOW);
    EXPECT(deposit(&pair, 0, INT64_MAX, 0) && last_event(&pair).order.reason == REASON_OVERFLOW);
    EXPECT(deposit(&pair, 1, 0, INT64_MAX) && last_event(&pair).order.reason == REASON_OVERFLOW);
    EXPECT(deposit(&pair, 2, 0, 1) && last_event(&pair).order.reason == REASON_OVERFLOW);
    EXPECT(deposit(&pair, 3, 1, 0) && last_event(&pair).kind == MARKET_DEPOSITED);
    EXPECT(deposit(&pair, 4, 1, 0) && last_event(&pair).order.reason == REASON_OVERFLOW);
    /* 8,388 x 1,000 x 2^40 does not fit, 8,387 does (and is more than the account has). */
    EXPECT(place(&pair, 3, numbered('a', 0), SIDE_BUY, tick * 1000, 8389) &&
           last_event(&pair).order.reason == REASON_OVERFLOW);
    EXPECT(place(&pair, 4, numbered('a', 0), SIDE_BUY, tick * 1000, 8388) &&
           last_event(&pair).order.reason == REASON_INSUFFICIENT_CASH);
    EXPECT(place(&pair, 5, numbered('a', 0), SIDE_BUY, 0, MARKET_QUANTITY_MAX) &&
           last_event(&pair).order.reason == REASON_OVERFLOW);
    EXPECT(book_check(pair.book, &err));
    pair_close(&pair);
}

TEST(depth_shows_levels_best_first, "S-32")
{
    struct pair pair = pair_open(1000, 10);
    struct book_depth depth;
    REQUIRE(open_market(&pair, 1000000, 10) && deposit(&pair, 0, 0, 1000));
    EXPECT(book_is_open(pair.book) && book_companies(pair.book) == 1);
    for (int i = 0; i < 80; i++)
        REQUIRE(place(&pair, i, numbered('b', 0), SIDE_SELL, 1000 + 10 * (i % 70), 2) &&
                place(&pair, 100 + i, numbered('a', 0), SIDE_BUY, 900 - 10 * (i % 70), 3));
    EXPECT(book_company_changed(pair.book, 0) && !book_company_changed(pair.book, 0));
    book_depth_of(pair.book, 0, 1000, &depth);
    EXPECT_I64(64, depth.bid_count);
    EXPECT_I64(64, depth.ask_count);
    EXPECT(depth.bids[0].price == 900 && depth.bids[0].quantity == 6 && depth.bids[0].orders == 2 &&
           depth.bids[1].price == 890);
    EXPECT(depth.asks[0].price == 1000 && depth.asks[63].price == 1630 && depth.asks[63].orders == 1);
    EXPECT(depth.high == 0 && depth.low == 0 && depth.volume == 0 && depth.last_price == 10 &&
           depth.initial_price == 10);
    REQUIRE(place(&pair, 500, numbered('a', 1), SIDE_BUY, 0, 5));
    EXPECT(book_company_changed(pair.book, 0));
    book_depth_of(pair.book, 0, 1, &depth);
    EXPECT(depth.high == 1010 && depth.low == 1000 && depth.volume == 5 && depth.last_price == 1010 &&
           depth.bid_count == 1);
    EXPECT(depth.asks[0].price == 1010 && depth.asks[0].quantity == 3 && !depth.halted);
    pair_close(&pair);
}

/* Levels far apart, so that the search passes whole words of both bitmaps. */
TEST(the_next_level_is_found_however_far_it_is, "S-32")
{
    struct pair pair = pair_open(1000, 10);
    struct market_command open = {.kind = MARKET_OPEN}, start = {.kind = MARKET_START};
    struct err err = {0};
    static const int64_t PRICES[] = {1, 2, 63, 64, 65, 128, 4095, 4096, 4097, 30000, 61440, 65535, 65536};
    open.open.seed_cash = 10000000;
    open.open.tick = open.open.price_min = 1;
    open.open.price_max = MARKET_LEVELS_MAX;
    open.open.company_count = 1;
    open.open.companies[0].initial_price = 1;
    REQUIRE(pair_apply(&pair, &open) && pair_apply(&pair, &start) && deposit(&pair, 0, 0, 100));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < (int)ARRAY_LENGTH(PRICES); i++)
            REQUIRE(place(&pair, round * 100 + i, round ? numbered('a', 0) : numbered('b', 0),
                          round ? SIDE_BUY : SIDE_SELL, PRICES[i], 1));
        EXPECT(book_check(pair.book, &err));
        REQUIRE(place(&pair, round * 100 + 50, round ? numbered('b', 0) : numbered('a', 0),
                      round ? SIDE_SELL : SIDE_BUY, 0, 20));
        EXPECT_I64(ARRAY_LENGTH(PRICES), last_event(&pair).order.filled);
        EXPECT(book_check(pair.book, &err));
    }
    pair_close(&pair);
}
