/* The forms of market.commands and market.events: every kind there and back, and nothing else is taken. */
#include "market.h"
#include "mem.h"
#include "test.h"

static struct uuid id_of(int n)
{
    struct uuid id;
    for (size_t i = 0; i < sizeof id.bytes; i++)
        id.bytes[i] = (unsigned char)((size_t)n * 16 + i);
    return id;
}

static struct market_command command_of(enum market_command_kind kind)
{
    struct market_command command = {
        .kind = kind, .market = id_of(1), .source = UINT64_C(0xfedcba9876543210), .n = UINT64_MAX};
    switch (kind) {
    case MARKET_OPEN:
        command.open.seed_cash = 10000000;
        command.open.tick = command.open.price_min = 10000;
        command.open.price_max = 10000000;
        command.open.size_rule = true;
        command.open.company_count = MARKET_COMPANIES_MAX;
        for (int i = 0; i < MARKET_COMPANIES_MAX; i++)
            command.open.companies[i] = (struct market_company){id_of(i), 10000 * (i + 1)};
        break;
    case MARKET_DEPOSIT:
        command.deposit.deposit_id = id_of(2);
        command.deposit.account = id_of(3);
        command.deposit.cash = INT64_MAX;
        command.deposit.company_count = 2;
        command.deposit.shares[1] = 7;
        break;
    case MARKET_PLACE:
        command.order = (struct market_order){.order_id = id_of(4),
                                              .account = id_of(5),
                                              .company = 255,
                                              .side = SIDE_SELL,
                                              .type = TYPE_MARKET,
                                              .tif = TIF_FOK,
                                              .post_only = true,
                                              .bot = true,
                                              .price = INT64_MIN,
                                              .quantity = INT64_MAX,
                                              .client_order_id = VIEW("주문-1")};
        break;
    case MARKET_AMEND:
        command.order.price = -5;
        command.order.quantity = 6;
        /* fall through */
    case MARKET_CANCEL:
        command.order.order_id = id_of(4);
        command.order.account = id_of(5);
        command.order.client_order_id = (struct view){"", 0};
        break;
    case MARKET_CANCEL_ALL:
        command.cancel_all.account = id_of(6);
        break;
    case MARKET_HALT:
        command.halt.company = 3;
        command.halt.on = true;
        break;
    default:
        break;
    }
    return command;
}

static bool order_equals(const struct market_order *a, const struct market_order *b)
{
    return memcmp(&a->order_id, &b->order_id, sizeof a->order_id) == 0 &&
           memcmp(&a->account, &b->account, sizeof a->account) == 0 && a->company == b->company && a->side == b->side &&
           a->type == b->type && a->tif == b->tif && a->post_only == b->post_only && a->bot == b->bot &&
           a->price == b->price && a->quantity == b->quantity && view_equals(a->client_order_id, b->client_order_id);
}

static bool body_equals(const struct market_command *a, const struct market_command *b)
{
    switch (a->kind) {
    case MARKET_OPEN:
        return a->open.seed_cash == b->open.seed_cash && a->open.tick == b->open.tick &&
               a->open.price_min == b->open.price_min && a->open.price_max == b->open.price_max &&
               a->open.size_rule == b->open.size_rule && a->open.company_count == b->open.company_count &&
               memcmp(a->open.companies, b->open.companies, sizeof a->open.companies) == 0;
    case MARKET_DEPOSIT:
        return memcmp(&a->deposit.deposit_id, &b->deposit.deposit_id, sizeof(struct uuid)) == 0 &&
               memcmp(&a->deposit.account, &b->deposit.account, sizeof(struct uuid)) == 0 &&
               a->deposit.cash == b->deposit.cash && a->deposit.company_count == b->deposit.company_count &&
               memcmp(a->deposit.shares, b->deposit.shares, sizeof a->deposit.shares) == 0;
    case MARKET_PLACE:
    case MARKET_AMEND:
    case MARKET_CANCEL:
        return order_equals(&a->order, &b->order);
    case MARKET_CANCEL_ALL:
        return memcmp(&a->cancel_all.account, &b->cancel_all.account, sizeof(struct uuid)) == 0;
    case MARKET_HALT:
        return a->halt.company == b->halt.company && a->halt.on == b->halt.on;
    default:
        return true;
    }
}

