/* The audit against PostgreSQL and Kafka: a settled round is the same in its log, and whatever is planted is found. */
#include "audit.h"
#include "chance_kit.h"
#include "test_kafka.h"
#include "tools.h"
#include "upkeep.h"

/* ---- a round that stands in a log and in the schema ---- */

struct scene {
    struct kit *kit;
    struct audit_source source;
};

static struct scene *scene_open(void)
{
    static struct scene scene;
    if (scene.kit)
        return &scene;
    scene.kit = kit_open();
    scene.source = (struct audit_source){test_env("KAFKA_BROKERS"), test_topic("market.events", 1, false),
                                         test_topic("game.events", 1, false)};
    scene.kit->topic = scene.source.events_topic;
    scene.kit->offset = 0;
    return &scene;
}

static void scene_send(struct scene *scene, const char *topic, const char *key, struct view payload)
{
    struct err err = {0};
    const struct kafka_message message = {.topic = topic, .key = view_of(key), .payload = payload};
    kit_stop(kafka_send_all(scene->kit->producer, &message, 1, 10000, &err), "send", &err);
}

/* What was told since, into the log; it stands at the offsets that kit_settle will say. */
static void scene_log(struct scene *scene, const struct round *round)
{
    struct kafka_message messages[200];
    struct err err = {0};
    for (size_t at = round->settled; at < round->count;) {
        size_t count = 0;
        for (; at < round->count && count < ARRAY_LENGTH(messages); at++)
            messages[count++] = (struct kafka_message){.topic = scene->source.events_topic,
                                                       .key = view_of(round->id),
                                                       .payload = {round->told[at].bytes, round->told[at].length}};
        kit_stop(kafka_send_all(scene->kit->producer, messages, count, 10000, &err), "send", &err);
    }
}

static void scene_settle(struct scene *scene, struct round *round)
{
    scene_log(scene, round);
    EXPECT(kit_settle(scene->kit, round));
}

/* ---- auditing ---- */

static void collect(void *payload, const char *words)
{
    str_printf(payload, "%s\n", words);
}

/* What the audit says; lives until the next one. */
static const char *audit(struct scene *scene, const struct round *round, struct audit_report *report)
{
    static struct str words;
    struct err err = {0};
    if (!words.bytes)
        str_init(&words);
    str_clear(&words);
    const bool ok = audit_market(scene->kit->db, &scene->source, round->id, collect, &words, report, &err);
    test_check(ok, __FILE__, __LINE__, "audit: %s %s %s", err.problem ? err.problem->code : "", err.message,
               err.detail);
    return words.bytes;
}

TEST(a_settled_round_is_the_same_in_its_log_while_it_goes_on_and_after, "S-38 S-55 I3")
{
    struct scene *scene = scene_open();
    struct round *round = some_round(scene->kit, 600);
    struct audit_report report;
    scene_settle(scene, round);
    EXPECT_TEXT("", audit(scene, round, &report));
    EXPECT(!report.closed && report.trades > 0 && report.orders > 100);
    EXPECT_I64(book_seq(round->book), report.seq);
    round_simple(scene->kit, round, MARKET_CLOSE);
    (void)round_place(scene->kit, round, 1, 0, SIDE_BUY, 1, KIT_TICK * 10);
    scene_log(scene, round); /* not settled yet: it is compared as far as it is */
    EXPECT_TEXT("", audit(scene, round, &report));
    EXPECT(!report.closed);
    EXPECT(kit_settle(scene->kit, round));
    EXPECT_TEXT("", audit(scene, round, &report));
    EXPECT(report.closed && !report.ranked && report.differences == 0);
    round_release(round);
}

