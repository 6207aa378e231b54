/* News lines, their weights, and the orders that follow them: S-23 and S-24. */
#include "bot.h"
#include "news.h"
#include "test.h"

#include <stdlib.h>

enum { DRAWS = 60000 };

TEST(ten_bad_and_ten_good_lines_with_words_in_two_languages, "S-23 S-24")
{
    int bad = 0, good = 0;
    for (int i = 0; i < NEWS_LINES_COUNT; i++) {
        const struct news_line *line = &NEWS_LINES[i];
        bad += line->mean < 0;
        good += line->mean > 0;
        EXPECT(*line->ko && *line->en && line->spread >= 100 && line->spread <= 400);
        EXPECT(news_find(line->code) == line);
    }
    EXPECT_I64(10, bad);
    EXPECT_I64(10, good);
    EXPECT(!news_find("nothing_new"));
    EXPECT_I64(-2000, news_find("accounting_fraud")->mean);
    EXPECT_I64(3700, news_find("record_sales")->mean);
    EXPECT_I64(100, news_find("self_driving")->spread);
}

TEST(a_text_is_company_and_line, "S-23")
{
    AUTO_STR text;
    str_init(&text);
    news_text_en(&text, "Dodam Electronics", news_find("recall"));
    EXPECT_TEXT("Dodam Electronics: it recalls its products", text.bytes);
    str_clear(&text);
    news_text_ko(&text, "도담전자", news_find("recall"));
    EXPECT_TEXT("도담전자: 제품을 대규모로 회수합니다", text.bytes);
}

TEST(every_company_and_every_line_comes_alike, "S-23")
{
    int companies[3] = {0}, lines[NEWS_LINES_COUNT] = {0};
    for (int64_t n = 0; n < DRAWS; n++) {
        const struct news_draw draw = news_draw(3, n, 3);
        companies[draw.company]++;
        lines[draw.line - NEWS_LINES]++;
    }
    for (int i = 0; i < 3; i++)
        EXPECT(companies[i] > 19000 && companies[i] < 21000);
    for (int i = 0; i < NEWS_LINES_COUNT; i++)
        EXPECT(lines[i] > 2700 && lines[i] < 3300);
}

TEST(weights_spread_around_the_mean_of_their_line_and_keep_its_sign, "S-24")
{
    int64_t sums[NEWS_LINES_COUNT] = {0}, counts[NEWS_LINES_COUNT] = {0}, squares[NEWS_LINES_COUNT] = {0};
    for (int64_t n = 0; n < DRAWS; n++) {
        const struct news_draw draw = news_draw(11, n, 3);
        const int64_t i = draw.line - NEWS_LINES, size = llabs(draw.weight), off = draw.weight - draw.line->mean;
        REQUIRE((draw.weight < 0) == (draw.line->mean < 0));
        REQUIRE(size >= NEWS_WEIGHT_LEAST && size <= NEWS_WEIGHT_MOST);
        sums[i] += draw.weight;
        squares[i] += off * off;
        counts[i]++;
    }
    for (int i = 0; i < NEWS_LINES_COUNT; i++) {
        const struct news_line *line = &NEWS_LINES[i];
        EXPECT(llabs(sums[i] / counts[i] - line->mean) < 30);
        const int64_t variance = squares[i] / counts[i], meant = (int64_t)line->spread * line->spread;
        EXPECT(variance > meant * 85 / 100 && variance < meant * 115 / 100);
    }
}

struct sums {
    int64_t with, against, shares, largest_with, largest_against;
};

static struct sums orders_of(int64_t weight, int64_t strength)
{
    struct sums sums = {0};
    for (int64_t n = 0; n < DRAWS; n++) {
        const struct news_order order = news_order(5, n / NEWS_ORDERS, weight, (int)(n % NEWS_ORDERS), strength);
        const bool with = (order.side == SIDE_BUY) == (weight > 0);
        int64_t *largest = with ? &sums.largest_with : &sums.largest_against;
        sums.with += with;
        sums.against += !with;
        sums.shares += with ? order.quantity : 0;
        *largest = order.quantity > *largest ? order.quantity : *largest;
        EXPECT(order.quantity >= 1);
        EXPECT(order.bot >= 1 && order.bot <= BOT_TRADERS);
    }
    return sums;
}

TEST(nine_orders_of_ten_go_with_the_news_bad_or_good, "S-23")
{
    const int64_t weights[] = {NEWS_WEIGHT_PLAIN, -NEWS_WEIGHT_PLAIN};
    for (int i = 0; i < 2; i++) {
        const struct sums sums = orders_of(weights[i], 100);
        EXPECT(sums.with > DRAWS * 89 / 100 && sums.with < DRAWS * 91 / 100);
        EXPECT(sums.largest_with <= 22); /* 18 shares, 1.2 times for the hasty */
        EXPECT(sums.largest_with >= 18);
        EXPECT(sums.largest_against <= 11 && sums.largest_against >= 8);
    }
}

TEST(a_heavier_line_moves_more_shares_which_the_seed_promised_and_did_not, "S-24")
{
    const struct sums plain = orders_of(NEWS_WEIGHT_PLAIN, 100), heavy = orders_of(2 * NEWS_WEIGHT_PLAIN, 100),
                      light = orders_of(-NEWS_WEIGHT_PLAIN / 2, 100), strong = orders_of(NEWS_WEIGHT_PLAIN, 300);
    EXPECT(heavy.shares > plain.shares * 18 / 10 && heavy.shares < plain.shares * 21 / 10);
    EXPECT(light.shares < plain.shares * 6 / 10);
    EXPECT(strong.shares > plain.shares * 27 / 10 && strong.shares < plain.shares * 31 / 10);
    EXPECT_I64(plain.largest_against, heavy.largest_against); /* who goes against it does not weigh it */
}

TEST(six_orders_by_three_temperaments_the_hasty_one_first, "S-23")
{
    int64_t shares[BOT_TRADERS + 1] = {0};
    for (int64_t n = 0; n < 5000; n++)
        for (int order = 0; order < NEWS_ORDERS; order++) {
            const struct news_order drawn = news_order(8, n, -1700, order, 100);
            EXPECT_I64(1 + order / 2, drawn.bot);
            shares[drawn.bot] += drawn.quantity;
        }
    EXPECT(shares[1] > shares[2] && shares[2] > shares[3]);
}

TEST(players_have_3_to_5_seconds_before_the_first_order, "S-24")
{
    bool early = false, late = false;
    for (int64_t n = 0; n < 5000; n++) {
        const int64_t delay_ms = news_delay_ms(4, n, 3000);
        REQUIRE(delay_ms >= 3000 && delay_ms <= 5000);
        early |= delay_ms < 3200;
        late |= delay_ms > 4800;
    }
    EXPECT(early && late);
    EXPECT_I64(0, news_delay_ms(4, 1, 0));
}
