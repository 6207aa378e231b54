/* What the worker on market.events stores: who takes part, what answered the bots, final accounts; doubles, gaps and
 * foreign markets. */
#include "arena.h"
#include "bot.h"
#include "follow.h"
#include "metrics.h"
#include "migrate.h"
#include "round_clock.h"
#include "store.h"
#include "test_store.h"

extern const struct migration GAME_MIGRATIONS[];

static const struct game_config CONFIG = {
    .game = true,
    .setup_seconds = 60,
    .open_seconds = 300,
    .break_seconds = 360,
    .companies = 3,
    .seed_cash = 10000000,
    .book_factor = 1000,
    .news_seconds = 10,
    .refill_seconds = 2,
    .countdown_seconds = 15,
    .bot_strength = 100,
};

/* A market whose events are written here. */
struct world {
    struct game_app app;
    struct round round;
    int64_t offset, seq; /* of what comes next */
    struct str records[64];
    size_t count;
};

static void world_release(struct world **world)
{
    for (size_t i = 0; i < (*world)->count; i++)
        str_free(&(*world)->records[i]);
    depth_release(&(*world)->app.depth);
    follow_release(&(*world)->app.follow);
    free(*world);
    *world = NULL;
}

static struct world *world_open(void)
{
    static struct pg_pool *pool;
    struct world *world = MEM_NEW(world);
    struct err err = {0};
    int64_t wait_ms;
    if (!pool) {
        pool = test_pool("follow", 4);
        if (!migrate_up(pool, GAME_MIGRATIONS, &err)) {
            printf("migrate: %s %s\n", err.message, err.detail);
            exit(1);
        }
    }
    world->app = (struct game_app){.config = &CONFIG, .db = pool, .depth = depth_open(), .follow = follow_open()};
    world->seq = 1;
    (void)test_sql("TRUNCATE rounds, outbox, people, applied CASCADE");
    EXPECT(round_clock_look(&world->app, &wait_ms, &err));
    (void)snprintf(world->round.id_text, sizeof world->round.id_text, "%s", test_sql("SELECT id FROM rounds"));
    (void)uuid_parse(world->round.id_text, &world->round.id);
    return world;
}

static struct uuid person(int number)
{
    struct uuid id = {{1, 2, 3, 4, 5, 6, 0x70, 0, 0x80}};
    id.bytes[15] = (unsigned char)number;
    return id;
}

static void write_events(struct world *world, const struct uuid *market, const struct market_event *events,
                         size_t count)
{
    struct str *out = &world->records[world->count++];
    str_init(out);
    market_events_begin(out, market, 1, 1, world->seq);
    for (size_t i = 0; i < count; i++)
        market_events_add(out, &events[i]);
    world->seq += (int64_t)count;
}

/* One record with these events. */
static void tell(struct world *world, const struct market_event *events, size_t count)
{
    write_events(world, &world->round.id, events, count);
}

/* Applies the records from `first` on as one batch, at the offsets that come next. */
static bool apply(struct world *world, size_t first, struct err *err)
{
    struct kafka_record records[64] = {{0}};
    const size_t count = world->count - first;
    for (size_t i = 0; i < count; i++) {
        const struct str *bytes = &world->records[first + i];
        records[i] = (struct kafka_record){.offset = world->offset++, .payload = {bytes->bytes, bytes->length}};
    }
    const struct kafka_batch batch = {"market.events", 0, records, count};
    return follow_apply(&world->app, &batch, err);
}

static void apply_all(struct world *world)
{
    struct err err = {0};
    EXPECT(apply(world, 0, &err));
    if (err.problem)
        printf("apply: %s %s\n", err.message, err.detail);
}

static struct market_event accepted(struct uuid account, int company, bool bot, int64_t n)
{
    struct round round = {.id = {{9}}};
    struct market_event event = {.kind = MARKET_ACCEPTED};
    event.order.command = MARKET_PLACE;
    event.order.order = (struct market_order){.order_id = round_command_id(&round, n),
                                              .account = account,
                                              .company = (uint8_t)company,
                                              .bot = bot,
                                              .price = 200000,
                                              .quantity = 5,
                                              .client_order_id = {"", 0}};
    event.order.remaining = 5;
    return event;
}