TEST(every_command_comes_back_as_it_went, "I1")
{
    for (int kind = MARKET_OPEN; kind < MARKET_COMMANDS; kind++) {
        const struct market_command sent = command_of((enum market_command_kind)kind);
        struct market_command got;
        struct err err = {0};
        AUTO_STR bytes;
        str_init(&bytes);
        market_command_encode(&bytes, &sent);
        REQUIRE_OK(market_command_decode((struct view){bytes.bytes, bytes.length}, &got, &err), &err);
        EXPECT(got.kind == sent.kind && got.source == sent.source && got.n == sent.n);
        EXPECT(memcmp(&got.market, &sent.market, sizeof got.market) == 0);
        EXPECT(body_equals(&sent, &got));
    }
}

/* Copies of their own size, so that a read past the end is seen by a sanitizer. */
static bool taken(const struct str *bytes, size_t length, const char *more)
{
    struct market_command command;
    struct err err = {0};
    const size_t tail = strlen(more);
    AUTO_FREE char *copy = mem_new(length + tail, 1);
    memcpy(copy, bytes->bytes, length);
    memcpy(copy + length, more, tail);
    return market_command_decode((struct view){copy, length + tail}, &command, &err) || err.problem != &ERR_BAD_INPUT;
}

TEST(a_command_cut_short_or_with_more_behind_is_refused, "I10")
{
    for (int kind = MARKET_OPEN; kind < MARKET_COMMANDS; kind++) {
        const struct market_command sent = command_of((enum market_command_kind)kind);
        AUTO_STR bytes;
        str_init(&bytes);
        market_command_encode(&bytes, &sent);
        for (size_t length = 0; length < bytes.length; length++)
            EXPECT(!taken(&bytes, length, ""));
        EXPECT(!taken(&bytes, bytes.length, "x"));
        EXPECT(taken(&bytes, bytes.length, ""));
    }
}

/* One byte of a good command is changed to what it can't be. */
TEST(enums_flags_and_texts_of_a_command_are_checked, "I10 S-26")
{
    static const struct {
        enum market_command_kind kind;
        size_t at;
        unsigned char value;
    } WRONG[] = {
        {MARKET_START, 0, 0},      {MARKET_START, 0, 2},
        {MARKET_START, 1, 0},      {MARKET_START, 1, MARKET_COMMANDS},
        {MARKET_START, 1, 255},    {MARKET_PLACE, 67, 2},
        {MARKET_PLACE, 68, 2},     {MARKET_PLACE, 69, 3},
        {MARKET_PLACE, 70, 2},     {MARKET_PLACE, 71, 2},
        {MARKET_PLACE, 88, 65},    {MARKET_PLACE, 88, 255},
        {MARKET_PLACE, 89, 0},     {MARKET_PLACE, 89, 31},
        {MARKET_PLACE, 89, 0x7f},  {MARKET_PLACE, 89, 0xff},
        {MARKET_HALT, 35, 2},      {MARKET_DEPOSIT, 73, 128},
        {MARKET_DEPOSIT, 74, 17},  {MARKET_DEPOSIT, 74, 3},
        {MARKET_DEPOSIT, 90, 255}, {MARKET_OPEN, 41, 255},
        {MARKET_OPEN, 66, 2},      {MARKET_OPEN, 67, 17},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(WRONG); i++) {
        const struct market_command sent = command_of(WRONG[i].kind);
        AUTO_STR bytes;
        str_init(&bytes);
        market_command_encode(&bytes, &sent);
        bytes.bytes[WRONG[i].at] = (char)WRONG[i].value;
        test_check(!taken(&bytes, bytes.length, ""), __FILE__, __LINE__, "wrong value %zu is taken", i);
    }
}