/* What is planted, taken back, and a word of what the audit must say. %s: the market. */
static const struct plant {
    const char *plant, *undo, *words;
} PLANTS[] = {
#define OF_MARKET(table) " WHERE ctid = (SELECT min(ctid) FROM " table " WHERE market_id = '%s')"
    {"UPDATE accounts SET cash = cash + 1" OF_MARKET("accounts"),
     "UPDATE accounts SET cash = cash - 1 WHERE market_id = '%s' AND (cash - 1 - (SELECT sum(amount) FROM ledger l "
     "WHERE l.market_id = accounts.market_id AND l.user_id = accounts.user_id AND company_id IS NULL)) = 0",
     "cash is"},
    {"UPDATE holdings SET quantity = quantity + 1 WHERE market_id = '%s'",
     "UPDATE holdings SET quantity = quantity - 1 WHERE market_id = '%s'", "quantity is"},
    {"UPDATE holdings SET cost = cost + 1 WHERE market_id = '%s'",
     "UPDATE holdings SET cost = cost - 1 WHERE market_id = '%s'", "cost is"},
    {"UPDATE orders SET paid = paid + 1 WHERE market_id = '%s'",
     "UPDATE orders SET paid = paid - 1 WHERE market_id = '%s'", "paid is"},
    {"UPDATE orders SET status = 'cancelled' WHERE market_id = '%s' AND status = 'filled'",
     "UPDATE orders SET status = 'filled' WHERE market_id = '%s' AND reason = 'filled'", "status is"},
    {"UPDATE orders SET quantity = quantity + 1 WHERE market_id = '%s'",
     "UPDATE orders SET quantity = quantity - 1 WHERE market_id = '%s'", "quantity is"},
    {"INSERT INTO orders (id, market_id, user_id, side, type, tif, post_only, bot, quantity, filled, paid, status, "
     "seq, created_at, updated_at) SELECT gen_random_uuid(), '%s', gen_random_uuid(), 'buy', 'limit', 'gtc', false, "
     "true, 1, 0, 0, 'open', 1, now(), now()",
     "DELETE FROM orders WHERE market_id = '%s' AND bot AND seq = 1", "is not in the log"},
    {"UPDATE orders SET market_id = '00000000-0000-7000-8000-000000000001' WHERE market_id = '%s' AND reason = "
     "'self_trade'",
     "UPDATE orders SET market_id = '%s' WHERE market_id = '00000000-0000-7000-8000-000000000001'",
     "orders of the log are missing"},
    {"UPDATE trades SET price = price + 1 WHERE market_id = '%s' AND number = 3",
     "UPDATE trades SET price = price - 1 WHERE market_id = '%s' AND number = 3", "is another in the log"},
    {"UPDATE trades SET company_id = market_id WHERE market_id = '%s' AND number = 2 AND company_id = (SELECT id FROM "
     "companies c WHERE c.market_id = trades.market_id AND index = 0)",
     "UPDATE trades SET company_id = (SELECT id FROM companies c WHERE c.market_id = trades.market_id AND index = 0) "
     "WHERE market_id = '%s' AND company_id = market_id",
     "trades of the log are missing"},
    {"UPDATE trades SET price = price + 1 WHERE market_id = '%s' AND number = 3",
     "UPDATE trades SET price = price - 1 WHERE market_id = '%s' AND number = 3", "cash is not the sum"},
    {"UPDATE entries SET amount = amount - 1 WHERE market_id = '%s' AND line = 0",
     "UPDATE entries SET amount = amount + 1 WHERE market_id = '%s' AND line = 0", "do not sum to zero"},
    {"UPDATE entries SET amount = amount + 1 WHERE market_id = '%s' AND amount > 1 AND company_id IS NULL AND user_id "
     "IS NOT NULL",
     "UPDATE entries SET amount = amount - 1 WHERE market_id = '%s' AND amount > 1 AND company_id IS NULL AND user_id "
     "IS NOT NULL",
     "cash is not the sum"},
    {"UPDATE candles SET volume = volume + 1 WHERE company_id IN (SELECT id FROM companies WHERE market_id = '%s')",
     "UPDATE candles SET volume = volume - 1 WHERE company_id IN (SELECT id FROM companies WHERE market_id = '%s')",
     "the candle of"},
    {"UPDATE companies SET last_price = last_price + 1 WHERE market_id = '%s'",
     "UPDATE companies SET last_price = last_price - 1 WHERE market_id = '%s'", "last_price is"},
    {"INSERT INTO accounts SELECT '%s', gen_random_uuid(), false, 77",
     "DELETE FROM accounts WHERE market_id = '%s' AND cash = 77", "is not in the log"},
#undef OF_MARKET
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void plant(const char *sql, const struct round *round)
{
    char text[1000];
    (void)snprintf(text, sizeof text, sql, round->id, round->id);
    (void)test_sql("%s", text);
}
#pragma GCC diagnostic pop

TEST(whatever_is_planted_is_found, "S-38 I1 I3 I4")
{
    struct scene *scene = scene_open();
    struct round *round = some_round(scene->kit, 800);
    struct audit_report report;
    scene_settle(scene, round);
    REQUIRE(strcmp("", audit(scene, round, &report)) == 0);
    for (size_t i = 0; i < ARRAY_LENGTH(PLANTS); i++) {
        plant(PLANTS[i].plant, round);
        const char *words = audit(scene, round, &report);
        test_check(report.differences > 0 && strstr(words, PLANTS[i].words), __FILE__, __LINE__, "%s: %lld, %s",
                   PLANTS[i].plant, (long long)report.differences, words);
        plant(PLANTS[i].undo, round);
        words = audit(scene, round, &report);
        test_check(report.differences == 0, __FILE__, __LINE__, "%s: %s", PLANTS[i].undo, words);
    }
    round_release(round);
}

/* ---- the ranking ---- */

static void tell_ranking(struct scene *scene, const struct round *round, int64_t participants, const char *places)
{
    AUTO_STR event;
    str_init(&event);
    str_printf(&event, "{\"v\":1,\"kind\":\"ranking\",\"market\":\"%s\",\"participants\":%" PRId64 ",\"places\":%s}",
               round->id, participants, places);
    scene_send(scene, scene->source.game_topic, round->id, (struct view){event.bytes, event.length});
}

/* One sells to the other at 12, then the price falls to 8: one gained, one lost, a third only ordered. */
static struct round *ranked_round(struct scene *scene, int64_t gain_quantity)
{
    struct kit *kit = scene->kit;
    struct round *round = round_open(kit);
    round_deposit(kit, round);
    round_simple(kit, round, MARKET_START);
    (void)round_place(kit, round, 0, 0, SIDE_SELL, 10, 8 * KIT_TICK);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, gain_quantity, 8 * KIT_TICK);
    (void)round_place(kit, round, 0, 0, SIDE_SELL, 10, 12 * KIT_TICK);
    (void)round_place(kit, round, 2, 0, SIDE_BUY, 10, 12 * KIT_TICK);
    (void)round_place(kit, round, 3, 0, SIDE_BUY, 1, KIT_TICK);
    round_simple(kit, round, MARKET_CLOSE);
    scene_settle(scene, round);
    return round;
}

