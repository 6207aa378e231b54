/* What viewers see, as data: differences that always lead from one state to the next, the record of market.depth there
 * and back, the last trades without holes. */
#include "book.h"
#include "depth_state.h"
#include "market.h"
#include "mem.h"
#include "test.h"

#include <stdio.h>

static const struct uuid MARKET = {"the market"}, COMPANY = {"company of it"};

/* ---- differences ---- */

/* What a viewer does with a delta. */
static void patch(struct depth_side *side, bool falling, const struct depth_changes *changes)
{
    struct depth_level levels[3 * DEPTH_LEVELS];
    size_t count = 0, at = 0, change = 0;
    while (at < side->count || change < changes->count) {
        const struct depth_level *old = at < side->count ? &side->levels[at] : NULL,
                                 *new = change < changes->count ? &changes->levels[change] : NULL;
        if (!new || (old && (falling ? old->price > new->price : old->price < new->price))) {
            levels[count++] = *old;
            at++;
            continue;
        }
        if (old && old->price == new->price)
            at++;
        if (new->quantity > 0)
            levels[count++] = *new;
        change++;
    }
    side->count = count;
    memcpy(side->levels, levels, (count < DEPTH_LEVELS ? count : DEPTH_LEVELS) * sizeof levels[0]);
}

static bool same_side(const struct depth_side *a, const struct depth_side *b)
{
    return a->count == b->count && memcmp(a->levels, b->levels, a->count * sizeof a->levels[0]) == 0;
}

static bool leads_to(const struct depth_side *before, const struct depth_side *after, bool falling)
{
    struct depth_changes changes;
    struct depth_side shown = *before;
    depth_diff(before, after, falling, &changes);
    patch(&shown, falling, &changes);
    return changes.count <= ARRAY_LENGTH(changes.levels) && same_side(&shown, after) &&
           (changes.count == 0) == same_side(before, after);
}

static struct depth_side random_side(bool falling)
{
    struct depth_side side = {.count = test_random() % (DEPTH_LEVELS + 1)};
    int64_t price = 1000 + (int64_t)(test_random() % 20);
    for (size_t i = 0; i < side.count; i++) {
        price += (falling ? -1 : 1) * (1 + (int64_t)(test_random() % 3));
        side.levels[i] = (struct depth_level){price, 1 + (int64_t)(test_random() % 3)};
    }
    return side;
}

TEST(a_difference_leads_from_any_side_to_any_other, "S-42")
{
    int wrong = 0;
    for (int i = 0; i < 50000; i++) {
        const bool falling = i % 2;
        const struct depth_side before = random_side(falling), after = random_side(falling);
        wrong += !leads_to(&before, &after, falling) || !leads_to(&after, &after, falling);
    }
    EXPECT_I64(0, wrong);
}

TEST(a_difference_says_gone_as_zero, "S-42")
{
    const struct depth_side before = {2, {{500, 10}, {490, 5}}}, after = {2, {{500, 7}, {480, 1}}};
    struct depth_changes changes;
    depth_diff(&before, &after, true, &changes);
    REQUIRE(changes.count == 3);
    EXPECT_I64(500, changes.levels[0].price);
    EXPECT_I64(7, changes.levels[0].quantity);
    EXPECT_I64(490, changes.levels[1].price);
    EXPECT_I64(0, changes.levels[1].quantity);
    EXPECT_I64(480, changes.levels[2].price);
    EXPECT_I64(1, changes.levels[2].quantity);
}

/* ---- a real book ---- */

struct scene {
    struct book *book;
    uint64_t n;
    struct depth_trades trades;
    int64_t told; /* trades */
};

static void on_event(void *payload, const struct market_event *event)
{
    struct scene *scene = payload;
    if (event->kind != MARKET_TRADE)
        return;
    const struct depth_trade trade = {.number = event->trade.number,
                                      .price = event->trade.price,
                                      .quantity = event->trade.quantity,
                                      .at_ms = INT64_C(1790000000123) + (int64_t)scene->n,
                                      .taker_side = event->trade.taker_side};
    scene->told += trades_add(&scene->trades, &trade) == TRADES_MORE;
}

static void give(struct scene *scene, struct market_command *command)
{
    command->market = MARKET;
    command->source = 1;
    command->n = ++scene->n;
    book_apply(scene->book, command, 0, on_event, scene);
}

static void copy_side(struct depth_side *side, const struct book_level *levels, size_t count)
{
    side->count = count;
    for (size_t i = 0; i < count; i++)
        side->levels[i] = (struct depth_level){levels[i].price, levels[i].quantity};
}

