/* The clock against a real database, without Kafka: what it sends stands in the outbox. Time passes by moving what is
 * stored into the past. */
#include "arena.h"
#include "bot.h"
#include "market.h"
#include "migrate.h"
#include "ranking_step.h"
#include "round_clock.h"
#include "test_store.h"

#include <pthread.h>
#include <stdatomic.h>

extern const struct migration GAME_MIGRATIONS[];

static const struct game_config USUAL = {
    .game = true,
    .bots = true,
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
    .bot_delay_ms = 3000,
    .bot_gap_ms = 1500,
    .result_wait_seconds = 60,
};

static struct pg_pool *database(void)
{
    static struct pg_pool *pool;
    struct err err = {0};
    if (!pool) {
        pool = test_pool("game", 8);
        if (!migrate_up(pool, GAME_MIGRATIONS, &err)) {
            printf("migrate: %s %s\n", err.message, err.detail);
            exit(1);
        }
    }
    return pool;
}

struct game {
    struct game_config config;
    struct game_app app;
};

static void game_release(struct game **game)
{
    depth_release(&(*game)->app.depth);
    free(*game);
    *game = NULL;
}

static struct game *game_of(const struct game_config *config)
{
    struct game *game = MEM_NEW(game);
    game->config = *config;
    game->app = (struct game_app){.config = &game->config, .db = database(), .depth = depth_open()};
    return game;
}

/* Another game, with nothing stored. */
static struct game *game_open(const struct game_config *config)
{
    struct game *game = game_of(config);
    (void)test_sql("TRUNCATE rounds, outbox, people CASCADE");
    return game;
}

static void look(struct game *game)
{
    struct err err = {0};
    int64_t wait_ms;
    if (!round_clock_look(&game->app, &wait_ms, &err))
        printf("look: %s %s\n", err.message, err.detail);
    EXPECT(!err.problem);
}

/* As if so many seconds had gone by. */
static void pass(int seconds)
{
    /* One transaction, and the rounds first, as the clock does it. */
    (void)test_sql("UPDATE rounds SET setup_at = setup_at - interval '%d s', opens_at = opens_at - interval '%d s', "
                   "closes_at = closes_at - interval '%d s', next_at = next_at - interval '%d s'; "
                   "UPDATE steps SET at = at - interval '%d s'",
                   seconds, seconds, seconds, seconds, seconds);
}

static void pass_and_look(struct game *game, int seconds)
{
    pass(seconds);
    look(game);
}

static int count(const char *sql)
{
    return atoi(test_sql("SELECT count(*) FROM %s", sql));
}

/* The kind of a command is its second byte. */
#define COMMANDS(kind) "outbox WHERE topic = 'market.commands' AND get_byte(bytes, 1) = " #kind
enum { OPEN = 1, START, DEPOSIT, PLACE, CLOSE = 9 };
_Static_assert((int)OPEN == MARKET_OPEN && (int)START == MARKET_START && (int)CLOSE == MARKET_CLOSE, "as in market.h");

static struct market_command command_at(struct arena *arena, int place)
{
    struct market_command command = {0};
    struct err err = {0};
    static const struct pg_statement READ = {
        "test_command", "SELECT bytes FROM outbox WHERE topic = 'market.commands' ORDER BY id OFFSET $1 LIMIT 1"};
    AUTO(pg_result) row = pg_query(database(), &READ, PARAMS(PG_I64(place)), &err);
    EXPECT(row && pg_rows(row) == 1 && market_command_decode(pg_bytes(row, 0, 0, arena), &command, &err));
    return command;
}

static void tell_accounts(void)
{
    (void)test_sql("UPDATE progress SET accounts_at = now()");
    (void)test_sql("INSERT INTO steps SELECT id, 'rank', 1, now() FROM rounds WHERE phase = 'closed' AND ranked_at IS "
                   "NULL ON CONFLICT DO NOTHING");
}

/* All that was sent to the markets has been answered. */
static void answer_all(void)
{
    (void)test_sql(
        "UPDATE progress p SET heard_n = (SELECT array_agg(bot_sent_n ORDER BY index) FROM companies c WHERE "
        "c.round_id = p.round_id)");
}

static void tell_depth(struct game *game, const char *company, int64_t price, const char *bids, const char *asks)
{
    static int64_t seq = 1000;
    char payload[1024];
    (void)snprintf(payload, sizeof payload,
                   "{\"company\":\"%s\",\"seq\":%lld,\"price\":%lld,\"initial_price\":%lld,\"bids\":%s,\"asks\":%s}",
                   company, (long long)++seq, (long long)price, (long long)price, bids, asks);
    EXPECT(depth_take(game->app.depth, view_of(company), view_of(payload)));
}

