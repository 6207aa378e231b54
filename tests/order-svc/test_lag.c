/* How many records wait for settlement, when one offset may be many of them. */
#include "lag.h"
#include "test.h"

TEST(nothing_waits_before_anything_is_known, "S-26")
{
    struct lag lag = {0};
    EXPECT_I64(0, lag_behind(&lag, 0));
    EXPECT_I64(0, lag_behind(&lag, 5));
    lag_heard(&lag, 10, 12, 2);
    EXPECT_I64(0, lag_behind(&lag, 0));
}

TEST(a_bundle_waits_with_all_its_records, "S-26")
{
    struct lag lag = {0};
    lag_heard(&lag, 10, 11, 300);
    lag_heard(&lag, 11, 12, 1);
    lag_heard(&lag, 12, 14, 80);
    EXPECT_I64(381, lag_behind(&lag, 10));
    EXPECT_I64(81, lag_behind(&lag, 11));
    EXPECT_I64(80, lag_behind(&lag, 12));
    EXPECT_I64(80, lag_behind(&lag, 13)); /* within what was heard at a time: rather too many */
    EXPECT_I64(0, lag_behind(&lag, 14));
    EXPECT_I64(0, lag_behind(&lag, 20)); /* settlement hears sooner than the listener */
    lag_heard(&lag, 14, 15, 7);
    EXPECT_I64(7, lag_behind(&lag, 14));
}

TEST(what_stood_there_before_the_first_record_heard_counts_by_messages, "S-26")
{
    struct lag lag = {0};
    lag_heard(&lag, 1000, 1001, 50);
    EXPECT_I64(50 + 900, lag_behind(&lag, 100));
    EXPECT_I64(50, lag_behind(&lag, 1000));
}

TEST(a_long_backlog_is_never_taken_for_less_and_ends_at_nothing, "S-26")
{
    enum { HEARD = 50000 };
    struct lag lag = {0};
    int64_t before = 0, most_above = 0;
    for (int64_t i = 0; i < HEARD; i++)
        lag_heard(&lag, i + 1, i + 2, (size_t)(1 + i % 7));
    EXPECT(lag.mark_count <= LAG_MARKS_MAX && lag.mark_count > LAG_MARKS_MAX / 4);
    for (int64_t i = 0; i < HEARD; i += 97) {
        const int64_t said = lag_behind(&lag, i + 1), waits = lag.records - before;
        EXPECT(said >= waits);
        most_above = said - waits > most_above ? said - waits : most_above;
        for (int64_t j = i; j < i + 97; j++)
            before += 1 + j % 7;
    }
    EXPECT(most_above > 0 && most_above <= lag.records * 3 / LAG_MARKS_MAX * 2);
    EXPECT_I64(0, lag_behind(&lag, HEARD + 1));
    lag_heard(&lag, HEARD + 1, HEARD + 2, 3);
    lag_heard(&lag, HEARD + 2, HEARD + 3, 4);
    EXPECT_I64(7, lag_behind(&lag, HEARD + 1));
    EXPECT_I64(4, lag_behind(&lag, HEARD + 2));
}

TEST(the_end_is_nothing_though_records_came_between_two_marks, "S-26")
{
    struct lag lag = {0};
    for (int64_t i = 0; i < 4 * LAG_MARKS_MAX; i++)
        lag_heard(&lag, i + 1, i + 2, 10);
    lag_heard(&lag, 4 * LAG_MARKS_MAX + 1, 4 * LAG_MARKS_MAX + 2, 1);
    EXPECT(lag.mark_step > 1);
    EXPECT_I64(0, lag_behind(&lag, 4 * LAG_MARKS_MAX + 2));
}