static struct depth_state state_of(const struct scene *scene)
{
    struct book_depth depth;
    struct depth_state state = {.market = MARKET, .company = COMPANY, .seq = book_seq(scene->book)};
    book_depth_of(scene->book, 0, DEPTH_LEVELS, &depth);
    state.at_ms = INT64_C(1790000000123) + (int64_t)scene->n;
    state.phase = DEPTH_OPEN;
    state.price = depth.last_price;
    state.initial_price = depth.initial_price;
    state.volume = depth.volume;
    state.high = depth.high;
    state.low = depth.low;
    state.halted = depth.halted;
    copy_side(&state.bids, depth.bids, depth.bid_count);
    copy_side(&state.asks, depth.asks, depth.ask_count);
    state.trades = scene->trades;
    return state;
}

static struct scene scene_open(void)
{
    struct scene scene = {.book = book_open(&(struct book_limits){100000, 100})};
    struct market_command open = {.kind = MARKET_OPEN}, start = {.kind = MARKET_START};
    open.open = (struct market_rules){
        .seed_cash = INT64_C(1000000000000), .tick = 10000, .price_min = 10000, .price_max = 10000000};
    open.open.company_count = 1;
    open.open.companies[0] = (struct market_company){COMPANY, 500000};
    give(&scene, &open);
    for (int i = 0; i < 10; i++) {
        struct market_command deposit = {.kind = MARKET_DEPOSIT};
        deposit.deposit.deposit_id.bytes[0] = (unsigned char)(i + 1);
        deposit.deposit.account = (struct uuid){{'b', (unsigned char)(i + 1)}};
        deposit.deposit.cash = INT64_C(1000000000000);
        deposit.deposit.company_count = 1;
        deposit.deposit.shares[0] = 1000000;
        give(&scene, &deposit);
    }
    give(&scene, &start);
    return scene;
}

static void random_order(struct scene *scene)
{
    struct market_command place = {.kind = MARKET_PLACE};
    const uint64_t chance = test_random();
    memcpy(place.order.order_id.bytes, &scene->n, sizeof scene->n);
    place.order.account = (struct uuid){{'b', (unsigned char)(1 + chance % 10)}};
    place.order.bot = true;
    place.order.side = (chance >> 8) % 2 ? SIDE_BUY : SIDE_SELL;
    place.order.type = (chance >> 16) % 5 ? TYPE_LIMIT : TYPE_MARKET;
    const int64_t tick = (int64_t)(1 + (chance >> 24) % 110) + (place.order.side == SIDE_SELL ? 90 : 0);
    place.order.price = place.order.type == TYPE_LIMIT ? tick * 10000 : 0;
    place.order.quantity = 1 + (int64_t)((chance >> 32) % 10);
    place.order.client_order_id = (struct view){"", 0};
    give(scene, &place);
}

static bool same_state(const struct depth_state *a, const struct depth_state *b)
{
    if (a->seq != b->seq || a->at_ms != b->at_ms || a->phase != b->phase || a->price != b->price ||
        a->initial_price != b->initial_price || a->volume != b->volume || a->high != b->high || a->low != b->low ||
        a->halted != b->halted || a->trades.count != b->trades.count)
        return false;
    for (size_t i = 0; i < a->trades.count; i++) {
        const struct depth_trade *x = &a->trades.items[i], *y = &b->trades.items[i];
        if (x->number != y->number || x->price != y->price || x->quantity != y->quantity || x->at_ms != y->at_ms ||
            x->taker_side != y->taker_side)
            return false;
    }
    return memcmp(&a->market, &b->market, sizeof a->market) == 0 &&
           memcmp(&a->company, &b->company, sizeof a->company) == 0 && same_side(&a->bids, &b->bids) &&
           same_side(&a->asks, &b->asks);
}

TEST(the_states_of_a_random_market_travel_as_json_and_as_differences, "S-42 S-43")
{
    struct scene scene = scene_open();
    struct depth_state before = state_of(&scene);
    int wrong = 0;
    for (int i = 0; i < 3000; i++) {
        AUTO_STR json = {0};
        struct depth_state back;
        struct err err = {0};
        for (uint64_t orders = test_random() % 4; orders > 0; orders--)
            random_order(&scene);
        const struct depth_state after = state_of(&scene);
        depth_encode(&json, &after);
        wrong += !leads_to(&before.bids, &after.bids, true) || !leads_to(&before.asks, &after.asks, false);
        wrong += !depth_decode((struct view){json.bytes, json.length}, &back, &err) || !same_state(&after, &back);
        wrong += after.bids.count && after.asks.count && after.bids.levels[0].price >= after.asks.levels[0].price;
        before = after;
    }
    EXPECT_I64(0, wrong);
    EXPECT(scene.told > 100);
    EXPECT_I64(scene.told, trades_last(&scene.trades));
    EXPECT_I64(DEPTH_TRADES, scene.trades.count);
    EXPECT_I64(DEPTH_LEVELS, before.bids.count > before.asks.count ? before.bids.count : before.asks.count);
    book_release(&scene.book);
}