/* ---- phases ---- */

TEST(the_first_round_is_set_up_at_once_with_everything_in_order, "S-12 S-18 S-19 S-21")
{
    AUTO(game) game = game_open(&USUAL);
    AUTO(arena) arena = arena_open(1 << 20);
    look(game);
    EXPECT_I64(1, count("rounds WHERE number = 1 AND phase = 'setup' AND opens_at - setup_at = '60 s'"));
    EXPECT_I64(3, count("companies"));
    const struct market_command open = command_at(arena, 0);
    EXPECT_I64(MARKET_OPEN, open.kind);
    EXPECT_I64(3, open.open.company_count);
    EXPECT_I64(10000000, open.open.seed_cash);
    for (int bot = 0; bot <= BOT_TRADERS; bot++) {
        const struct market_command deposit = command_at(arena, 1 + bot);
        const struct uuid account = bot_account(bot);
        EXPECT_I64(MARKET_DEPOSIT, deposit.kind);
        EXPECT(memcmp(&deposit.deposit.account, &account, sizeof account) == 0);
        EXPECT_I64(BOT_CASH, deposit.deposit.cash);
        EXPECT_I64(BOT_SHARES, deposit.deposit.shares[2]);
    }
    const int commands = count("outbox WHERE topic = 'market.commands'");
    EXPECT_I64(commands, count("companies, generate_series(0, initial_price / 10000)") + 5);
    for (int i = 0; i < commands; i++) {
        const struct market_command command = command_at(arena, i);
        EXPECT_I64(i + 1, command.n);
        EXPECT(command.source == open.source);
        EXPECT(i < 5 || (command.kind == MARKET_PLACE && command.order.bot && command.order.post_only));
    }
    EXPECT_TEXT(test_sql("SELECT next_n FROM rounds"), test_sql("SELECT %d", commands + 1));
    EXPECT_I64(1, count("outbox WHERE topic = 'game.events' AND payload::json->>'kind' = 'round'"));
}

TEST(a_round_goes_through_its_phases_and_the_next_one_follows, "S-12 S-13 S-15 S-16")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    look(game);
    EXPECT_I64(1, count(COMMANDS(1)));
    EXPECT_I64(0, count(COMMANDS(2)));
    pass_and_look(game, 60);
    EXPECT_I64(1, count(COMMANDS(2)));
    EXPECT_I64(1, count("rounds WHERE phase = 'open'"));
    pass_and_look(game, 300);
    EXPECT_I64(1, count(COMMANDS(9)));
    EXPECT_I64(1, count("rounds WHERE phase = 'closed' AND ranked_at IS NULL"));
    tell_accounts();
    look(game);
    EXPECT_I64(1, count("rounds WHERE ranked_at IS NOT NULL"));
    EXPECT_I64(1, count("outbox WHERE topic = 'game.events' AND payload::json->>'kind' = 'ranking'"));
    EXPECT_I64(1, count("rounds"));
    pass_and_look(game, 360);
    EXPECT_I64(2, count("rounds"));
    EXPECT_I64(1, count("rounds WHERE number = 2 AND phase = 'setup'"));
    EXPECT_TEXT("setup open closed setup",
                test_sql("SELECT string_agg(payload::json->>'phase', ' ' ORDER BY id) FROM outbox WHERE topic = "
                         "'game.events' AND payload::json->>'kind' = 'round'"));
    EXPECT_I64(0, count("steps WHERE round_id = (SELECT id FROM rounds WHERE number = 1)"));
}

TEST(what_runs_while_trading_ends_with_the_close, "S-17 S-18")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    pass_and_look(game, 60);
    pass_and_look(game, 11); /* news, so bot orders wait */
    EXPECT_I64(6, count("steps WHERE kind = 'bot_order'"));
    (void)test_sql("UPDATE steps SET at = now() - interval '1 h' WHERE kind = 'close'");
    look(game);
    EXPECT_I64(0, count("steps WHERE kind IN ('news', 'refill', 'bot_order', 'start', 'close')"));
    EXPECT_I64(0, atoi(test_sql("SELECT max(id) - (SELECT max(id) FROM " COMMANDS(9) ") FROM outbox WHERE topic = "
                                                                                     "'market.commands'")));
}

