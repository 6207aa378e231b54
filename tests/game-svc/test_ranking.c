/* test_ranking.c - places, points, tiers; percent by integers. */
#include "ranking.h"
#include "ratio.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

enum { SEED = 10000000, MOST = 8 };

/* Everybody's cash in the order of their ids a, b, c ...; the places in that order, and points. */
static const struct {
    const char *why;
    int count;
    int64_t cash[MOST], place[MOST], points[MOST];
} CASES[] = {
    {"nobody", 0, {0}, {0}, {0}},
    {"alone, with a gain: no points", 1, {11000000}, {1}, {0}},
    {"alone, with a loss", 1, {9000000}, {1}, {0}},
    {"two: one gains", 2, {9000000, 11000000}, {2, 1}, {0, 100}},
    {"two: both lose: no points at all", 2, {9000000, 8000000}, {1, 2}, {0, 0}},
    {"nothing won, nothing lost is no gain", 2, {SEED, SEED}, {1, 1}, {0, 0}},
    {"three in order", 3, {12000000, 11000000, 10500000}, {1, 2, 3}, {100, 50, 30}},
    {"the fourth gets nothing", 4, {14000000, 13000000, 12000000, 11000000}, {1, 2, 3, 4}, {100, 50, 30, 0}},
    {"two firsts, then the third", 3, {12000000, 12000000, 11000000}, {1, 1, 3}, {100, 100, 30}},
    {"two seconds, then the fourth", 4, {12000000, 11000000, 11000000, 10900000}, {1, 2, 2, 4}, {100, 50, 50, 0}},
    {"three firsts take all", 4, {12000000, 12000000, 12000000, 11000000}, {1, 1, 1, 4}, {100, 100, 100, 0}},
    {"all equal", 5, {11000000, 11000000, 11000000, 11000000, 11000000}, {1, 1, 1, 1, 1}, {100, 100, 100, 100, 100}},
    {"a third place at a loss", 3, {12000000, 11000000, 9000000}, {1, 2, 3}, {100, 50, 0}},
    {"equal as told: 0.00 and 0.004 %", 2, {SEED, SEED + 400}, {1, 1}, {0, 0}},
    {"0.005 % is told as 0.01 %", 2, {SEED, SEED + 500}, {2, 1}, {0, 100}},
    {"ruined", 2, {0, 10010000}, {2, 1}, {0, 100}},
    {"all of the money there is", 2, {INT64_MAX, SEED}, {1, 2}, {100, 0}},
};

TEST(places_and_points, "S-47 S-48")
{
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct ranked list[MOST];
        memset(list, 0, sizeof list);
        for (int j = 0; j < CASES[i].count; j++) {
            list[j].user_id[0] = (char)('a' + j);
            list[j].cash = CASES[i].cash[j];
        }
        ranking_place(list, (size_t)CASES[i].count, SEED);
        for (int j = 0; j < CASES[i].count; j++) {
            const int who = list[j].user_id[0] - 'a';
            test_check(list[j].place == CASES[i].place[who] && list[j].points == CASES[i].points[who], __FILE__,
                       __LINE__, "%s: %c has place %lld and %lld points", CASES[i].why, 'a' + who,
                       (long long)list[j].place, (long long)list[j].points);
            EXPECT(j == 0 || list[j - 1].place <= list[j].place);
            EXPECT(j == 0 || list[j - 1].place != list[j].place || list[j - 1].user_id[0] < list[j].user_id[0]);
        }
    }
}

/* Whatever the numbers: the place is one more than the number of those who are better. */
TEST(a_place_counts_those_who_are_better, "S-47")
{
    enum { PEOPLE = 300, ROUNDS = 200 };
    for (int round = 0; round < ROUNDS; round++) {
        static struct ranked list[PEOPLE];
        const size_t count = 1 + test_random() % PEOPLE;
        const uint64_t spread = 1 + test_random() % 2000;
        for (size_t i = 0; i < count; i++) {
            (void)snprintf(list[i].user_id, sizeof list[i].user_id, "%05llu",
                           (unsigned long long)(test_random() % 100000));
            list[i].cash = (int64_t)(9000000 + test_random() % spread * 1000);
        }
        ranking_place(list, count, SEED);
        for (size_t i = 0; i < count; i++) {
            int64_t better = 0;
            for (size_t j = 0; j < count; j++)
                better += list[j].return_bp > list[i].return_bp;
            EXPECT_I64(better + 1, list[i].place);
            EXPECT(list[i].points == 0 || (list[i].return_bp > 0 && count >= 2 && list[i].place <= 3));
        }
    }
}

TEST(tiers_follow_the_rating, "S-48")
{
    static const struct {
        int64_t rating;
        const char *tier;
    } TIERS_OF[] = {{0, "bronze"}, {99, "bronze"},    {100, "silver"},   {199, "silver"},  {200, "gold"},
                    {299, "gold"}, {300, "platinum"}, {399, "platinum"}, {400, "diamond"}, {100000, "diamond"}};
    for (size_t i = 0; i < sizeof TIERS_OF / sizeof *TIERS_OF; i++)
        EXPECT_TEXT(TIERS_OF[i].tier, ranking_tier_name(TIERS_OF[i].rating));
}

TEST(percent_by_integers, "S-11 S-19 S-47")
{
    static const struct {
        int64_t now, base, hundredths;
        const char *text;
    } CHANGES[] = {
        {100, 100, 0, "0"},
        {101, 100, 100, "1"},
        {99, 100, -100, "-1"},
        {11230000, SEED, 1230, "12.3"},
        {10000499, SEED, 0, "0"},
        {10000500, SEED, 1, "0.01"}, /* half away from zero, both ways */
        {9999500, SEED, -1, "-0.01"},
        {9999501, SEED, 0, "0"},
        {10001500, SEED, 2, "0.02"},
        {0, SEED, -10000, "-100"},
        {210000, 200000, 500, "5"},
        {199999, 200000, 0, "0"},
        {199990, 200000, -1, "-0.01"},
        {1, 3, -6667, "-66.67"},
        {2, 3, -3333, "-33.33"},
        {INT64_MAX, 1, INT64_MAX, "92233720368547758.07"},
        {0, INT64_MAX, -10000, "-100"},
    };
    char text[RATIO_TEXT_BYTES];
    for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++) {
        EXPECT_I64(CHANGES[i].hundredths, ratio_change(CHANGES[i].now, CHANGES[i].base));
        EXPECT_TEXT(CHANGES[i].text, ratio_text(CHANGES[i].hundredths, text));
    }
    EXPECT_TEXT("-92233720368547758.08", ratio_text(INT64_MIN, text));
    EXPECT_TEXT("0.05", ratio_text(5, text));
    EXPECT_TEXT("-0.5", ratio_text(-50, text));
}