static struct market_event trade(struct uuid maker, struct uuid taker, int taker_side, int64_t price, int64_t quantity)
{
    struct market_event event = {.kind = MARKET_TRADE};
    event.trade.taker_side = (uint8_t)taker_side;
    event.trade.number = 1;
    event.trade.price = price;
    event.trade.quantity = quantity;
    event.trade.maker = maker;
    event.trade.taker = taker;
    return event;
}

static const char *part(int number, const char *columns)
{
    char id[UUID_TEXT_BYTES];
    const struct uuid user = person(number);
    uuid_format(&user, id);
    return test_sql("SELECT concat_ws(' ', %s) FROM participants WHERE user_id = '%s'", columns, id);
}

TEST(orders_and_fills_add_up_for_both_sides_of_a_trade, "S-34 S-47")
{
    AUTO(world) world = world_open();
    const struct market_event first[] = {accepted(person(1), 0, false, 1)},
                              second[] = {accepted(person(2), 0, false, 2),
                                          trade(person(1), person(2), SIDE_BUY, 200000, 3),
                                          trade(person(1), person(2), SIDE_BUY, 210000, 1)},
                              third[] = {accepted(person(1), 0, false, 3),
                                         trade(person(2), person(1), SIDE_BUY, 190000, 2)};
    tell(world, first, 1);
    tell(world, second, 3);
    apply_all(world);
    EXPECT_TEXT("1 2 0 810000", part(1, "orders, fills, bought, sold"));
    EXPECT_TEXT("1 2 810000 0", part(2, "orders, fills, bought, sold"));
    const size_t before = world->count;
    struct err err = {0};
    tell(world, third, 2);
    EXPECT(apply(world, before, &err));
    EXPECT_TEXT("2 3 380000 810000", part(1, "orders, fills, bought, sold"));
    EXPECT_TEXT("1 3 810000 380000", part(2, "orders, fills, bought, sold"));
}

TEST(an_order_that_was_refused_makes_no_participant, "S-47")
{
    AUTO(world) world = world_open();
    struct market_event refused = accepted(person(1), 0, false, 1), amended = accepted(person(2), 0, false, 2);
    refused.kind = MARKET_REJECTED;
    refused.order.reason = REASON_INSUFFICIENT_CASH;
    amended.order.command = MARKET_AMEND;
    tell(world, (struct market_event[]){refused, amended}, 2);
    apply_all(world);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM participants WHERE orders > 0"));
}

TEST(doubles_change_nothing_whether_kafka_or_the_owner_sends_twice, "S-37 I1")
{
    AUTO(world) world = world_open();
    const struct market_event events[] = {accepted(person(1), 0, false, 1),
                                          trade(person(1), person(2), SIDE_SELL, 200000, 3)};
    tell(world, events, 2);
    apply_all(world);
    apply_all(world); /* the owner sent it once more: other offsets, same sequence */
    world->offset = 0;
    apply_all(world); /* the consumer was not heard: same offsets */
    EXPECT_TEXT("1 1 600000 0", part(1, "orders, fills, bought, sold"));
    EXPECT_TEXT("2", test_sql("SELECT seq FROM progress"));
}

TEST(a_record_that_overlaps_counts_from_where_it_is_new, "S-37")
{
    AUTO(world) world = world_open();
    const struct market_event both[] = {accepted(person(1), 0, false, 1), accepted(person(1), 0, false, 2)};
    tell(world, both, 1);
    apply_all(world);
    world->seq = 1;
    tell(world, both, 2);
    apply_all(world);
    EXPECT_TEXT("2", part(1, "orders"));
}