TEST(the_next_round_waits_for_the_result_but_not_for_ever, "S-15 S-50")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    pass_and_look(game, 60);
    pass_and_look(game, 300);
    pass_and_look(game, 360);
    EXPECT_I64(1, count("rounds"));
    pass_and_look(game, 20);
    EXPECT_I64(1, count("rounds"));
    pass_and_look(game, 50);
    EXPECT_I64(2, count("rounds"));
    tell_accounts(); /* late, and still ranked */
    look(game);
    EXPECT_I64(1, count("rounds WHERE number = 1 AND ranked_at IS NOT NULL"));
}

TEST(the_time_left_is_told_and_what_is_overdue_is_left_out, "S-13 S-15 S-18")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    for (int i = 0; i < 3; i++)
        pass_and_look(game, 15);
    EXPECT_TEXT("45 30 15", test_sql("SELECT string_agg(payload::json->>'seconds_left', ' ' ORDER BY id) FROM outbox "
                                     "WHERE payload::json->>'kind' = 'countdown'"));
    pass_and_look(game, 15);
    (void)test_sql("DELETE FROM outbox");
    pass_and_look(game, 100); /* the clock was away */
    EXPECT_I64(0, count("outbox WHERE payload::json->>'kind' = 'countdown'"));
    pass_and_look(game, 5);
    EXPECT_TEXT("195", test_sql("SELECT payload::json->>'seconds_left' FROM outbox WHERE payload::json->>'kind' = "
                                "'countdown'"));
}

TEST(the_pause_counts_down_to_the_set_up_not_to_a_minute_that_never_opens, "S-15")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    pass_and_look(game, 60);
    pass_and_look(game, 300);
    (void)test_sql("DELETE FROM outbox");
    for (int i = 0; i < 23; i++)
        pass_and_look(game, 15);
    EXPECT_TEXT("345 15 23", test_sql("SELECT concat_ws(' ', max(left_s), min(left_s), count(*)) FROM (SELECT "
                                      "(payload::json->>'seconds_left')::int AS left_s FROM outbox WHERE "
                                      "payload::json->>'kind' = 'countdown' AND payload::json->>'phase' = 'closed') "
                                      "AS told"));
}

/* ---- news and bots ---- */

/* Refills go by until so many orders were sent: on a slow machine one may be overdue, which leaves it out. */
static void refill_until(struct game *game, int orders)
{
    for (int i = 0; i < 20 && count(COMMANDS(4)) < orders; i++)
        pass_and_look(game, 2);
    EXPECT_I64(orders, count(COMMANDS(4)));
}

TEST(six_market_orders_follow_a_news_line_after_3_to_5_seconds, "S-14 S-23 S-24")
{
    struct game_config config = USUAL;
    config.news_seconds = 20;
    AUTO(game) game = game_open(&config);
    AUTO(arena) arena = arena_open(1 << 20);
    look(game);
    pass_and_look(game, 60);
    const int before = count(COMMANDS(4));
    pass_and_look(game, 20);
    EXPECT_I64(1, count("news"));
    EXPECT_I64(1, count("outbox WHERE payload::json->>'kind' = 'news' AND payload::json->'text'->>'ko' LIKE "
                        "(payload::json->>'company_name') || ': %'"));
    EXPECT_I64(before, count(COMMANDS(4)));
    EXPECT_I64(6, count("steps, news WHERE kind = 'bot_order' AND steps.at - news.at BETWEEN '2.9 s' AND '12.6 s'"));
    answer_all();
    for (int i = 0; i < 13; i++)
        pass_and_look(game, 1);
    const int sent = count("outbox WHERE topic = 'market.commands'");
    EXPECT_I64(before + 6, count(COMMANDS(4)));
    for (int i = 0; i < 6; i++) {
        const struct market_command command = command_at(arena, sent - 6 + i);
        EXPECT_I64(TYPE_MARKET, command.order.type);
        EXPECT_I64(0, command.order.price);
        EXPECT(command.order.bot);
    }
}

TEST(a_whole_round_has_28_news_and_168_orders_that_follow_them, "S-14 S-23")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    pass_and_look(game, 60);
    const int before = count(COMMANDS(4));
    for (int i = 0; i < 150; i++) {
        answer_all();
        pass_and_look(game, 2);
    }
    EXPECT_I64(28, count("news"));
    EXPECT_I64(before + 168, count(COMMANDS(4)));
    EXPECT_I64(1, count(COMMANDS(9)));
}

