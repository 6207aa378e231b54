/* The refill bot: S-22 and its defects. */
#include "bot.h"
#include "test.h"

static const struct market_rules RULES = {
    .seed_cash = 10000000, .tick = 10000, .price_min = 10000, .price_max = 10000000, .company_count = 1};

static struct chance chance_now(void)
{
    return chance_of(1, "refill", 1);
}

static size_t refill(const struct depth_state *depth, struct quote quotes[REFILL_QUOTES_MAX])
{
    struct chance chance = chance_now();
    return bot_refill(&chance, depth, &RULES, 100, quotes);
}

TEST(an_empty_book_gets_eleven_ticks_buys_below_the_price_sells_at_and_above_it, "S-22")
{
    const struct depth_state depth = {.price = 200000};
    struct quote quotes[REFILL_QUOTES_MAX];
    REQUIRE(refill(&depth, quotes) == 11);
    for (int i = 0; i < 11; i++) {
        EXPECT_I64(150000 + i * 10000, quotes[i].price);
        EXPECT_I64(i < 5 ? SIDE_BUY : SIDE_SELL, quotes[i].side);
    }
}

TEST(sizes_are_10_12_14_16_or_18_and_all_of_them_come, "S-22")
{
    const struct depth_state depth = {.price = 200000};
    int seen[19] = {0};
    for (int64_t n = 0; n < 500; n++) {
        struct chance chance = chance_of(2, "refill", n);
        struct quote quotes[REFILL_QUOTES_MAX];
        const size_t count = bot_refill(&chance, &depth, &RULES, 100, quotes);
        for (size_t i = 0; i < count; i++) {
            REQUIRE(quotes[i].quantity >= 10 && quotes[i].quantity <= 18 && quotes[i].quantity % 2 == 0);
            seen[quotes[i].quantity]++;
        }
    }
    for (int size = 10; size <= 18; size += 2)
        EXPECT(seen[size] > 900 && seen[size] < 1300);
}

TEST(ticks_with_any_order_are_left_alone, "S-22")
{
    const struct depth_state depth = {.price = 200000,
                                      .bid_count = 2,
                                      .bids = {{190000, 1}, {170000, 5}},
                                      .ask_count = 2,
                                      .asks = {{200000, 3}, {250000, 1}}};
    struct quote quotes[REFILL_QUOTES_MAX];
    const size_t count = refill(&depth, quotes);
    EXPECT_I64(7, count);
    for (size_t i = 0; i < count; i++) {
        EXPECT(quotes[i].price != 190000 && quotes[i].price != 170000);
        EXPECT(quotes[i].price != 200000 && quotes[i].price != 250000);
    }
}

TEST(prices_stay_within_the_rules_where_the_seed_had_ticks_of_zero, "S-20 S-22")
{
    struct quote quotes[REFILL_QUOTES_MAX];
    const struct depth_state low = {.price = 20000}, high = {.price = 10000000};
    size_t count = refill(&low, quotes);
    EXPECT_I64(7, count); /* 10,000 below, six from the price on */
    EXPECT_I64(10000, quotes[0].price);
    count = refill(&high, quotes);
    EXPECT_I64(6, count);
    EXPECT_I64(10000000, quotes[count - 1].price);
}

TEST(it_never_meets_an_order_and_so_never_its_own, "S-22 S-35")
{
    /* The price is where the last trade was; meanwhile both sides have moved. */
    const struct depth_state below = {.price = 200000, .ask_count = 1, .asks = {{170000, 4}}},
                             above = {.price = 200000, .bid_count = 1, .bids = {{220000, 4}}};
    struct quote quotes[REFILL_QUOTES_MAX];
    size_t count = refill(&below, quotes);
    for (size_t i = 0; i < count; i++)
        EXPECT(quotes[i].side == SIDE_SELL || quotes[i].price < 170000);
    EXPECT_I64(2 + 6, count);
    count = refill(&above, quotes);
    for (size_t i = 0; i < count; i++)
        EXPECT(quotes[i].side == SIDE_BUY || quotes[i].price > 220000);
    EXPECT_I64(5 + 3, count);
}

