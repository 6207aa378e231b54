/* Companies and their opening books: S-19 and S-21 over many seeds. */
#include "companies.h"
#include "test.h"

enum { SEEDS = 3000 };

TEST(three_companies_of_three_businesses_with_even_prices_from_100000_to_500000, "S-19")
{
    int seen[K_MOST + 1] = {0};
    for (int64_t seed = 0; seed < SEEDS; seed++) {
        struct company_draw companies[3];
        companies_draw(seed, 3, companies);
        for (int i = 0; i < 3; i++) {
            EXPECT_TEXT(BUSINESSES[i], companies[i].name->business);
            const int64_t k = companies[i].price / PRICE_UNIT;
            REQUIRE(companies[i].price % (2 * PRICE_UNIT) == 0 && k >= K_LEAST && k <= K_MOST);
            seen[k]++;
        }
    }
    for (int k = K_LEAST; k <= K_MOST; k += 2)
        EXPECT(seen[k] > 3 * SEEDS / 21 / 2); /* every one of the 21 prices comes, none is rare */
}

TEST(no_name_stands_twice_in_a_round, "S-19")
{
    for (int64_t seed = 0; seed < SEEDS; seed++) {
        struct company_draw companies[MARKET_COMPANIES_MAX];
        companies_draw(seed, MARKET_COMPANIES_MAX, companies);
        for (int i = 0; i < MARKET_COMPANIES_MAX; i++)
            for (int other = 0; other < i; other++)
                if (companies[i].name == companies[other].name ||
                    !strcmp(companies[i].name->name, companies[other].name->name))
                    EXPECT(!"a name comes twice");
    }
}

TEST(the_same_seed_makes_the_same_round, "S-18 S-19 S-21")
{
    struct company_draw one[3], two[3];
    struct quote book[BOOK_QUOTES_MAX], again[BOOK_QUOTES_MAX];
    companies_draw(77, 3, one);
    companies_draw(77, 3, two);
    EXPECT(memcmp(one, two, sizeof one) == 0);
    const size_t count = companies_opening_book(77, 1, one[1].price, 1000, book);
    EXPECT_I64(count, companies_opening_book(77, 1, one[1].price, 1000, again));
    for (size_t i = 0; i < count; i++)
        EXPECT(book[i].side == again[i].side && book[i].price == again[i].price &&
               book[i].quantity == again[i].quantity);
}

/* A quote at every tick of k/2..3k/2, buys below k. */
static void check_book(int64_t seed, int64_t k, int64_t factor, int64_t most)
{
    struct quote quotes[BOOK_QUOTES_MAX];
    const size_t count = companies_opening_book(seed, 0, k * PRICE_UNIT, factor, quotes);
    EXPECT_I64(k + 1, count);
    bool largest = false;
    for (size_t i = 0; i < count; i++) {
        EXPECT_I64((k / 2 + (int64_t)i) * PRICE_UNIT, quotes[i].price);
        EXPECT_I64(k / 2 + (int64_t)i < k ? SIDE_BUY : SIDE_SELL, quotes[i].side);
        EXPECT(quotes[i].quantity >= 1 && quotes[i].quantity <= most);
        largest |= quotes[i].quantity > most / 2;
    }
    EXPECT(largest);
}

TEST(an_opening_book_stands_at_every_tick_and_does_not_cross, "S-21")
{
    for (int64_t seed = 0; seed < 20; seed++) {
        check_book(seed, 10, 1000, 100);
        check_book(seed, 14, 1000, 71); /* 71.4 */
        check_book(seed, 18, 1000, 56); /* 55.6: rounded, not cut */
        check_book(seed, 50, 1000, 20);
        check_book(seed, 50, 1, 1); /* the live value of the seed: one share each */
        check_book(seed, 30, 100000, 3333);
    }
}