TEST(news_that_are_late_are_told_all_the_same, "S-18 S-23")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    pass_and_look(game, 60);
    pass_and_look(game, 35);
    EXPECT_I64(1, count("news"));
    for (int i = 0; i < 10; i++)
        pass_and_look(game, 1);
    EXPECT(count("news") >= 4);
}

TEST(refill_reads_the_book_and_waits_until_it_has_heard_of_its_own_orders, "S-22")
{
    struct game_config config = USUAL;
    config.news_seconds = 3600;
    AUTO(game) game = game_open(&config);
    look(game);
    pass_and_look(game, 60);
    const int before = count(COMMANDS(4));
    char company[64];
    (void)snprintf(company, sizeof company, "%s", test_sql("SELECT id FROM companies WHERE index = 1"));
    pass_and_look(game, 2);
    EXPECT_I64(before, count(COMMANDS(4))); /* nothing is known of the book */
    tell_depth(game, company, 300000, "[]", "[]");
    pass_and_look(game, 2);
    EXPECT_I64(before, count(COMMANDS(4))); /* the opening book was not answered yet */
    answer_all();
    refill_until(game, before + 11);
    for (int i = 0; i < 5; i++)
        pass_and_look(game, 2);
    EXPECT_I64(before + 11, count(COMMANDS(4))); /* the market lags: no flood */
    answer_all();
    (void)test_sql("UPDATE progress SET heard_seq[2] = 1000000");
    pass_and_look(game, 2);
    EXPECT_I64(before + 11, count(COMMANDS(4))); /* answered, but the depth is older than the answer */
    (void)test_sql("UPDATE progress SET heard_seq[2] = 1");
    tell_depth(game, company, 300000, "[[290000,3],[280000,3],[270000,3],[260000,3],[250000,3]]",
               "[[310000,3],[320000,3],[330000,3],[340000,3],[350000,3]]");
    refill_until(game, before + 12); /* the one tick that is empty */
}

TEST(bots_hold_back_when_the_market_lags, "S-22 S-23")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    pass_and_look(game, 60);
    (void)test_sql("UPDATE rounds SET next_n = next_n + 1000");
    const int before = count(COMMANDS(4));
    for (int i = 0; i < 25; i++)
        pass_and_look(game, 1);
    EXPECT(count("news") >= 2);
    EXPECT_I64(before, count(COMMANDS(4)));
}

TEST(without_bots_there_are_news_and_an_opening_book_alone, "S-21 S-22")
{
    struct game_config config = USUAL;
    config.bots = false;
    AUTO(game) game = game_open(&config);
    look(game);
    const int before = count(COMMANDS(4));
    EXPECT(before > 30);
    pass_and_look(game, 60);
    for (int i = 0; i < 30; i++)
        pass_and_look(game, 1);
    EXPECT(count("news") >= 3);
    EXPECT_I64(before, count(COMMANDS(4)));
}

/* ---- settings ---- */

TEST(without_a_game_the_running_round_ends_and_no_other_begins, "S-16")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    game->config.game = false;
    pass_and_look(game, 60);
    pass_and_look(game, 300);
    tell_accounts();
    look(game);
    pass_and_look(game, 3600);
    EXPECT_I64(1, count("rounds WHERE ranked_at IS NOT NULL"));
    EXPECT_I64(1, count("rounds"));
    game->config.game = true;
    look(game);
    EXPECT_I64(2, count("rounds"));
}

static void adopt(struct game *game)
{
    struct err err = {0};
    EXPECT(round_clock_adopt(&game->app, &err));
}

TEST(a_held_round_opens_at_once_and_never_closes, "S-21")
{
    struct game_config config = USUAL;
    config.hold = true;
    AUTO(game) game = game_open(&config);
    adopt(game);
    look(game);
    look(game);
    EXPECT_I64(1, count("rounds WHERE phase = 'open' AND held AND closes_at IS NULL AND next_at IS NULL"));
    for (int i = 0; i < 10; i++) {
        answer_all();
        pass_and_look(game, 3600);
    }
    EXPECT_I64(1, count("rounds WHERE phase = 'open'"));
    EXPECT_I64(0, count(COMMANDS(9)));
    EXPECT_I64(0, count("outbox WHERE payload::json->>'kind' = 'countdown'"));
    adopt(game); /* a restart with the same setting changes nothing */
    look(game);
    EXPECT_I64(1, count("rounds"));
    EXPECT_I64(1, count("rounds WHERE phase = 'open'"));
}