TEST(rules_that_fit_no_book_are_refused, "I10 S-20")
{
    struct market_command wrong[12];
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        wrong[i] = command_of(MARKET_OPEN);
    wrong[0].open.tick = 0;
    wrong[1].open.tick = -1;
    wrong[2].open.price_min = 0;
    wrong[3].open.price_min = 15000;
    wrong[4].open.price_max = 9999;
    wrong[5].open.price_max = INT64_MAX;
    wrong[6].open.company_count = 0;
    wrong[7].open.companies[0].initial_price = 5000;
    wrong[8].open.companies[0].initial_price = 10000001;
    wrong[9].open.companies[0].initial_price = 10001;
    wrong[10].open.seed_cash = -1;
    wrong[11].open.price_min = INT64_MIN;
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        AUTO_STR bytes;
        str_init(&bytes);
        market_command_encode(&bytes, &wrong[i]);
        test_check(!taken(&bytes, bytes.length, ""), __FILE__, __LINE__, "wrong rules %zu are taken", i);
    }
}

/* ---- events ---- */

static const struct market_account ACCOUNTS[] = {{{{1}}, false, 5}, {{{2}}, true, INT64_MAX}};

static struct market_event event_of(enum market_event_kind kind)
{
    struct market_event event = {.kind = kind};
    switch (kind) {
    case MARKET_OPENED:
        event.opened = command_of(MARKET_OPEN).open;
        break;
    case MARKET_ACCEPTED:
    case MARKET_REPEATED:
    case MARKET_REJECTED:
    case MARKET_AMENDED:
    case MARKET_DONE:
        event.order.order = command_of(MARKET_PLACE).order;
        event.order.remaining = -1;
        event.order.filled = 2;
        event.order.paid = 3;
        event.order.command = MARKET_AMEND;
        event.order.reason = REASON_OVERFLOW;
        event.order.kept_priority = true;
        event.order.limit = 4;
        break;
    case MARKET_TRADE:
        event.trade.company = 15;
        event.trade.taker_side = SIDE_SELL;
        event.trade.number = INT64_MAX;
        event.trade.price = 2;
        event.trade.quantity = 3;
        event.trade.maker_order = id_of(1);
        event.trade.taker_order = id_of(2);
        event.trade.maker = id_of(3);
        event.trade.taker = id_of(4);
        event.trade.maker_remaining = 5;
        break;
    case MARKET_DEPOSITED:
        event.deposit.deposit_id = id_of(1);
        event.deposit.account = id_of(2);
        event.deposit.cash = 3;
        event.deposit.company_count = 1;
        event.deposit.shares[0] = 4;
        break;
    case MARKET_HALTED:
        event.halt.company = 1;
        event.halt.on = true;
        break;
    case MARKET_CANCELLED_ALL:
        event.cancelled_all.account = id_of(1);
        event.cancelled_all.count = 2;
        break;
    case MARKET_CLOSED:
        event.closed.company_count = 2;
        event.closed.last_prices[1] = 10000;
        break;
    case MARKET_ACCOUNTS:
        event.accounts.count = ARRAY_LENGTH(ACCOUNTS);
        event.accounts.accounts = ACCOUNTS;
        break;
    case MARKET_HASH:
        event.hash.commands = UINT64_MAX;
        event.hash.hash = 1;
        break;
    default:
        break;
    }
    return event;
}

static void record_of_all(struct str *out)
{
    const struct uuid market = id_of(9);
    market_events_begin(out, &market, 77, 88, 1000);
    for (int kind = MARKET_OPENED; kind < MARKET_EVENTS; kind++) {
        const struct market_event event = event_of((enum market_event_kind)kind);
        market_events_add(out, &event);
    }
}

static bool events_taken(struct view bytes)
{
    struct arena *arena = arena_open(1 << 20);
    struct market_events events;
    struct err err = {0};
    const bool ok = market_events_decode(arena, bytes, &events, &err) || err.problem != &ERR_BAD_INPUT;
    arena_release(&arena);
    return ok;
}

