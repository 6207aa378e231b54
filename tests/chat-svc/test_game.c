/* test_game.c - what an event of the game becomes: commands and words; what a record of a market tells whom; the
 * server's lines are said once. */
#include "announce.h"
#include "market_news.h"
#include "room_kit.h"

#include <stdio.h>

#define MARKET "0190a0a0-0000-7000-8000-00000000000a"
#define EVENT "0190a0a0-0000-7000-8000-0000000000e1"
#define ONE "0190a0a0-0000-7000-8000-0000000000c1"
#define TWO "0190a0a0-0000-7000-8000-0000000000c2"
#define HEAD "{\"v\":1,\"id\":\"" EVENT "\",\"at\":\"2026-01-01T00:00:00.000Z\",\"market\":\"" MARKET "\","
#define COMPANIES                                                                                                      \
    "\"companies\":[{\"id\":\"" ONE "\",\"index\":0,\"name\":\"Hanul\"},{\"id\":\"" TWO                                \
    "\",\"index\":1,\"name\":\"Dal\"}]"

static struct arena *arena(void)
{
    static struct arena *one;
    if (!one)
        one = arena_open(16 << 20);
    return one;
}

static struct commands said(const char *json)
{
    struct game_event event;
    struct err err = {0};
    struct commands commands = {.count = 0};
    if (test_check(game_event_decode(arena(), view_of(json), &event, &err), __FILE__, __LINE__, "%s: %s", json,
                   err.message))
        game_event_commands(arena(), &event, &commands);
    return commands;
}

TEST(a_round_makes_and_closes_the_rooms_of_its_companies, "S-12 S-44")
{
    static const struct {
        const char *json;
        enum command_kind rooms;
        const char *en;
    } PHASES[] = {
        {HEAD "\"kind\":\"round\",\"number\":7,\"phase\":\"setup\",\"opens_at\":\"2026-01-01T00:01:00.000Z\"," COMPANIES
              "}",
         COMMAND_CREATE, "Round 7 is being set up. Trading starts in 1 minute."},
        {HEAD "\"kind\":\"round\",\"number\":7,\"phase\":\"setup\",\"opens_at\":\"2026-01-01T00:00:01.499Z\"," COMPANIES
              "}",
         COMMAND_CREATE, "Round 7 is being set up. Trading starts in 1 second."},
        {HEAD "\"kind\":\"round\",\"number\":7,\"phase\":\"open\",\"closes_at\":\"2026-01-01T00:05:00.000Z\","
              "\"next_at\":\"2026-01-01T00:11:00.000Z\"," COMPANIES "}",
         COMMAND_CREATE, "Round 7: trading is open. It closes in 5 minutes."},
        {HEAD "\"kind\":\"round\",\"number\":7,\"phase\":\"open\",\"closes_at\":null," COMPANIES "}", COMMAND_CREATE,
         "Round 7: trading is open."},
        {HEAD "\"kind\":\"round\",\"number\":7,\"phase\":\"closed\",\"next_at\":\"2026-01-01T00:01:15.000Z\"," COMPANIES
              "}",
         COMMAND_CLOSE, "Round 7 is over. The next one comes in 75 seconds."},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(PHASES); i++) {
        const struct commands commands = said(PHASES[i].json);
        REQUIRE(commands.count == 3);
        EXPECT(commands.items[0].kind == PHASES[i].rooms && commands.items[1].kind == PHASES[i].rooms);
        EXPECT_TEXT(ONE, commands.items[0].room_id);
        if (PHASES[i].rooms == COMMAND_CREATE)
            EXPECT_TEXT("Dal", commands.items[1].title);
        const struct command *line = &commands.items[2];
        EXPECT(line->kind == COMMAND_SEND && !line->user_id);
        EXPECT_TEXT(ROOM_EVERYBODY, line->room_id);
        EXPECT_TEXT("system", line->message_kind);
        test_check(strstr(line->content, PHASES[i].en) != NULL, __FILE__, __LINE__, "%s", line->content);
        EXPECT(strstr(line->content, "라운드") != NULL);
    }
}

