/* Settlement against PostgreSQL: what the real engine told, in batches cut by chance, is what the engine holds. */
#include "chance_kit.h"
#include "test_metrics.h"

/* Hands over what is left in batches of any size; now and then one that fails at its end, or one a second time. */
static void settle_by_chance(struct kit *kit, struct round *round)
{
    while (round->settled < round->count) {
        const size_t left = round->count - round->settled, most = 1 + (size_t)below(below(4) ? 20 : 400);
        const size_t to = round->settled + (most < left ? most : left);
        const size_t from = round->settled > 0 ? (size_t)below((int64_t)round->settled) : 0;
        struct err err = {0};
        switch (below(4)) {
        case 0: /* the owner sends a batch of before again: doubles at new offsets */
            REQUIRE_OK(kit_settle_range(kit, round, from, round->settled, &err), &err);
            break;
        case 1: /* the same offsets again */
            if (round->settled > from) {
                kit->offset -= (int64_t)(round->settled - from);
                REQUIRE_OK(kit_settle_range(kit, round, from, round->settled, &err), &err);
            }
            break;
        case 2: /* a batch whose last record can't be settled leaves nothing behind */
            if (to + 1 < round->count) {
                struct told hidden = round->told[to];
                round->told[to] = round->told[to + 1];
                EXPECT(!kit_settle_range(kit, round, round->settled, to + 1, &err));
                EXPECT_PROBLEM("internal", &err);
                round->told[to] = hidden;
                err_clear(&err);
            }
            break;
        default:
            break;
        }
        REQUIRE_OK(kit_settle_range(kit, round, round->settled, to, &err), &err);
        round->settled = to;
    }
}

TEST(settled_in_any_cut_the_schema_is_what_the_engine_holds,
     "S-28 S-29 S-30 S-31 S-32 S-34 S-35 S-37 S-38 S-39 I1 I3 I4")
{
    struct kit *kit = kit_open();
    for (int i = 0; i < 6; i++) {
        struct round *round = some_round(kit, 150 + (int)below(900));
        settle_by_chance(kit, round);
        round_compare(kit, round);
        round_check_ledger(round);
        const int64_t before = settle_differences(kit->settle);
        round_simple(kit, round, MARKET_CLOSE);
        (void)round_place(kit, round, 1, 0, SIDE_BUY, 1, KIT_TICK * 10); /* too late */
        settle_by_chance(kit, round);
        round_compare(kit, round);
        round_check_ledger(round);
        EXPECT_I64(before, settle_differences(kit->settle));
        EXPECT_I64(0, KIT_NUMBER("SELECT differences FROM markets WHERE id = '%s'", round->id));
        EXPECT_TEXT("closed", test_sql("SELECT phase FROM markets WHERE id = '%s'", round->id));
        round_release(round);
    }
}

/* ---- one thing at a time ---- */

static struct round *open_round(struct kit *kit)
{
    struct round *round = round_open(kit);
    round_deposit(kit, round);
    round_simple(kit, round, MARKET_START);
    return round;
}

static const char *order_row(const struct uuid *order)
{
    char id[UUID_TEXT_BYTES];
    uuid_format(order, id);
    return test_sql(
        "SELECT concat_ws(' ', status, reason, quantity, remaining, filled, paid, coalesce(price, 0)) FROM orders "
        "WHERE id = '%s'",
        id);
}

