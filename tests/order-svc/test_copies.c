/* What order-svc keeps of other services' facts, against PostgreSQL: people, ratings, names; and cancel-all of those
 * who withdrew. */
#include "copies.h"
#include "settle_kit.h"

static const char *new_id(char id[UUID_TEXT_BYTES])
{
    uuid_new(id);
    return id;
}

static bool apply(bool (*handler)(struct pg_pool *, const struct kafka_batch *, struct err *), const char *topic,
                  const char *const *payloads, size_t count)
{
    static int64_t offsets[2]; /* of the two topics */
    struct kafka_record records[8];
    struct err err = {0};
    int64_t *offset = &offsets[strcmp(topic, TOPIC_ACCOUNTS) == 0];
    for (size_t i = 0; i < count; i++)
        records[i] = (struct kafka_record){.offset = (*offset)++, .payload = view_of(payloads[i])};
    const struct kafka_batch batch = {.topic = topic, .records = records, .count = count};
    return test_check(handler(kit_open()->db, &batch, &err), __FILE__, __LINE__, "%s: %s %s", topic, err.message,
                      err.detail);
}

static const char *account_event(const char *user, const char *nickname, bool withdrawn, int version)
{
    static char text[8][400];
    static int next;
    char *out = text[next++ % 8];
    (void)snprintf(
        out, sizeof text[0],
        "{\"v\":1,\"kind\":\"account\",\"user_id\":\"%s\",\"nickname\":\"%s\",\"withdrawn\":%s,\"version\":%d}", user,
        nickname, withdrawn ? "true" : "false", version);
    return out;
}

static const char *person(const char *user)
{
    return test_sql(
        "SELECT concat_ws(' ', nickname, withdrawn, version, rating, tier) FROM people WHERE user_id = '%s'", user);
}

TEST(people_follow_their_newest_version, "S-11")
{
    char user[UUID_TEXT_BYTES];
    (void)kit_open();
    new_id(user);
    const char *events[] = {account_event(user, "first", false, 1), account_event(user, "second", false, 3),
                            account_event(user, "between", false, 2)};
    EXPECT(apply(copies_accounts, TOPIC_ACCOUNTS, events, 3));
    EXPECT_TEXT("second f 3 0 bronze", person(user));
    EXPECT(apply(copies_accounts, TOPIC_ACCOUNTS, events, 1)); /* a double changes nothing */
    EXPECT_TEXT("second f 3 0 bronze", person(user));
}

TEST(ratings_never_fall_and_may_come_before_the_person, "S-48")
{
    char user[UUID_TEXT_BYTES], text[2][400];
    new_id(user);
    for (int i = 0; i < 2; i++)
        (void)snprintf(
            text[i], sizeof text[i],
            "{\"v\":1,\"kind\":\"ratings\",\"ratings\":[{\"user_id\":\"%s\",\"rating\":%d,\"tier\":\"%s\"}]}", user,
            i ? 100 : 250, i ? "silver" : "gold");
    const char *events[] = {text[0], text[1]};
    EXPECT(apply(copies_game, TOPIC_GAME_EVENTS, events, 2));
    EXPECT_TEXT("f 0 250 gold", strchr(person(user), 'f'));
    const char *account = account_event(user, "late", false, 1);
    EXPECT(apply(copies_accounts, TOPIC_ACCOUNTS, &account, 1));
    EXPECT_TEXT("late f 1 250 gold", person(user));
}

TEST(companies_get_their_names_whichever_comes_first, "S-19")
{
    struct kit *kit = kit_open();
    for (int first = 0; first < 2; first++) {
        struct round *round = round_open(kit);
        char text[600], company[UUID_TEXT_BYTES];
        uuid_format(&round->companies[1], company);
        (void)snprintf(text, sizeof text,
                       "{\"v\":1,\"kind\":\"round\",\"market\":\"%s\",\"phase\":\"setup\",\"companies\":[{\"id\":\"%"
                       "s\",\"index\":1,"
                       "\"name\":\"한빛전자\",\"initial_price\":100000}]}",
                       round->id, company);
        const char *event = text;
        if (first)
            EXPECT(kit_settle(kit, round));
        EXPECT(apply(copies_game, TOPIC_GAME_EVENTS, &event, 1));
        EXPECT(kit_settle(kit, round));
        EXPECT_TEXT("한빛전자", test_sql("SELECT name FROM companies WHERE id = '%s'", company));
        EXPECT_I64(KIT_COMPANIES - 1,
                   KIT_NUMBER("SELECT count(*) FROM companies WHERE market_id = '%s' AND name IS NULL", round->id));
        round_release(round);
    }
}

static int64_t cancels(const char *market)
{
    return KIT_NUMBER("SELECT count(*) FROM outbox WHERE topic = 'market.commands' AND key = '%s'", market);
}

/* The command that waits in the outbox for this market. */
static struct market_command outbox_command(struct kit *kit, const char *market)
{
    static const struct pg_statement COMMAND = {
        "test_command",
        "SELECT bytes FROM outbox WHERE topic = 'market.commands' AND key = $1 ORDER BY id DESC LIMIT 1"};
    struct market_command command = {0};
    struct err err = {0};
    AUTO(arena) arena = arena_open(65536);
    AUTO(pg_result) row = pg_query(kit->db, &COMMAND, PARAMS(PG_TEXT(market)), &err);
    EXPECT(row && pg_rows(row) == 1 && market_command_decode(pg_bytes(row, 0, 0, arena), &command, &err));
    return command;
}

TEST(who_withdraws_has_no_open_orders, "S-10")
{
    struct kit *kit = kit_open();
    struct round *round = round_open(kit);
    char user[UUID_TEXT_BYTES];
    struct err err = {0};
    int64_t sent;
    round_deposit(kit, round);
    round_simple(kit, round, MARKET_START);
    uuid_format(&round->people[1], user);
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 1, 5 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    const char *event = account_event(user, "leaver", true, 4);
    EXPECT(apply(copies_accounts, TOPIC_ACCOUNTS, &event, 1));
    EXPECT_TEXT("t 4 0 bronze", strchr(person(user), 't')); /* and no name */
    EXPECT_I64(1, cancels(round->id));
    struct market_command command = outbox_command(kit, round->id);
    EXPECT(command.kind == MARKET_CANCEL_ALL);
    EXPECT(memcmp(&command.cancel_all.account, &round->people[1], sizeof(struct uuid)) == 0);
    /* an order that was on its way, settled after the withdrawal: the next look cancels again, as a newer command */
    const uint64_t before = command.n;
    (void)round_place(kit, round, 1, 0, SIDE_BUY, 1, 6 * KIT_TICK);
    EXPECT(kit_settle(kit, round));
    REQUIRE_OK(copies_cancel_stragglers(kit->db, &sent, &err), &err);
    EXPECT(sent >= 1 && cancels(round->id) == 2);
    command = outbox_command(kit, round->id);
    EXPECT(command.n >= before);
    round_do(kit, round, &command);
    EXPECT(kit_settle(kit, round));
    EXPECT_I64(0, KIT_NUMBER("SELECT count(*) FROM orders WHERE user_id = '%s' AND status = 'open'", user));
    EXPECT(apply(copies_accounts, TOPIC_ACCOUNTS, &event, 1)); /* known already: nothing more is sent */
    REQUIRE_OK(copies_cancel_stragglers(kit->db, &sent, &err), &err);
    EXPECT_I64(2, cancels(round->id));
    round_release(round);
}