TEST(the_ranking_that_was_told_is_compared, "S-47 S-48 S-55")
{
    struct scene *scene = scene_open();
    struct audit_report report;
    for (int wrong = 0; wrong < 2; wrong++) {
        struct round *round = ranked_round(scene, 10);
        char people[3][UUID_TEXT_BYTES], places[1000];
        for (int i = 0; i < 3; i++)
            uuid_format(&round->people[i + 1], people[i]);
        /* 10 bought at 80,000 and worth 120,000: 4 % of ten millions; the others stay at zero and share a place */
        (void)snprintf(
            places, sizeof places,
            "[{\"place\":1,\"user_id\":\"%s\",\"nickname\":\"a\",\"return_pct\":4,\"total_asset\":10400000},"
            "{\"place\":2,\"user_id\":\"%s\",\"nickname\":\"b\",\"return_pct\":0,\"total_asset\":10000000},"
            "{\"place\":%d,\"user_id\":\"%s\",\"nickname\":\"c\",\"return_pct\":0,\"total_asset\":10000000}]",
            people[0], people[1], wrong ? 3 : 2, people[2]);
        tell_ranking(scene, round, 3, places);
        const char *words = audit(scene, round, &report);
        EXPECT(report.ranked && report.closed);
        EXPECT_I64(wrong, report.differences);
        EXPECT(!wrong || strstr(words, "ranking: "));
        round_release(round);
    }
}

/* ---- logs and schemas that are not whole ---- */

TEST(a_log_that_is_cut_off_is_no_audit, "S-38")
{
    struct scene *scene = scene_open();
    struct round *round = some_round(scene->kit, 20);
    struct audit_report report;
    struct err err = {0};
    EXPECT(kit_settle(scene->kit, round)); /* settled, and never in the log */
    scene->kit->offset -= (int64_t)round->count;
    EXPECT(!audit_market(scene->kit->db, &scene->source, round->id, NULL, NULL, &report, &err));
    EXPECT_PROBLEM("not_found", &err);
    err_clear(&err);
    EXPECT(!audit_market(scene->kit->db, &scene->source, "00000000-0000-7000-8000-00000000000f", NULL, NULL, &report,
                         &err));
    EXPECT_PROBLEM("not_found", &err);
    err_clear(&err);
    EXPECT(!audit_market(scene->kit->db, &scene->source, "x'; --", NULL, NULL, &report, &err));
    EXPECT_PROBLEM("bad_input", &err);
    (void)test_sql("UPDATE applied SET next_offset = %lld WHERE topic = '%s'", (long long)scene->kit->offset,
                   scene->source.events_topic);
    round_release(round);
}