TEST(a_record_that_is_none_is_refused, "S-42")
{
    static const struct {
        const char *from, *to;
    } CHANGES[] = {
        {"\"kind\":\"depth\"", "\"kind\":\"other\""},
        {"\"v\":1", "\"v\":2"},
        {"\"phase\":\"open\"", "\"phase\":\"ajar\""},
        {"\"bids\":[[500,10],[490,5]]", "\"bids\":[[490,5],[500,10]]"},
        {"\"bids\":[[500,10],[490,5]]", "\"bids\":[[500,10],[490,0]]"},
        {"\"bids\":[[500,10],[490,5]]", "\"bids\":[[500,10],[490,5,1]]"},
        {"\"bids\":[[500,10],[490,5]]", "\"bids\":[[500,1.5]]"},
        {"\"bids\":[[500,10],[490,5]]", "\"bids\":{}"},
        {"\"number\":8", "\"number\":9"},
        {"\"taker_side\":\"sell\"", "\"taker_side\":\"both\""},
        {"\"index\":0", "\"index\":16"},
        {"\"seq\":7,", ""},
        {".123Z\",\"kind\"", ".12Z\",\"kind\""},
    };
    const struct depth_state state = {
        .market = MARKET,
        .company = COMPANY,
        .seq = 7,
        .at_ms = INT64_C(1790000000123),
        .phase = DEPTH_OPEN,
        .price = 500,
        .initial_price = 500,
        .bids = {2, {{500, 10}, {490, 5}}},
        .trades = {2, {{7, 500, 1, INT64_C(1790000000123), SIDE_BUY}, {8, 500, 1, INT64_C(1790000000123), SIDE_SELL}}}};
    AUTO_STR json = {0};
    struct depth_state back;
    struct err err = {0};
    depth_encode(&json, &state);
    REQUIRE_OK(depth_decode((struct view){json.bytes, json.length}, &back, &err), &err);
    for (size_t i = 0; i < ARRAY_LENGTH(CHANGES); i++) {
        AUTO_STR changed = {0};
        const char *at = strstr(json.bytes, CHANGES[i].from);
        if (!test_check(at != NULL, __FILE__, __LINE__, "%s is not in the record", CHANGES[i].from))
            continue;
        str_add_bytes(&changed, json.bytes, (size_t)(at - json.bytes));
        str_add(&changed, CHANGES[i].to);
        str_add(&changed, at + strlen(CHANGES[i].from));
        err_clear(&err);
        test_check(!depth_decode((struct view){changed.bytes, changed.length}, &back, &err), __FILE__, __LINE__,
                   "taken: %s", CHANGES[i].to);
        EXPECT_PROBLEM("bad_input", &err);
    }
    for (size_t length = 0; length < json.length; length++)
        EXPECT(!depth_decode((struct view){json.bytes, length}, &back, &err));
}

/* ---- trades ---- */

static struct depth_trades numbers(int64_t from, int64_t to)
{
    struct depth_trades trades = {0};
    for (int64_t number = from; number <= to; number++)
        (void)trades_add(&trades, &(struct depth_trade){.number = number, .price = number});
    return trades;
}

TEST(the_last_trades_have_no_holes_and_no_doubles, "S-43")
{
    static const struct {
        int64_t ours[2], theirs[2], then[2];
        enum trades_news news;
    } CASES[] = {
        {{1, 0}, {1, 0}, {1, 0}, TRADES_SAME},          /* nothing and nothing */
        {{1, 0}, {1, 3}, {1, 3}, TRADES_MORE},          /* the first ones */
        {{1, 0}, {30, 49}, {30, 49}, TRADES_ANOTHER},   /* there were others before */
        {{30, 49}, {30, 49}, {30, 49}, TRADES_SAME},    /* doubles */
        {{30, 49}, {20, 39}, {30, 49}, TRADES_SAME},    /* older */
        {{30, 49}, {40, 59}, {40, 59}, TRADES_MORE},    /* they overlap */
        {{30, 49}, {50, 55}, {36, 55}, TRADES_MORE},    /* they touch */
        {{30, 49}, {51, 70}, {51, 70}, TRADES_ANOTHER}, /* 50 is missing */
        {{56, 58}, {37, 56}, {39, 58}, TRADES_SAME},    /* ours began behind a hole, and theirs close it */
        {{56, 58}, {36, 55}, {39, 58}, TRADES_SAME},    /* just so */
        {{56, 58}, {35, 54}, {56, 58}, TRADES_SAME},    /* not yet */
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        struct depth_trades ours = numbers(CASES[i].ours[0], CASES[i].ours[1]);
        const struct depth_trades theirs = numbers(CASES[i].theirs[0], CASES[i].theirs[1]);
        EXPECT_I64(CASES[i].news, trades_merge(&ours, &theirs));
        EXPECT_I64(CASES[i].then[1] - CASES[i].then[0] + 1, ours.count);
        for (size_t at = 0; at < ours.count; at++)
            EXPECT_I64(CASES[i].then[0] + (int64_t)at, ours.items[at].number);
    }
}
