/* The arithmetic of the clock: S-12 to S-16, and what late steps do. */
#include "companies.h"
#include "round.h"
#include "test.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };
#define MIDNIGHT (INT64_C(20000) * 24 * 60 * MINUTE)

static const struct round_lengths USUAL = {MINUTE, 5 * MINUTE, 6 * MINUTE, false},
                                  ALIGNED = {MINUTE, 5 * MINUTE, 6 * MINUTE, true};

TEST(a_round_is_1_minute_of_set_up_5_of_trading_and_6_of_pause, "S-12 S-13 S-15 S-16")
{
    struct round round = {0};
    round_plan(&round, &USUAL, MIDNIGHT + 1234);
    EXPECT_I64(MIDNIGHT + 1234, round.setup_at_ms);
    EXPECT_I64(round.setup_at_ms + MINUTE, round.opens_at_ms);
    EXPECT_I64(round.opens_at_ms + 5 * MINUTE, round.closes_at_ms);
    EXPECT_I64(round.closes_at_ms + 6 * MINUTE, round.next_at_ms);
}

TEST(aligned_rounds_begin_at_0_12_24_36_and_48_past_the_hour, "S-12")
{
    for (int64_t minute = 0; minute < 60; minute += 12) {
        struct round round = {0};
        round_plan(&round, &ALIGNED, MIDNIGHT + minute * MINUTE + 20);
        EXPECT_I64(MIDNIGHT + (minute + 1) * MINUTE, round.opens_at_ms);
        EXPECT_I64(MIDNIGHT + (minute + 6) * MINUTE, round.closes_at_ms);
        EXPECT_I64(MIDNIGHT + (minute + 12) * MINUTE, round.next_at_ms);
    }
}

TEST(an_aligned_round_that_comes_late_opens_with_the_next_one, "S-12 S-18")
{
    struct round round = {0};
    round_plan(&round, &ALIGNED, MIDNIGHT + 59 * SECOND);
    EXPECT_I64(MIDNIGHT + MINUTE, round.opens_at_ms);
    round_plan(&round, &ALIGNED, MIDNIGHT + MINUTE);
    EXPECT_I64(MIDNIGHT + 13 * MINUTE, round.opens_at_ms);
    EXPECT_I64(MIDNIGHT + MINUTE, round.setup_at_ms);
}

TEST(a_late_start_keeps_the_length_of_trading, "S-16 S-18")
{
    struct round round = {0};
    round_plan(&round, &USUAL, MIDNIGHT);
    round_start(&round, false, round.opens_at_ms + 300);
    EXPECT_I64(MIDNIGHT + MINUTE, round.opens_at_ms); /* that is not late */
    EXPECT_I64(PHASE_OPEN, round.phase);
    round_start(&round, false, MIDNIGHT + 10 * MINUTE);
    EXPECT_I64(MIDNIGHT + 10 * MINUTE, round.opens_at_ms);
    EXPECT_I64(MIDNIGHT + 15 * MINUTE, round.closes_at_ms);
    EXPECT_I64(MIDNIGHT + 21 * MINUTE, round.next_at_ms);
    round_plan(&round, &ALIGNED, MIDNIGHT);
    round_start(&round, true, MIDNIGHT + 3 * MINUTE);
    EXPECT_I64(MIDNIGHT + 6 * MINUTE, round.closes_at_ms); /* the clock on the wall decides */
    struct round held = {.held = true, .opens_at_ms = MIDNIGHT};
    round_start(&held, true, MIDNIGHT + MINUTE);
    EXPECT_I64(0, held.closes_at_ms);
    EXPECT_I64(MIDNIGHT + MINUTE, held.opens_at_ms);
}

TEST(the_time_left_is_told_every_15_seconds_until_the_phase_ends, "S-13 S-14 S-15")
{
    const int64_t end_ms = MIDNIGHT + 5 * MINUTE;
    int told = 0;
    int64_t last_ms = 0;
    for (int64_t at = MIDNIGHT; (at = round_next_countdown_ms(end_ms, 15 * SECOND, at)); told++) {
        EXPECT_I64(0, (end_ms - at) % (15 * SECOND));
        EXPECT(at > last_ms);
        last_ms = at;
    }
    EXPECT_I64(19, told); /* 285, 270 ... 15 */
    EXPECT_I64(end_ms - 15 * SECOND, last_ms);
    EXPECT_I64(0, round_next_countdown_ms(end_ms, 15 * SECOND, end_ms));
    EXPECT_I64(0, round_next_countdown_ms(end_ms, 15 * SECOND, end_ms + MINUTE));
    EXPECT_I64(end_ms - 15 * SECOND, round_next_countdown_ms(end_ms, 15 * SECOND, end_ms - 15 * SECOND - 1));
}