TEST(every_event_comes_back_as_it_went, "I2")
{
    struct arena *arena = arena_open(1 << 20);
    struct market_events events;
    struct err err = {0};
    AUTO_STR bytes, again;
    str_init(&bytes);
    str_init(&again);
    record_of_all(&bytes);
    if (test_check(market_events_decode(arena, (struct view){bytes.bytes, bytes.length}, &events, &err), __FILE__,
                   __LINE__, "%s", err.message)) {
        EXPECT_I64(MARKET_EVENTS - 1, events.count);
        EXPECT(events.command_offset == 77 && events.at_ms == 88 && events.first_seq == 1000);
        market_events_begin(&again, &events.market, events.command_offset, events.at_ms, events.first_seq);
        for (uint32_t i = 0; i < events.count; i++) {
            EXPECT_I64(i + 1, events.events[i].kind);
            EXPECT_I64(1000 + i, events.events[i].seq);
            market_events_add(&again, &events.events[i]);
        }
        EXPECT(bytes.length == again.length && memcmp(bytes.bytes, again.bytes, bytes.length) == 0);
        const struct market_event *done = &events.events[MARKET_DONE - 1], *trade = &events.events[MARKET_TRADE - 1];
        const struct market_event sent = event_of(MARKET_DONE);
        EXPECT(order_equals(&sent.order.order, &done->order.order));
        EXPECT(done->order.filled == 2 && done->order.paid == 3 && done->order.limit == 4 && done->order.kept_priority);
        EXPECT(done->order.command == MARKET_AMEND && done->order.reason == REASON_OVERFLOW &&
               done->order.remaining == -1);
        EXPECT(trade->trade.number == INT64_MAX && trade->trade.maker_remaining == 5 &&
               trade->trade.taker_remaining == 0);
        EXPECT(events.events[MARKET_ACCOUNTS - 1].accounts.accounts[1].cash == INT64_MAX);
    }
    arena_release(&arena);
}

TEST(a_record_cut_short_or_with_more_behind_is_refused, "I10")
{
    AUTO_STR bytes;
    str_init(&bytes);
    record_of_all(&bytes);
    for (size_t length = 0; length < bytes.length; length++) {
        AUTO_FREE char *copy = mem_new(length, 1);
        memcpy(copy, bytes.bytes, length);
        EXPECT(!events_taken((struct view){copy, length}));
    }
    str_add_char(&bytes, '\0');
    EXPECT(!events_taken((struct view){bytes.bytes, bytes.length}));
}

TEST(a_count_that_lies_is_found_before_memory_is_taken, "I9 I10")
{
    AUTO_STR bytes;
    str_init(&bytes);
    record_of_all(&bytes);
    memset(bytes.bytes + 41, 0xff, 4);
    EXPECT(!events_taken((struct view){bytes.bytes, bytes.length}));
    AUTO_STR many; /* more events than the arena holds: each is one byte on the wire */
    str_init(&many);
    const struct uuid market = id_of(9);
    const struct market_event started = {.kind = MARKET_STARTED};
    market_events_begin(&many, &market, 0, 0, 1);
    for (int i = 0; i < 100000; i++)
        market_events_add(&many, &started);
    EXPECT(!events_taken((struct view){many.bytes, many.length}));
    str_reserve(&many, MARKET_RECORD_MAX);
    memset(many.bytes + many.length, MARKET_STARTED, MARKET_RECORD_MAX);
    EXPECT(!events_taken((struct view){many.bytes, MARKET_RECORD_MAX + 1}));
}

TEST(every_reason_has_a_name_of_its_own, "M-01")
{
    for (int i = 0; i < REASONS; i++)
        for (int j = 0; j < i; j++)
            EXPECT(strcmp(market_reason_name((enum market_reason)i), market_reason_name((enum market_reason)j)) != 0);
    EXPECT_TEXT("insufficient_cash", market_reason_name(REASON_INSUFFICIENT_CASH));
}