TEST(a_start_with_hold_makes_way_for_a_fresh_round_and_one_without_ends_it, "S-21")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    pass_and_look(game, 60);
    game->config.hold = true;
    adopt(game);
    look(game);
    EXPECT_I64(1, count(COMMANDS(9)));
    tell_accounts();
    look(game);
    (void)test_sql("UPDATE steps SET at = now() WHERE kind = 'next'");
    look(game);
    look(game);
    EXPECT_I64(1, count("rounds WHERE number = 2 AND phase = 'open' AND held"));
    game->config.hold = false;
    adopt(game);
    look(game);
    EXPECT_I64(2, count(COMMANDS(9)));
    EXPECT_I64(0, count("rounds WHERE phase <> 'closed'"));
}

TEST(a_step_that_fails_is_put_off_and_stops_nothing_else, "S-18 S-50")
{
    AUTO(game) game = game_open(&USUAL);
    look(game);
    pass_and_look(game, 60);
    (void)test_sql("ALTER TABLE news ADD CONSTRAINT no_news CHECK (false) NOT VALID");
    pass(10);
    struct err err = {0};
    int64_t wait_ms;
    EXPECT(!round_clock_look(&game->app, &wait_ms, &err));
    EXPECT_I64(1, count("steps WHERE kind = 'news' AND at > now() + interval '1 s'"));
    look(game);
    (void)test_sql("ALTER TABLE news DROP CONSTRAINT no_news");
    pass_and_look(game, 3);
    EXPECT_I64(1, count("news"));
}

/* ---- two instances ---- */

struct instance {
    struct game *game;
    _Atomic bool *stop;
    pthread_t thread;
};

static void *look_often(void *payload)
{
    const struct instance *instance = payload;
    while (!atomic_load(instance->stop)) {
        struct err err = {0};
        int64_t wait_ms;
        (void)round_clock_look(&instance->game->app, &wait_ms, &err);
        if (err.problem)
            printf("look: %s %s\n", err.message, err.detail);
        test_pause();
    }
    return NULL;
}

TEST(several_clocks_at_once_double_nothing, "S-12 S-18 S-37")
{
    enum { INSTANCES = 3 };
    struct game_config config = USUAL;
    config.result_wait_seconds = 0;
    config.setup_seconds = 10;
    config.open_seconds = 60;
    config.break_seconds = 20;
    AUTO(game) game = game_open(&config);
    static _Atomic bool stop;
    stop = false;
    struct instance instances[INSTANCES];
    for (int i = 0; i < INSTANCES; i++) {
        instances[i] = (struct instance){.game = game, .stop = &stop};
        REQUIRE(pthread_create(&instances[i].thread, NULL, look_often, &instances[i]) == 0);
    }
    EVENTUALLY(20000, count("rounds") == 1);
    for (int i = 0; count("rounds") < 4 && i < 2000; i++) {
        pass(4);
        answer_all();
        tell_accounts();
    }
    stop = true;
    for (int i = 0; i < INSTANCES; i++)
        (void)pthread_join(instances[i].thread, NULL);
    EXPECT(count("rounds") >= 4);
    EXPECT_TEXT("", test_sql("SELECT coalesce(string_agg(number::text, ' '), '') FROM rounds r WHERE phase = 'closed' "
                             "AND 3 <> (SELECT count(*) FROM outbox WHERE key = r.id::text AND topic = "
                             "'market.commands' AND get_byte(bytes, 1) IN (1, 2, 9))"));
    /* Per market: 1, 2, 3 ... in the order of leaving. */
    EXPECT_TEXT("", test_sql("SELECT coalesce(string_agg(key, ' '), '') FROM (SELECT key, row_number() OVER (PARTITION "
                             "BY key ORDER BY id) AS place, get_byte(bytes, 26) + 256 * get_byte(bytes, 27) AS n FROM "
                             "outbox WHERE topic = 'market.commands') AS sent WHERE place <> n"));
    EXPECT_TEXT("0", test_sql("SELECT count(*) FROM (SELECT round_id, number FROM news GROUP BY 1, 2 HAVING count(*) > "
                              "1) AS doubled"));
    EXPECT_TEXT("t", test_sql("SELECT bool_and(told = 1) FROM (SELECT count(*) AS told FROM outbox WHERE "
                              "payload::json->>'kind' = 'round' GROUP BY key, payload::json->>'phase') AS phases"));
}