TEST(news_come_28_times_in_a_round_every_10_seconds, "S-14")
{
    struct round round = {0};
    round_plan(&round, &USUAL, MIDNIGHT);
    int64_t at = round.opens_at_ms, number = 0;
    for (int64_t next; (next = round_news_at_ms(&round, number + 1, 10 * SECOND, at)); at = next) {
        EXPECT_I64(round.opens_at_ms + ++number * 10 * SECOND, next);
    }
    EXPECT_I64(28, number);
    EXPECT(at < round.closes_at_ms - 15 * SECOND);
}

TEST(late_news_are_told_one_after_the_other_and_none_when_it_is_too_late, "S-14 S-18")
{
    struct round round = {0};
    round_plan(&round, &USUAL, MIDNIGHT);
    const int64_t now_ms = round.opens_at_ms + 100 * SECOND;
    EXPECT_I64(now_ms + 2500, round_news_at_ms(&round, 3, 10 * SECOND, now_ms)); /* the clock was away for 70 s */
    EXPECT_I64(0, round_news_at_ms(&round, 3, 10 * SECOND, round.closes_at_ms - 17 * SECOND));
    struct round held = {.held = true, .open_ms = 5 * MINUTE, .opens_at_ms = MIDNIGHT};
    EXPECT_I64(MIDNIGHT + 1000 * 10 * SECOND, round_news_at_ms(&held, 1000, 10 * SECOND, MIDNIGHT));
}

TEST(refills_that_were_missed_are_left_out, "S-14 S-22")
{
    struct round round = {0};
    round_plan(&round, &USUAL, MIDNIGHT);
    const int64_t opens_ms = round.opens_at_ms;
    EXPECT_I64(opens_ms + 2 * SECOND, round_next_refill_ms(&round, 2 * SECOND, opens_ms));
    EXPECT_I64(opens_ms + 4 * SECOND, round_next_refill_ms(&round, 2 * SECOND, opens_ms + 2 * SECOND + 15));
    EXPECT_I64(opens_ms + 62 * SECOND, round_next_refill_ms(&round, 2 * SECOND, opens_ms + 61 * SECOND));
    EXPECT_I64(round.closes_at_ms - 2 * SECOND,
               round_next_refill_ms(&round, 2 * SECOND, round.closes_at_ms - 4 * SECOND));
    EXPECT_I64(0, round_next_refill_ms(&round, 2 * SECOND, round.closes_at_ms - 2 * SECOND));
}

TEST(ids_of_orders_carry_the_number_of_their_command, "S-37")
{
    struct round round = {0}, other = {0};
    uuid_new(round.id_text);
    (void)uuid_parse(round.id_text, &round.id);
    uuid_new(other.id_text);
    (void)uuid_parse(other.id_text, &other.id);
    EXPECT(round_source(&round) != round_source(&other));
    EXPECT(round_source(&round) == round_source(&round) && round_source(&round) != 0);
    char before[UUID_TEXT_BYTES] = "";
    const int64_t numbers[] = {1, 2, 255, 256, 65536, 4000000000};
    for (size_t i = 0; i < 6; i++) {
        const struct uuid id = round_command_id(&round, numbers[i]), elsewhere = round_command_id(&other, numbers[i]);
        char text[UUID_TEXT_BYTES];
        uuid_format(&id, text);
        EXPECT_I64(numbers[i], round_command_n(&id));
        EXPECT_I64(uuid_time_ms(round.id_text), uuid_time_ms(text));
        EXPECT(memcmp(&id, &elsewhere, sizeof id) != 0);
        EXPECT(strcmp(before, text) < 0);
        memcpy(before, text, sizeof before);
    }
}

TEST(the_rules_of_a_round_are_rules_that_a_market_takes, "S-19 S-20")
{
    struct round round = {.seed_cash = 10000000,
                          .tick = PRICE_UNIT,
                          .price_min = PRICE_UNIT,
                          .price_max = PRICE_MAX,
                          .company_count = MARKET_COMPANIES_MAX};
    struct company_draw draws[MARKET_COMPANIES_MAX];
    companies_draw(1, MARKET_COMPANIES_MAX, draws);
    for (int i = 0; i < MARKET_COMPANIES_MAX; i++)
        round.companies[i] = (struct company){.index = i, .initial_price = draws[i].price};
    const struct market_command open = {.kind = MARKET_OPEN, .source = 1, .n = 1, .open = round_rules(&round)};
    AUTO_STR bytes;
    str_init(&bytes);
    market_command_encode(&bytes, &open);
    struct market_command again;
    struct err err = {0};
    REQUIRE_OK(market_command_decode((struct view){bytes.bytes, bytes.length}, &again, &err), &err);
    EXPECT_I64(MARKET_COMPANIES_MAX, again.open.company_count);
}