TEST(a_line_has_the_same_id_each_time_and_another_in_another_room, "S-45 I1")
{
    static const char NEWS[] =
        HEAD "\"kind\":\"news\",\"company\":\"" ONE
             "\",\"company_name\":\"Hanul\",\"text\":{\"en\":\"up\",\"ko\":\"상승\"},\"good\":true}";
    const struct commands once = said(NEWS), again = said(NEWS);
    REQUIRE(once.count == 2 && again.count == 2);
    EXPECT_TEXT(ONE, once.items[1].room_id);
    for (size_t i = 0; i < 2; i++) {
        EXPECT_TEXT(once.items[i].message_id, again.items[i].message_id);
        EXPECT(uuid_parse(once.items[i].message_id, NULL) && uuid_time_ms(once.items[i].message_id) > 0);
    }
    EXPECT(strcmp(once.items[0].message_id, once.items[1].message_id) != 0);
    EXPECT(strstr(once.items[0].content, "\"text\":{\"en\":\"up\",\"ko\":\"상승\"}") != NULL);
}

TEST(a_ranking_of_many_is_still_one_line, "S-47 I9")
{
    AUTO_STR json = {0};
    str_add(&json, HEAD "\"kind\":\"ranking\",\"number\":7,\"participants\":50,\"places\":[");
    for (int i = 0; i < 50; i++)
        str_printf(&json, "%s{\"place\":1,\"user_id\":\"" ONE "\",\"nickname\":\"%s\",\"return_pct\":-0.5}",
                   i ? "," : "", "스무글자별명스무글자별명스무글자별명스무");
    str_add(&json, "]}");
    const struct commands commands = said(json.bytes);
    REQUIRE(commands.count == 1);
    struct command read;
    struct err err = {0};
    AUTO_STR bytes = {0};
    command_encode(&bytes, &commands.items[0]);
    REQUIRE_OK(command_decode(arena(), (struct view){bytes.bytes, bytes.length}, &read, &err), &err);
    EXPECT(strstr(read.content, "1. 스무글자별명스무글자별명스무글자별명스무 -0.5%") != NULL);
    EXPECT(said(HEAD "\"kind\":\"ranking\",\"number\":7,\"participants\":0,\"places\":[]}").count == 0);
    EXPECT(said(HEAD "\"kind\":\"countdown\",\"phase\":\"open\",\"seconds_left\":15}").count == 0);
    EXPECT(said(HEAD "\"kind\":\"weather\"}").count == 0);
}

TEST(what_is_no_event_of_the_game, "S-45")
{
    static const char *const BAD[] = {
        "",
        "{}",
        "[]",
        HEAD "\"kind\":\"round\",\"phase\":\"open\"}",
        HEAD "\"kind\":\"round\",\"phase\":\"never\"," COMPANIES "}",
        HEAD "\"kind\":\"round\",\"phase\":\"open\",\"companies\":{}}",
        HEAD "\"kind\":\"round\",\"phase\":\"open\",\"companies\":[{\"id\":\"x\",\"index\":0,\"name\":\"a\"}]}",
        HEAD "\"kind\":\"round\",\"phase\":\"open\",\"companies\":[{\"id\":\"" ONE "\",\"index\":16,\"name\":\"a\"}]}",
        HEAD "\"kind\":\"round\",\"phase\":\"open\",\"companies\":[{\"id\":\"" ONE "\",\"index\":0,\"name\":\"\"}]}",
        HEAD "\"kind\":\"news\",\"company\":\"" ONE "\",\"company_name\":\"a\",\"text\":\"up\"}",
        HEAD "\"kind\":\"ranking\",\"places\":{}}",
        "{\"kind\":\"news\"}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        struct game_event event;
        struct err err = {0};
        test_check(!game_event_decode(arena(), view_of(BAD[i]), &event, &err), __FILE__, __LINE__, "%s", BAD[i]);
        EXPECT_PROBLEM("bad_input", &err);
    }
}