TEST(a_gap_alarms_and_the_rest_is_taken, "S-38")
{
    AUTO(world) world = world_open();
    const struct market_event event = accepted(person(1), 0, false, 1);
    struct metric_child *gaps = METRIC_CHILD(metric_counter("madang_game_event_gaps_total", "", NULL));
    const int64_t before = metric_value(gaps);
    tell(world, &event, 1);
    apply_all(world);
    EXPECT_I64(before, metric_value(gaps));
    world->seq = 5;
    tell(world, &event, 1);
    apply_all(world);
    EXPECT_I64(before + 1, metric_value(gaps));
    EXPECT_TEXT("5", test_sql("SELECT seq FROM progress"));
}

TEST(markets_of_others_are_passed_over, "I6")
{
    AUTO(world) world = world_open();
    const struct market_event event = accepted(person(1), 0, false, 1);
    const struct uuid other = person(77);
    write_events(world, &other, &event, 1);
    apply_all(world);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM participants"));
    EXPECT_TEXT("1", test_sql("SELECT next_offset FROM applied WHERE topic = 'market.events'"));
}

TEST(what_answers_the_bots_is_known_by_company, "S-22")
{
    AUTO(world) world = world_open();
    struct market_event refused = accepted(bot_account(0), 2, true, 12);
    refused.kind = MARKET_REJECTED;
    refused.order.reason = REASON_WOULD_CROSS;
    tell(world,
         (struct market_event[]){accepted(bot_account(0), 0, true, 7), accepted(bot_account(1), 0, true, 9),
                                 accepted(person(1), 1, false, 4000000000), refused},
         4);
    apply_all(world);
    EXPECT_TEXT("{9,0,12} {2,0,4}", test_sql("SELECT concat_ws(' ', heard_n, heard_seq) FROM progress"));
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM participants WHERE bot AND orders = 1 AND user_id::text LIKE "
                              "'%%b000'"));
}

TEST(the_close_stores_prices_and_accounts_and_makes_the_ranking_due_once, "S-15 S-17 S-50")
{
    AUTO(world) world = world_open();
    const struct market_account accounts[] = {
        {bot_account(0), true, 5}, {person(1), false, 11000000}, {person(2), false, 10000000}};
    struct market_event closed = {.kind = MARKET_CLOSED}, final = {.kind = MARKET_ACCOUNTS},
                        more = {.kind = MARKET_ACCOUNTS};
    closed.closed.company_count = 3;
    for (int i = 0; i < 3; i++)
        closed.closed.last_prices[i] = (i + 1) * 10000;
    final.accounts.count = 2;
    final.accounts.accounts = accounts;
    more.accounts.count = 1;
    more.accounts.accounts = accounts + 2;
    const struct market_event event = accepted(person(1), 0, false, 1);
    tell(world, &event, 1);
    tell(world, (struct market_event[]){closed, final, more}, 3);
    apply_all(world);
    EXPECT_TEXT("1 11000000", part(1, "orders, cash"));
    EXPECT_TEXT("0 10000000", part(2, "orders, cash"));
    EXPECT_TEXT("10000 20000 30000",
                test_sql("SELECT string_agg(last_price::text, ' ' ORDER BY index) FROM companies"));
    EXPECT_TEXT("t", test_sql("SELECT accounts_at IS NOT NULL FROM progress"));
    EXPECT_TEXT("1", test_sql("SELECT count(*) FROM steps WHERE kind = 'rank'"));
    (void)test_sql("DELETE FROM steps WHERE kind = 'rank'"); /* the clock did it */
    apply_all(world);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM steps WHERE kind = 'rank'"));
}

TEST(what_is_no_record_is_refused_and_nothing_of_its_batch_is_kept, "I10")
{
    AUTO(world) world = world_open();
    const struct market_event event = accepted(person(1), 0, false, 1);
    struct err err = {0};
    tell(world, &event, 1);
    tell(world, &event, 1);
    world->records[1].bytes[0] = 99;
    EXPECT(!apply(world, 0, &err));
    EXPECT_PROBLEM("bad_input", &err);
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM participants"));
}