TEST(random_books_are_never_crossed_nor_doubled, "S-22")
{
    for (int64_t n = 0; n < 20000; n++) {
        struct chance chance = chance_of(6, "book", n);
        struct depth_state depth = {.price = chance_between(&chance, 1, 60) * 10000};
        const int64_t middle = chance_between(&chance, 1, 60);
        for (int64_t tick = middle - 1; tick > 0 && depth.bid_count < DEPTH_LEVELS_MAX; tick--)
            if (chance_happens(&chance, 500))
                depth.bids[depth.bid_count++] = (struct depth_level){tick * 10000, 1};
        for (int64_t tick = middle; tick < 100 && depth.ask_count < DEPTH_LEVELS_MAX; tick++)
            if (chance_happens(&chance, 500))
                depth.asks[depth.ask_count++] = (struct depth_level){tick * 10000, 1};
        struct quote quotes[REFILL_QUOTES_MAX];
        const size_t count = refill(&depth, quotes);
        int64_t best_bid = depth.bid_count ? depth.bids[0].price : 0,
                best_ask = depth.ask_count ? depth.asks[0].price : INT64_MAX;
        for (size_t i = 0; i < count; i++) {
            if (quotes[i].side == SIDE_BUY && quotes[i].price > best_bid)
                best_bid = quotes[i].price;
            if (quotes[i].side == SIDE_SELL && quotes[i].price < best_ask)
                best_ask = quotes[i].price;
            for (size_t level = 0; level < depth.bid_count; level++)
                EXPECT(quotes[i].price != depth.bids[level].price);
            for (size_t level = 0; level < depth.ask_count; level++)
                EXPECT(quotes[i].price != depth.asks[level].price);
        }
        REQUIRE(best_bid < best_ask);
    }
}

TEST(strength_scales_the_sizes, "S-22")
{
    const struct depth_state depth = {.price = 200000};
    struct quote plain[REFILL_QUOTES_MAX], strong[REFILL_QUOTES_MAX];
    struct chance one = chance_now(), two = chance_now();
    const size_t count = bot_refill(&one, &depth, &RULES, 100, plain);
    EXPECT_I64(count, bot_refill(&two, &depth, &RULES, 250, strong));
    for (size_t i = 0; i < count; i++)
        EXPECT_I64(plain[i].quantity * 250 / 100, strong[i].quantity);
}

TEST(the_bots_are_four_accounts_that_no_person_has, "S-21")
{
    for (int bot = 0; bot <= BOT_TRADERS; bot++) {
        const struct uuid id = bot_account(bot);
        char text[UUID_TEXT_BYTES];
        uuid_format(&id, text);
        EXPECT(bot_is_account(text));
        EXPECT_I64(0, uuid_time_ms(text));
    }
    char person[UUID_TEXT_BYTES];
    uuid_new(person);
    EXPECT(!bot_is_account(person));
    EXPECT(!bot_is_account("00000000-0000-7000-8000-00000000b004"));
    EXPECT(!bot_is_account("nobody"));
}

TEST(the_maker_can_pay_for_the_dearest_opening_book, "S-21")
{
    const int64_t factors[] = {1, 1000, 100000};
    for (int i = 0; i < 3; i++) {
        int64_t most = 0;
        for (int64_t k = K_LEAST; k <= K_MOST; k += 2) {
            int64_t sum = 0;
            for (int64_t at = k / 2; at < k; at++)
                sum += at * PRICE_UNIT * ((factors[i] + k / 2) / k + 1);
            most = sum > most ? sum : most;
        }
        EXPECT(most * MARKET_COMPANIES_MAX < bot_cash(factors[i]));
    }
}