TEST(the_server_says_a_line_once_and_may_say_more_than_people, "S-44 S-45 I1")
{
    struct yard yard = yard_open();
    EXPECT_TEXT("", yard_create(&yard, "open", NULL, "company", ""));
    char *long_text = arena_alloc(yard.arena, 1001);
    memset(long_text, 'x', 1000);
    const struct command line = {.kind = COMMAND_SEND,
                                 .room_id = "open",
                                 .client_id = "l1",
                                 .message_id = "l1",
                                 .message_kind = "system",
                                 .content = long_text};
    for (int i = 0; i < 10; i++) {
        struct command other = line;
        EXPECT_TEXT("", yard_do(&yard, line));
        other.message_id = arena_printf(yard.arena, "other-%d", i);
        EXPECT_TEXT("", yard_do(&yard, other)); /* no five in ten seconds for the server */
    }
    EXPECT_I64(11, scene_room(yard.scene, "open")->shown.last_seq);
    EXPECT_I64(11, yard.scene->said_list.count);
    arena_release(&yard.arena);
}

/* ---- records of a market ---- */

static struct uuid id_of(int n)
{
    struct uuid id = {{0}};
    id.bytes[6] = 0x70;
    id.bytes[8] = 0x80;
    id.bytes[15] = (unsigned char)n;
    return id;
}

enum { ANN = 1, BOB, CAT, HERE };

static bool is_one(void *payload, const struct uuid *user)
{
    const struct uuid wanted = id_of(*(const int *)payload);
    return memcmp(&wanted, user, sizeof wanted) == 0;
}

TEST(each_side_of_a_trade_hears_its_own_order_and_others_nothing, "S-34 S-46")
{
    struct market_event events[] = {
        {.kind = MARKET_ACCEPTED, .seq = 5, .order = {.order = {.order_id = id_of(20), .account = id_of(BOB)}}},
        {.kind = MARKET_TRADE,
         .seq = 6,
         .trade = {.company = 1,
                   .taker_side = SIDE_SELL,
                   .number = 3,
                   .price = 200000,
                   .quantity = 4,
                   .maker_order = id_of(10),
                   .taker_order = id_of(20),
                   .maker = id_of(ANN),
                   .taker = id_of(BOB),
                   .maker_remaining = 9}},
        {.kind = MARKET_DONE,
         .seq = 7,
         .order = {.order = {.order_id = id_of(20), .account = id_of(BOB), .quantity = 6},
                   .filled = 4,
                   .paid = 800003,
                   .remaining = 2,
                   .reason = REASON_UNFILLED}},
        {.kind = MARKET_DONE,
         .seq = 8,
         .order = {.order = {.order_id = id_of(30), .account = id_of(CAT), .bot = true}}},
        {.kind = MARKET_REJECTED,
         .seq = 9,
         .order = {.order = {.order_id = id_of(10), .account = id_of(ANN)}, .command = MARKET_CANCEL}},
    };
    const struct market_events record = {.market = id_of(99), .first_seq = 5, .count = 5, .events = events};
    struct market_companies companies = {.count = 2};
    (void)snprintf(companies.ids[1], sizeof companies.ids[1], "%s", TWO);
    static const struct {
        int who;
        size_t lines;
        const char *first, *last;
    } PEOPLE[] = {
        {ANN, 1, "\"side\":\"buy\",\"price\":200000,\"quantity\":4,\"remaining\":9,\"maker\":true", "\"number\":3"},
        {BOB, 2, "\"side\":\"sell\",\"price\":200000,\"quantity\":4,\"remaining\":0,\"maker\":false",
         "\"average_price\":200000.75,\"status\":\"cancelled\",\"reason\":\"unfilled\""},
        {CAT, 0, NULL, NULL},
        {HERE, 0, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(PEOPLE); i++) {
        struct market_lines lines = {0};
        int who = PEOPLE[i].who;
        market_news(arena(), &record, &companies, is_one, &who, &lines);
        EXPECT_I64(PEOPLE[i].lines, lines.count);
        if (lines.count == 0 || lines.count != PEOPLE[i].lines)
            continue;
        EXPECT(strstr(lines.items[0].body, PEOPLE[i].first) != NULL);
        EXPECT(strstr(lines.items[0].body, "\"company_id\":\"" TWO "\"") != NULL);
        EXPECT(strstr(lines.items[lines.count - 1].body, PEOPLE[i].last) != NULL);
    }
}
