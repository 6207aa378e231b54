/* The chance of a round: the same numbers from the same seed, and numbers as even as they should be. */
#include "chance.h"
#include "test.h"

enum { SEEDS = 2000 };

TEST(a_stream_follows_from_seed_name_and_number_alone, "S-18 S-23")
{
    for (int64_t seed = -3; seed <= 3; seed++) {
        struct chance one = chance_of(seed, "news", 7), two = chance_of(seed, "news", 7);
        for (int i = 0; i < 100; i++)
            EXPECT(chance_next(&one) == chance_next(&two));
    }
}

TEST(other_seeds_names_and_numbers_are_other_streams, "S-23")
{
    struct chance base = chance_of(1, "news", 7), seed = chance_of(2, "news", 7), name = chance_of(1, "newt", 7),
                  number = chance_of(1, "news", 8);
    const uint64_t first = chance_next(&base);
    EXPECT(first != chance_next(&seed));
    EXPECT(first != chance_next(&name));
    EXPECT(first != chance_next(&number));
}

TEST(draws_between_two_numbers_reach_both_and_all_alike, "S-19 S-23")
{
    enum { LEAST = 12, MOST = 18, DRAWS = 70000 };
    int counts[MOST + 1] = {0};
    for (int64_t n = 0; n < DRAWS; n++) {
        struct chance chance = chance_of(42, "between", n);
        const int64_t draw = chance_between(&chance, LEAST, MOST);
        REQUIRE(draw >= LEAST && draw <= MOST);
        counts[draw]++;
    }
    /* Each 10,000 times, deviation 93. */
    for (int i = LEAST; i <= MOST; i++)
        EXPECT(counts[i] > 9500 && counts[i] < 10500);
}

TEST(the_widest_and_the_narrowest_range, "S-23")
{
    struct chance chance = chance_of(1, "range", 1);
    EXPECT_I64(5, chance_between(&chance, 5, 5));
    bool below = false, above = false;
    for (int i = 0; i < 100; i++) {
        const int64_t draw = chance_between(&chance, INT64_MIN, INT64_MAX);
        below |= draw < 0;
        above |= draw > 0;
    }
    EXPECT(below && above);
}

TEST(what_happens_nine_times_of_ten_does_so, "S-23")
{
    int happened = 0;
    for (int64_t n = 0; n < 100000; n++) {
        struct chance chance = chance_of(9, "happens", n);
        happened += chance_happens(&chance, 900);
    }
    EXPECT(happened > 89500 && happened < 90500);
    struct chance chance = chance_of(1, "never", 1);
    for (int i = 0; i < 1000; i++) {
        EXPECT(!chance_happens(&chance, 0));
        EXPECT(chance_happens(&chance, 1000));
    }
}

TEST(the_bell_has_mean_0_and_deviation_1, "S-24")
{
    int64_t sum = 0, squares = 0, within = 0;
    for (int64_t n = 0; n < 100000; n++) {
        struct chance chance = chance_of(5, "bell", n);
        const int64_t draw = chance_bell(&chance);
        REQUIRE(draw >= -6000 && draw <= 6000);
        sum += draw;
        squares += draw * draw;
        within += draw >= -1000 && draw <= 1000;
    }
    EXPECT(sum / 100000 > -15 && sum / 100000 < 15);
    EXPECT(squares / 100000 > 970000 && squares / 100000 < 1030000);
    EXPECT(within > 67000 && within < 69500); /* 68.3 of a hundred */
}