TEST(an_order_is_followed_from_its_beginning_to_its_end, "S-25 S-30 S-31 S-32 S-34")
{
    struct kit *kit = kit_open();
    struct round *round = open_round(kit);
    const struct uuid sell = round_place(kit, round, 0, 0, SIDE_SELL, 10, 12 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("open 10 10 0 0 120000", order_row(&sell));
    const struct uuid buy = round_place(kit, round, 1, 0, SIDE_BUY, 4, 13 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("filled filled 4 0 4 480000 130000", order_row(&buy)); /* at the resting order's price */
    EXPECT_TEXT("open 10 6 4 480000 120000", order_row(&sell));
    round_amend(kit, round, 0, sell, 11 * KIT_TICK, 9);
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("open 9 5 4 480000 110000", order_row(&sell));
    round_amend(kit, round, 0, sell, 0, 3); /* less than is filled: refused, and nothing changes */
    round_cancel(kit, round, 2, sell);      /* not his */
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("open 9 5 4 480000 110000", order_row(&sell));
    round_cancel(kit, round, 0, sell);
    round_cancel(kit, round, 0, sell); /* order_done: stays as it ended */
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("cancelled cancelled 9 5 4 480000 110000", order_row(&sell));
    const struct uuid poor = round_place(kit, round, 2, 0, SIDE_SELL, 1, 12 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("rejected insufficient_shares 1 1 0 0 120000", order_row(&poor));
    round_compare(kit, round);
    round_check_ledger(round);
    round_release(round);
}

TEST(a_refused_order_may_come_again_under_its_id, "S-25 S-32 S-38")
{
    struct kit *kit = kit_open();
    struct round *round = round_open(kit);
    round_deposit(kit, round);
    (void)round_place(kit, round, 0, 0, SIDE_SELL, 2, 12 * KIT_TICK);                    /* a bot */
    const struct uuid first = round_place(kit, round, 1, 0, SIDE_BUY, 5, 12 * KIT_TICK); /* not open for people yet */
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("rejected market_closed 5 5 0 0 120000", order_row(&first));
    round_simple(kit, round, MARKET_START);
    EXPECT(kit_settle(kit, round));
    struct market_command again = {.kind = MARKET_PLACE,
                                   .order = {.order_id = first,
                                             .account = round->people[1],
                                             .side = SIDE_BUY,
                                             .price = 12 * KIT_TICK,
                                             .quantity = 5,
                                             .client_order_id = {"", 0}}};
    round_do(kit, round, &again);
    (void)round_place(kit, round, 2, 0, SIDE_BUY, 1, 11 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("open 5 3 2 240000 120000", order_row(&first));
    round_compare(kit, round);
    round_check_ledger(round);
    round_release(round);
}

TEST(a_trade_has_four_lines_that_sum_to_zero, "S-34 S-38 I3")
{
    struct kit *kit = kit_open();
    struct round *round = open_round(kit);
    (void)round_place(kit, round, 0, 1, SIDE_SELL, 5, 12 * KIT_TICK);
    (void)round_place(kit, round, 1, 1, SIDE_BUY, 5, 12 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("-600000 5 600000 -5",
                test_sql("SELECT string_agg(l.amount::text, ' ' ORDER BY l.line) FROM ledger l JOIN trades t ON "
                         "t.market_id = l.market_id AND t.seq = l.seq WHERE l.market_id = '%s'",
                         round->id));
    round_simple(kit, round, MARKET_CLOSE);
    EXPECT(kit_settle(kit, round));
    round_check_ledger(round);
    EXPECT_I64(0, KIT_NUMBER("SELECT sum(quantity) FROM holdings WHERE market_id = '%s'", round->id));
    EXPECT_I64(
        0, KIT_NUMBER(
               "SELECT coalesce(sum(amount), 0) FROM ledger WHERE market_id = '%s' AND user_id IS NULL AND company_id "
               "IS NOT NULL",
               round->id)); /* every share is back */
    round_release(round);
}

TEST(average_cost_is_weighted_and_stays_when_sold, "S-34 S-41")
{
    struct kit *kit = kit_open();
    struct round *round = open_round(kit);
    (void)round_place(kit, round, 0, 0, SIDE_SELL, 3, 10 * KIT_TICK);
    (void)round_place(kit, round, 0, 0, SIDE_SELL, 1, 14 * KIT_TICK);
    (void)round_place(kit, round, 0, 0, SIDE_BUY, 100, 9 * KIT_TICK);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 4, 14 * KIT_TICK);
    char user[UUID_TEXT_BYTES];
    uuid_format(&round->people[1], user);
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("4 440000", test_sql("SELECT quantity || ' ' || cost FROM holdings WHERE user_id = '%s'", user));
    (void)round_place(kit, round, 1, 0, SIDE_SELL, 1, 0);
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("3 330000", test_sql("SELECT quantity || ' ' || cost FROM holdings WHERE user_id = '%s'", user));
    (void)round_place(kit, round, 1, 0, SIDE_SELL, 3, 0);
    EXPECT(kit_settle(kit, round));
    EXPECT_TEXT("0 0", test_sql("SELECT quantity || ' ' || cost FROM holdings WHERE user_id = '%s'", user));
    round_release(round);
}

TEST(the_close_ends_orders_and_cashes_shares_at_the_last_price, "S-15 S-17 S-50 I3")
{
    struct kit *kit = kit_open();
    struct round *round = open_round(kit);
    (void)round_place(kit, round, 0, 0, SIDE_SELL, 5, 12 * KIT_TICK);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 2, 12 * KIT_TICK);
    const struct uuid open = round_place(kit, round, 1, 0, SIDE_BUY, 1, 8 * KIT_TICK);
    (void)round_place(kit, round, 2, 1, SIDE_SELL, 1, 8 * KIT_TICK); /* refused: has an account in the engine alone */
    round_simple(kit, round, MARKET_CLOSE);
    const struct uuid late = round_place(kit, round, 1, 0, SIDE_BUY, 1, 8 * KIT_TICK);
    EXPECT(kit_settle(kit, round)); /* all in one batch */
    EXPECT_TEXT("cancelled round_closed 1 1 0 0 80000", order_row(&open));
    EXPECT_TEXT("rejected market_closed 1 1 0 0 80000", order_row(&late));
    EXPECT_I64(3 * 1, KIT_NUMBER("SELECT count(*) FROM accounts WHERE market_id = '%s'", round->id));
    EXPECT_I64(KIT_SEED_CASH,
               KIT_NUMBER("SELECT max(cash) FROM accounts WHERE market_id = '%s' AND NOT bot", round->id));
    EXPECT_I64(0, KIT_NUMBER("SELECT differences FROM markets WHERE id = '%s'", round->id));
    round_compare(kit, round);
    round_check_ledger(round);
    round_release(round);
}

TEST(a_final_account_that_differs_alarms_and_loses_nothing, "S-38 I1")
{
    struct kit *kit = kit_open();
    struct round *round = open_round(kit);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 2, 12 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    (void)test_sql("UPDATE accounts SET cash = cash - 1 WHERE market_id = '%s' AND NOT bot", round->id);
    const int64_t before = settle_differences(kit->settle);
    round_simple(kit, round, MARKET_CLOSE);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 1, 8 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    EXPECT_I64(before + 1, settle_differences(kit->settle));
    EXPECT_I64(1, KIT_NUMBER("SELECT differences FROM markets WHERE id = '%s'", round->id));
    EXPECT_TEXT("closed", test_sql("SELECT phase FROM markets WHERE id = '%s'", round->id));
    EXPECT_I64(
        1, KIT_NUMBER("SELECT count(*) FROM orders WHERE market_id = '%s' AND reason = 'market_closed'", round->id));
    round_release(round);
}

TEST(a_gap_stops_until_what_is_missing_comes, "S-38 I1")
{
    struct kit *kit = kit_open();
    struct round *round = open_round(kit);
    for (int i = 0; i < 6; i++)
        (void)round_place(kit, round, 1, 0, SIDE_BUY, 1, 5 * KIT_TICK);
    struct err err = {0};
    REQUIRE_OK(kit_settle_range(kit, round, 0, 4, &err), &err);
    EXPECT(!kit_settle_range(kit, round, 5, round->count, &err));
    EXPECT_PROBLEM("internal", &err);
    EXPECT(strstr(err.detail, "are missing") != NULL);
    EXPECT_I64(4, KIT_NUMBER("SELECT seq FROM markets WHERE id = '%s'", round->id));
    err_clear(&err);
    round->settled = 4;
    EXPECT(kit_settle(kit, round));
    round_compare(kit, round);
    round_release(round);
}

TEST(a_market_that_was_opened_before_the_schema_began_is_passed_over, "S-38")
{
    struct kit *kit = kit_open();
    struct uuid old = kit_id();
    memset(old.bytes, 0, 2); /* of long ago */
    struct round *round = round_open_as(kit, old), *known = open_round(kit);
    struct err err = {0};
    EXPECT(kit_settle(kit, known));
    round_deposit(kit, round);
    round_simple(kit, round, MARKET_START);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 1, 5 * KIT_TICK);
    round_simple(kit, round, MARKET_CLOSE);
    REQUIRE_OK(kit_settle_range(kit, round, 2, round->count, &err), &err);
    EXPECT_I64(0, KIT_NUMBER("SELECT count(*) FROM orders WHERE market_id = '%s'", round->id));
    EXPECT_I64(0, KIT_NUMBER("SELECT count(*) FROM markets WHERE id = '%s'", round->id));
    REQUIRE_OK(kit_settle_range(kit, round, 0, round->count, &err), &err); /* with its beginning it is settled */
    EXPECT_TEXT("closed", test_sql("SELECT phase FROM markets WHERE id = '%s'", round->id));
    round_release(round);
    round_release(known);
}

TEST(a_market_that_was_given_up_is_passed_over, "S-38")
{
    struct kit *kit = kit_open();
    struct round *round = open_round(kit), *next = open_round(kit);
    struct err err = {0};
    REQUIRE_OK(kit_settle_range(kit, round, 0, 2, &err), &err);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 1, 5 * KIT_TICK);
    EXPECT(!kit_settle_range(kit, round, 3, 4, &err));
    (void)test_sql("UPDATE markets SET given_up = true WHERE id = '%s'", round->id);
    err_clear(&err);
    REQUIRE_OK(kit_settle_range(kit, round, 3, 4, &err), &err);
    EXPECT(kit_settle(kit, next));
    EXPECT_I64(2, KIT_NUMBER("SELECT seq FROM markets WHERE id = '%s'", round->id));
    round_release(round);
    round_release(next);
}

TEST(a_record_that_is_none_is_refused_as_bad_input, "S-38 I10")
{
    struct kit *kit = kit_open();
    const struct kafka_record record = {.offset = kit->offset, .payload = VIEW("no record")};
    const struct kafka_batch batch = {.topic = TOPIC_MARKET_EVENTS, .records = &record, .count = 1};
    struct err err = {0};
    EXPECT(!settle_batch(kit->settle, &batch, &err));
    EXPECT_PROBLEM("bad_input", &err); /* the worker stops the partition */
}

TEST(an_order_that_is_gone_from_the_schema_stops_and_alarms, "S-31 S-38")
{
    struct kit *kit = kit_open();
    struct round *round = open_round(kit);
    struct err err = {0};
    const struct uuid order = round_place(kit, round, 1, 0, SIDE_BUY, 1, 5 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    (void)test_sql("DELETE FROM orders WHERE market_id = '%s'", round->id);
    static const char FAILURES[] = "madang_order_settle_failures_total{reason=\"contradiction\"}";
    const int64_t before = test_metric(FAILURES);
    round_cancel(kit, round, 1, order);
    EXPECT(!kit_settle_range(kit, round, round->settled, round->count, &err));
    EXPECT_I64(before + 1, test_metric(FAILURES));
    (void)test_sql("UPDATE markets SET given_up = true WHERE id = '%s'", round->id);
    round_release(round);
}

TEST(nothing_below_zero_can_be_stored, "S-28 I4")
{
    struct kit *kit = kit_open();
    struct round *round = open_round(kit);
    (void)round_place(kit, round, 0, 0, SIDE_SELL, 5, 12 * KIT_TICK);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 1, 12 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    char user[UUID_TEXT_BYTES];
    uuid_format(&round->people[1], user);
    static const struct pg_statement CASH = {"test_cash", "UPDATE accounts SET cash = -1 WHERE user_id = $1"};
    static const struct pg_statement SHARES = {"test_shares", "UPDATE holdings SET quantity = -1 WHERE user_id = $1"};
    struct err err = {0};
    EXPECT(!pg_exec(kit->db, &CASH, PARAMS(PG_TEXT(user)), NULL, &err) && pg_violated(&err, "cash_not_negative"));
    EXPECT(!pg_exec(kit->db, &SHARES, PARAMS(PG_TEXT(user)), NULL, &err) && pg_violated(&err, "quantity_not_negative"));
    /* and a trade that would do it stops settlement */
    (void)test_sql("UPDATE accounts SET cash = 0 WHERE user_id = '%s'", user);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 1, 12 * KIT_TICK);
    err_clear(&err);
    static const char FAILURES[] = "madang_order_settle_failures_total{reason=\"contradiction\"}";
    const int64_t before = test_metric(FAILURES);
    EXPECT(!kit_settle_range(kit, round, round->settled, round->count, &err));
    EXPECT(strstr(err.detail, "less than nothing") != NULL);
    EXPECT_I64(before + 1, test_metric(FAILURES));
    (void)test_sql("UPDATE markets SET given_up = true WHERE id = '%s'", round->id);
    round_release(round);
}
