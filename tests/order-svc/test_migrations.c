/* A database of an earlier release comes up to date with what it holds. */
#include "migrate.h"
#include "test_store.h"

extern const struct migration ORDER_MIGRATIONS[];

#define MARKET "01980000-0000-7000-8000-00000000000a"
#define COMPANY "01980000-0000-7000-8000-00000000000b"
#define BUYER "01980000-0000-7000-8000-00000000000c"
#define SELLER "01980000-0000-7000-8000-00000000000d"

static const char LEDGER[] =
    "SELECT string_agg(concat_ws(',', seq, line, user_id, company_id, amount), ' ' ORDER BY seq, line) "
    "FROM ledger WHERE market_id = '" MARKET "'";

/* What 001 held of a market: a seed for each of two, and one trade, of which the buyer was the maker. */
static void fill(void)
{
    (void)test_sql("INSERT INTO markets (id, partition, phase, seed_cash, tick, price_min, price_max, size_rule, seq, "
                   "first_offset, opened_at) VALUES ('" MARKET "', 0, 'open', 100, 1, 1, 10, false, 4, 0, now())");
    (void)test_sql("INSERT INTO companies (id, market_id, index, initial_price, last_price, trades) VALUES ('" COMPANY
                   "', '" MARKET "', 0, 5, 5, 1)");
    (void)test_sql("INSERT INTO trades VALUES ('" COMPANY "', 1, '" MARKET
                   "', 4, 5, 3, 'sell', gen_random_uuid(), gen_random_uuid(), '" BUYER "', '" SELLER
                   "', false, false, now())");
    (void)test_sql("INSERT INTO ledger VALUES ('" MARKET "', 2, 0, NULL, NULL, -100), ('" MARKET "', 2, 1, '" BUYER
                   "', NULL, 100), ('" MARKET "', 3, 0, NULL, '" COMPANY "', -9), ('" MARKET "', 3, 1, '" SELLER
                   "', '" COMPANY "', 9), ('" MARKET "', 4, 0, '" BUYER "', NULL, -15), ('" MARKET "', 4, 1, '" BUYER
                   "', '" COMPANY "', 3), ('" MARKET "', 4, 2, '" SELLER "', NULL, 15), ('" MARKET "', 4, 3, '" SELLER
                   "', '" COMPANY "', -3)");
}

TEST(the_ledger_of_an_earlier_release_keeps_every_line, "S-38 I3")
{
    AUTO(pg_pool) db = test_pool("orders_migrations", 1);
    struct err err = {0};
    struct migration first[2] = {{0}};
    first[0] = ORDER_MIGRATIONS[0];
    REQUIRE_OK(migrate_up(db, first, &err), &err);
    fill();
    char before[512];
    (void)snprintf(before, sizeof before, "%s", test_sql("%s", LEDGER));
    REQUIRE_OK(migrate_up(db, ORDER_MIGRATIONS, &err), &err);
    EXPECT_TEXT(before, test_sql("%s", LEDGER));
    EXPECT_TEXT("4", test_sql("SELECT count(*) FROM entries"));

    /* an instance of that release goes on for a while: it writes a trade, and then its lines and others */
    (void)test_sql("INSERT INTO trades SELECT company_id, 2, market_id, 5, price, 1, 'buy', maker_order, taker_order, "
                   "taker, maker, false, false, at FROM trades");
    (void)test_sql("INSERT INTO ledger (market_id, seq, line, user_id, company_id, amount) SELECT * FROM unnest("
                   "array_fill('" MARKET
                   "'::uuid, '{6}'), '{5,5,5,5,6,6}'::bigint[], '{0,1,2,3,0,1}'::bigint[], '{" BUYER "," BUYER
                   "," SELLER "," SELLER ",NULL," BUYER "}'::uuid[], '{NULL," COMPANY ",NULL," COMPANY
                   ",NULL,NULL}'::uuid[], '{-5,1,5,-1,-7,7}'::bigint[])");
    EXPECT_TEXT("6", test_sql("SELECT count(*) FROM entries"));
    EXPECT_TEXT("14", test_sql("SELECT count(*) FROM ledger"));
    EXPECT_TEXT("-5 1 5 -1 -7 7",
                test_sql("SELECT string_agg(amount::text, ' ' ORDER BY seq, line) FROM ledger WHERE seq > 4"));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM (SELECT 1 FROM ledger GROUP BY market_id, seq, company_id HAVING "
                              "sum(amount) <> 0) AS wrong"));
}