TEST(a_schema_that_stands_behind_its_group_reads_what_it_lacks, "S-38 I1")
{
    struct scene *scene = scene_open();
    struct kit *kit = scene->kit;
    struct round *round = some_round(kit, 300);
    struct err err = {0};
    const size_t half = round->count / 2;
    scene_log(scene, round);
    REQUIRE_OK(kit_settle_range(kit, round, 0, half, &err), &err);
    /* restored from a backup: the group goes on far behind what is settled */
    kit->offset += (int64_t)(round->count - 1 - half);
    REQUIRE_OK(kit_settle_range(kit, round, round->count - 1, round->count, &err), &err);
    round->settled = round->count;
    round_compare(kit, round);
    struct audit_report report;
    EXPECT_TEXT("", audit(scene, round, &report));
    round_release(round);
}

TEST(a_round_is_settled_again_from_its_log_and_one_can_be_given_up, "S-38 S-54")
{
    struct scene *scene = scene_open();
    struct kit *kit = scene->kit;
    struct round *round = some_round(kit, 200), *other = some_round(kit, 50);
    struct audit_report report;
    struct err err = {0};
    int64_t rows;
    round_simple(kit, round, MARKET_CLOSE);
    scene_settle(scene, round);
    scene_settle(scene, other);
    (void)test_sql("UPDATE accounts SET cash = cash + 9 WHERE market_id = '%s'", round->id);
    (void)test_sql("DELETE FROM trades WHERE market_id = '%s' AND number = 1", round->id);
    EXPECT(*audit(scene, round, &report));
    /* the tool turns market.events back; here the log has another name */
    EXPECT(!tool_resettle(kit->db, round->id, &rows, &err) && err_is(&err, &ERR_NOT_FOUND));
    err_clear(&err);
    (void)test_sql("UPDATE applied SET topic = 'market.events' WHERE topic = '%s'", scene->source.events_topic);
    REQUIRE_OK(tool_resettle(kit->db, round->id, &rows, &err), &err);
    (void)test_sql("UPDATE applied SET topic = '%s' WHERE topic = 'market.events'", scene->source.events_topic);
    EXPECT(rows > 100 && KIT_NUMBER("SELECT count(*) FROM orders WHERE market_id = '%s'", round->id) == 0);
    REQUIRE_OK(settle_took_over(kit->settle, scene->source.events_topic, 0, &err), &err);
    round_compare(kit, round);
    EXPECT_TEXT("", audit(scene, round, &report));
    EXPECT_TEXT("", audit(scene, other, &report));
    /* given up: it stays as it is */
    REQUIRE_OK(tool_give_up(kit->db, other->id, &err), &err);
    (void)round_place(kit, other, 1, 0, SIDE_BUY, 1, KIT_TICK * 10);
    const int64_t before = KIT_NUMBER("SELECT seq FROM markets WHERE id = '%s'", other->id);
    scene_settle(scene, other);
    EXPECT_I64(before, KIT_NUMBER("SELECT seq FROM markets WHERE id = '%s'", other->id));
    round_release(round);
    round_release(other);
}

/* ---- what comes around ---- */

TEST(old_rounds_go_in_portions_and_others_stay, "S-38 I9")
{
    struct scene *scene = scene_open();
    struct kit *kit = scene->kit;
    struct round *old = some_round(kit, 200), *young = some_round(kit, 50);
    struct err err = {0};
    struct audit_report report;
    int64_t deleted, rows = 1;
    round_simple(kit, old, MARKET_CLOSE);
    scene_settle(scene, old);
    scene_settle(scene, young);
    (void)test_sql(
        "UPDATE markets SET opened_at = now() - interval '40 days', closed_at = now() - interval '31 days' WHERE id = "
        "'%s'",
        old->id);
    REQUIRE_OK(upkeep_sweep(kit->db, 30, 2, &deleted, &err), &err); /* two portions are not enough */
    EXPECT(deleted > 0);
    EXPECT_I64(1, KIT_NUMBER("SELECT count(*) FROM markets WHERE id = '%s'", old->id));
    for (int i = 0; i < 20 && rows; i++)
        REQUIRE_OK(upkeep_sweep(kit->db, 30, 5, &rows, &err), &err);
    EXPECT_I64(0, rows);
    EXPECT_I64(
        0,
        KIT_NUMBER("SELECT (SELECT count(*) FROM markets WHERE id = '%s') + (SELECT count(*) FROM orders WHERE "
                   "market_id = '%s') + (SELECT count(*) FROM ledger WHERE market_id = '%s') + (SELECT count(*) FROM "
                   "trades WHERE market_id = '%s') + (SELECT count(*) FROM holdings WHERE market_id = '%s') + "
                   "(SELECT count(*) FROM accounts WHERE market_id = '%s')",
                   old->id, old->id, old->id, old->id, old->id, old->id));
    EXPECT_TEXT("", audit(scene, young, &report));
    round_release(old);
    round_release(young);
}
