/* The rules of the order book, one scene each: what is commanded, an arrow, what is told. Every scene runs through the
 * engine and the model at once, and book_check looks at the engine after every line.
 *
 * Lines:  o1 ann buy 5 @500 [ioc|fok|post] [co=1] [cid=x] [bot]     o1 ann sell 5 market     o1 ann amend 3 @510 (0:
 * unchanged) o1 ann cancel     * ann cancel-all     halt 0     resume 0     start     close     give d1 bot <cash>
 * <shares of company 0> Tick 10, prices 10 to 100,000, seed 1,000,000, two companies at 500. The prelude gives bot
 * 1,000 shares of company 0 and sells 100 at 500 to ann and to bob. */
#include "book_kit.h"
#include "test.h"

enum { WORDS_PER_LINE = 12 };

static struct market_command open_command(bool size_rule)
{
    struct market_command command = {.kind = MARKET_OPEN};
    command.open.seed_cash = 1000000;
    command.open.tick = command.open.price_min = 10;
    command.open.price_max = 100000;
    command.open.size_rule = size_rule;
    command.open.company_count = 2;
    command.open.companies[0] = (struct market_company){kit_id("electro"), 500};
    command.open.companies[1] = (struct market_company){kit_id("motor"), 500};
    return command;
}

/* ---- lines to commands ---- */

static void read_option(struct market_order *order, const char *word)
{
    if (word[0] == '@')
        order->price = strtoll(word + 1, NULL, 10);
    else if (strcmp(word, "market") == 0)
        order->type = TYPE_MARKET;
    else if (strcmp(word, "ioc") == 0)
        order->tif = TIF_IOC;
    else if (strcmp(word, "fok") == 0)
        order->tif = TIF_FOK;
    else if (strcmp(word, "post") == 0)
        order->post_only = true;
    else if (strcmp(word, "bot") == 0)
        order->bot = true;
    else if (strncmp(word, "co=", 3) == 0)
        order->company = (uint8_t)atoi(word + 3);
    else if (strncmp(word, "cid=", 4) == 0)
        order->client_order_id = view_of(word + 4);
}

static struct market_command read_order(char **words, int count)
{
    static const struct {
        const char *word;
        enum market_command_kind kind;
        uint8_t side;
    } VERBS[] = {{"buy", MARKET_PLACE, SIDE_BUY},
                 {"sell", MARKET_PLACE, SIDE_SELL},
                 {"amend", MARKET_AMEND, 0},
                 {"cancel", MARKET_CANCEL, 0}};
    struct market_command command = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(VERBS); i++)
        if (count > 2 && strcmp(words[2], VERBS[i].word) == 0) {
            command.kind = VERBS[i].kind;
            command.order.side = VERBS[i].side;
        }
    command.order.client_order_id = (struct view){"", 0};
    command.order.order_id = kit_id(words[0]);
    command.order.account = kit_id(words[1]);
    command.order.quantity = count > 3 ? strtoll(words[3], NULL, 10) : 0;
    for (int i = 4; i < count; i++)
        read_option(&command.order, words[i]);
    return command;
}

static struct market_command read_line(char *line)
{
    char *words[WORDS_PER_LINE], *rest = NULL;
    int count = 0;
    for (char *word = strtok_r(line, " ", &rest); word && count < WORDS_PER_LINE; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    struct market_command command = {0};
    if (strcmp(words[0], "open") == 0)
        return open_command(false);
    if (strcmp(words[0], "open-sized") == 0)
        return open_command(true);
    if (strcmp(words[0], "start") == 0)
        command.kind = MARKET_START;
    else if (strcmp(words[0], "close") == 0)
        command.kind = MARKET_CLOSE;
    else if (strcmp(words[0], "halt") == 0 || strcmp(words[0], "resume") == 0) {
        command.kind = MARKET_HALT;
        command.halt.company = (uint8_t)atoi(words[1]);
        command.halt.on = words[0][0] == 'h';
    } else if (strcmp(words[0], "give") == 0) {
        command.kind = MARKET_DEPOSIT;
        command.deposit.deposit_id = kit_id(words[1]);
        command.deposit.account = kit_id(words[2]);
        command.deposit.cash = strtoll(words[3], NULL, 10);
        command.deposit.company_count = 1;
        command.deposit.shares[0] = strtoll(words[4], NULL, 10);
    } else if (count > 2 && strcmp(words[2], "cancel-all") == 0) {
        command.kind = MARKET_CANCEL_ALL;
        command.cancel_all.account = kit_id(words[1]);
    } else
        return read_order(words, count);
    return command;
}

/* ---- scenes ---- */

static const char PRELUDE[] =
    "open -> opened\n"
    "give d0 bot 0 1000 -> deposited\n"
    "start -> started\n"
    "p1 bot sell 200 @500 bot -> accepted p1\n"
    "p2 ann buy 100 @500 -> accepted p2; trade 100@500 p1/100 p2/0; done p2 filled 100=50000\n"
    "p3 bob buy 100 @500 -> accepted p3; trade 100@500 p1/0 p3/0; done p1 filled 200=100000; done p3 filled "
    "100=50000\n";

static bool play_line(struct pair *pair, const char *line, size_t length)
{
    char command_text[512];
    struct err err = {0};
    AUTO_STR told;
    str_init(&told);
    (void)snprintf(command_text, sizeof command_text, "%.*s", (int)length, line);
    char *arrow = strstr(command_text, " ->");
    if (!test_check(arrow != NULL, __FILE__, __LINE__, "no arrow in: %s", command_text))
        return false;
    const char *expected = arrow[3] == ' ' ? arrow + 4 : "";
    *arrow = '\0';
    AUTO_FREE char *shown = mem_text(command_text);
    struct market_command command = read_line(command_text);
    const bool same = pair_apply(pair, &command);
    bool ok = kit_words_of_record(&told, &pair->ours, &err) && strcmp(told.bytes, expected) == 0;
    test_check(ok, __FILE__, __LINE__, "%s\n      expected: %s\n      is:       %s", shown, expected, told.bytes);
    if (!same && kit_words_of_record(&told, &pair->theirs, &err))
        ok = test_check(false, __FILE__, __LINE__, "%s\n      the model says: %s", shown, told.bytes);
    return test_check(book_check(pair->book, &err), __FILE__, __LINE__, "%s: book_check: %s", shown, err.message) && ok;
}

static void play_lines(struct pair *pair, const char *script)
{
    for (const char *line = script, *end; *line; line = end + 1) {
        end = strchrnul(line, '\n');
        if (!play_line(pair, line, (size_t)(end - line)) || !*end)
            return;
    }
}

static void play(const char *script)
{
    struct pair pair = pair_open(1000, 100);
    play_lines(&pair, PRELUDE);
    play_lines(&pair, script);
    pair_close(&pair);
}

static void play_bare(const char *script)
{
    struct pair pair = pair_open(1000, 100);
    play_lines(&pair, script);
    pair_close(&pair);
}

/* ---- matching ---- */

TEST(a_limit_order_rests_and_is_taken_at_its_own_price, "S-25 S-32")
{
    play("o1 ann sell 5 @510 -> accepted o1\n"
         "o2 bob buy 3 @530 -> accepted o2; trade 3@510 o1/2 o2/0; done o2 filled 3=1530\n"
         "o3 bob buy 9 @510 -> accepted o3; trade 2@510 o1/0 o3/7; done o1 filled 5=2550\n"
         "o4 ann sell 7 @490 -> accepted o4; trade 7@510 o3/0 o4/0; done o3 filled 9=4590; done o4 filled 7=3570");
}

TEST(best_price_first_then_the_earliest, "S-32")
{
    play("o1 ann sell 1 @520 -> accepted o1\n"
         "o2 ann sell 1 @510 -> accepted o2\n"
         "o3 ann sell 1 @510 -> accepted o3\n"
         "o4 bob buy 3 @520 -> accepted o4; trade 1@510 o2/0 o4/2; done o2 filled 1=510; trade 1@510 o3/0 o4/1; done "
         "o3 filled 1=510; "
         "trade 1@520 o1/0 o4/0; done o1 filled 1=520; done o4 filled 3=1540");
}

TEST(many_orders_at_one_price_go_in_their_order_of_arrival_not_of_id, "S-33")
{
    /* There a score with time in its fraction fell together and ids compared as text: 10 before 9. */
    play("o9 ann sell 1 @510 -> accepted o9\n"
         "o10 ann sell 1 @510 -> accepted o10\n"
         "o100 ann sell 1 @510 -> accepted o100\n"
         "o1 ann sell 1 @510 -> accepted o1\n"
         "t1 bob buy 1 market -> accepted t1; trade 1@510 o9/0 t1/0; done o9 filled 1=510; done t1 filled 1=510\n"
         "t2 bob buy 1 market -> accepted t2; trade 1@510 o10/0 t2/0; done o10 filled 1=510; done t2 filled 1=510\n"
         "t3 bob buy 1 market -> accepted t3; trade 1@510 o100/0 t3/0; done o100 filled 1=510; done t3 filled 1=510\n"
         "t4 bob buy 1 market -> accepted t4; trade 1@510 o1/0 t4/0; done o1 filled 1=510; done t4 filled 1=510");
}

TEST(a_partly_filled_order_keeps_price_time_and_id, "S-32")
{
    play("o1 ann sell 5 @510 -> accepted o1\n"
         "o2 ann sell 5 @510 -> accepted o2\n"
         "o3 bob buy 2 market -> accepted o3; trade 2@510 o1/3 o3/0; done o3 filled 2=1020\n"
         "o4 bob buy 4 market -> accepted o4; trade 3@510 o1/0 o4/1; done o1 filled 5=2550; trade 1@510 o2/4 o4/0; "
         "done o4 filled 4=2040");
}

TEST(a_market_order_takes_what_is_there_and_never_rests, "S-25 S-29")
{
    play("o1 bob buy 5 market -> accepted o1; done o1 unfilled\n"
         "o2 ann sell 2 @510 -> accepted o2\n"
         "o3 bob buy 5 market -> accepted o3; trade 2@510 o2/0 o3/3; done o2 filled 2=1020; done o3 unfilled 2=1020\n"
         "o4 ann sell 1 @900 -> accepted o4\n"
         "o5 bob buy 1 @890 -> accepted o5");
}

TEST(immediate_or_cancel_and_fill_or_kill, "S-25")
{
    play("o1 ann sell 2 @510 -> accepted o1\n"
         "o2 ann sell 2 @520 -> accepted o2\n"
         "o3 bob buy 3 @510 fok -> accepted o3; done o3 unfilled\n"
         "o4 bob buy 5 @520 fok -> accepted o4; done o4 unfilled\n"
         "o5 bob buy 3 @520 fok -> accepted o5; trade 2@510 o1/0 o5/1; done o1 filled 2=1020; trade 1@520 o2/1 o5/0; "
         "done o5 filled 3=1540\n"
         "o6 bob buy 5 @520 ioc -> accepted o6; trade 1@520 o2/0 o6/4; done o2 filled 2=1040; done o6 unfilled 1=520\n"
         "o7 bob buy 5 @520 ioc -> accepted o7; done o7 unfilled\n"
         "o8 ann sell 1 @520 -> accepted o8\n"
         "o9 bob buy 2 market fok -> accepted o9; done o9 unfilled\n"
         "oa bob buy 1 market fok -> accepted oa; trade 1@520 o8/0 oa/0; done o8 filled 1=520; done oa filled 1=520");
}

TEST(post_only_never_takes, "S-25")
{
    play("o1 ann sell 2 @510 -> accepted o1\n"
         "o2 bob buy 1 @510 post -> rejected o2 would_cross\n"
         "o3 ann buy 1 @510 post -> rejected o3 would_cross\n"
         "o4 bob buy 1 @500 post -> accepted o4\n"
         "o5 bob buy 1 market post -> rejected o5 would_cross\n"
         "o6 bob buy 1 @400 ioc post -> rejected o6 would_cross\n"
         "o4 bob amend 0 @510 -> rejected o4 would_cross\n"
         "o7 ann sell 1 market -> accepted o7; trade 1@500 o4/0 o7/0; done o4 filled 1=500; done o7 filled 1=500");
}

TEST(orders_of_two_companies_do_not_meet, "S-36")
{
    play("o1 ann sell 1 @510 -> accepted o1\n"
         "o2 bob buy 1 @510 co=1 -> accepted o2\n"
         "o3 ann sell 1 @510 co=1 -> rejected o3 insufficient_shares");
}

/* ---- self-trade ---- */

TEST(the_newer_order_of_the_same_account_ends, "S-35")
{
    play("o1 ann sell 2 @510 -> accepted o1\n"
         "o2 ann sell 2 @520 -> accepted o2\n"
         "o3 bob sell 1 @515 -> rejected o3 bad_tick\n"
         "o4 bob sell 1 @500 -> accepted o4\n"
         "o5 ann buy 3 @530 -> accepted o5; trade 1@500 o4/0 o5/2; done o4 filled 1=500; done o5 self_trade 1=500\n"
         "o6 ann buy 1 market -> accepted o6; done o6 self_trade\n"
         "o7 ann buy 1 @510 fok -> accepted o7; done o7 self_trade\n"
         "o8 ann buy 1 @510 ioc -> accepted o8; done o8 self_trade\n"
         "o9 ann buy 1 @500 -> accepted o9\n"
         "o9 ann amend 0 @510 -> amended o9 1@510; done o9 self_trade\n"
         "t1 bob buy 4 market -> accepted t1; trade 2@510 o1/0 t1/2; done o1 filled 2=1020; trade 2@520 o2/0 t1/0; "
         "done o2 filled 2=1040; done t1 filled 4=2060");
}

TEST(a_market_sum_ends_at_the_own_order, "S-35 S-29")
{
    /* Only the one share before ann's own order is paid for, so little cash is enough. */
    play("o1 bob sell 1 @510 -> accepted o1\n"
         "o2 ann sell 1 @520 -> accepted o2\n"
         "o3 bob sell 90 @100000 -> accepted o3\n"
         "o4 ann buy 90 market -> accepted o4; trade 1@510 o1/0 o4/89; done o1 filled 1=510; done o4 self_trade 1=510");
}

/* ---- money and shares ---- */

TEST(the_same_money_can_not_be_reserved_twice, "S-28 S-39")
{
    play("o1 ann buy 9 @100000 -> accepted o1\n" /* 950,000 - 900,000 */
         "o2 ann buy 1 @50010 -> rejected o2 insufficient_cash\n"
         "o3 ann buy 1 @50000 -> accepted o3\n"
         "o4 ann buy 1 @10 -> rejected o4 insufficient_cash\n"
         "o3 ann cancel -> done o3 cancelled\n"
         "o5 ann buy 5000 @10 -> accepted o5");
}

TEST(the_same_shares_can_not_be_reserved_twice, "S-28 S-39")
{
    play("o1 ann sell 60 @600 -> accepted o1\n"
         "o2 ann sell 41 @600 -> rejected o2 insufficient_shares\n"
         "o3 ann sell 41 market -> rejected o3 insufficient_shares\n"
         "o4 ann sell 40 @600 -> accepted o4\n"
         "o5 ann sell 1 @700 -> rejected o5 insufficient_shares\n"
         "o1 ann amend 59 -> amended o1 59@600 kept\n"
         "o6 ann sell 1 @700 -> accepted o6");
}

TEST(a_buyer_below_the_limit_gets_the_difference_back, "S-32")
{
    play("o1 bob sell 1 @10 -> accepted o1\n"
         "o2 ann buy 9 @100000 -> accepted o2; trade 1@10 o1/0 o2/8; done o1 filled 1=10\n" /* 949,990 - 800,000 */
         "o3 ann buy 1 @100000 -> accepted o3\n"
         "o4 ann buy 1 @50000 -> rejected o4 insufficient_cash\n"
         "o5 ann buy 1 @49990 -> accepted o5\n"
         "o6 ann buy 1 @10 -> rejected o6 insufficient_cash");
}

TEST(a_market_buy_needs_the_sum_over_its_levels_not_the_worst_price, "S-29")
{
    /* 99 at 500 and 1 at 100,000: 149,500. Priced at the worst level it would be 10,000,000. */
    play("o1 bob sell 99 @500 -> accepted o1\n"
         "o2 bob sell 1 @100000 -> accepted o2\n"
         "o3 ann buy 8 @100000 co=1 -> accepted o3\n" /* 150,000 left */
         "o4 ann buy 1 @510 co=1 -> accepted o4\n"    /* 149,490 */
         "o5 ann buy 100 market -> rejected o5 insufficient_cash\n"
         "o4 ann cancel -> done o4 cancelled\n"
         "o6 ann buy 100 market -> accepted o6; trade 99@500 o1/0 o6/1; done o1 filled 99=49500; trade 1@100000 o2/0 "
         "o6/0; done o2 filled 1=100000; "
         "done o6 filled 100=149500");
}

TEST(what_is_sold_can_be_spent_at_once_and_what_is_bought_sold, "S-39")
{
    play(
        "o1 ann buy 9 @100000 co=1 -> accepted o1\n"
        "o2 ann buy 1 @50000 co=1 -> accepted o2\n" /* nothing left */
        "o3 bob buy 1 @40000 -> accepted o3\n"
        "o4 ann sell 1 market -> accepted o4; trade 1@40000 o3/0 o4/0; done o3 filled 1=40000; done o4 filled 1=40000\n"
        "o5 ann buy 1 @40000 co=1 -> accepted o5\n"
        "o6 bob sell 101 @100000 -> accepted o6\n"
        "o7 bob sell 1 @100000 -> rejected o7 insufficient_shares");
}

TEST(sums_hold_from_seed_to_cash_out, "S-38 S-17")
{
    /* 2 x 1,000,000 seeded, and the bot's 1,000 shares at the last price 600: 2,600,000. */
    play("o1 ann sell 10 @600 -> accepted o1\n"
         "o2 bob buy 4 market -> accepted o2; trade 4@600 o1/6 o2/0; done o2 filled 4=2400\n"
         "o3 ann buy 1 @100 -> accepted o3\n"
         "close -> closed 600 500; accounts ann=1010000 bob=1010000 bot=580000");
}

/* ---- amend ---- */

TEST(an_amend_keeps_the_id_and_its_place_only_when_it_asks_for_less, "S-30")
{
    play("o1 ann sell 5 @510 -> accepted o1\n"
         "o2 ann sell 5 @510 -> accepted o2\n"
         "o1 ann amend 3 @510 -> amended o1 3@510 kept\n"
         "t1 bob buy 1 market -> accepted t1; trade 1@510 o1/2 t1/0; done t1 filled 1=510\n"
         "o1 ann amend 4 -> amended o1 4@510 1=510\n"
         "t2 bob buy 1 market -> accepted t2; trade 1@510 o2/4 t2/0; done t2 filled 1=510\n"
         "o2 ann amend 0 @520 -> amended o2 5@520 1=510\n"
         "o2 ann amend 0 @510 -> amended o2 5@510 1=510\n"
         "t3 bob buy 4 market -> accepted t3; trade 3@510 o1/0 t3/1; done o1 filled 4=2040; trade 1@510 o2/3 t3/0; "
         "done t3 filled 4=2040");
}

TEST(an_amend_that_crosses_takes_first, "S-30 S-32")
{
    play("o1 ann sell 5 @510 -> accepted o1\n"
         "o2 bob buy 3 @500 -> accepted o2\n"
         "o2 bob amend 7 @520 -> amended o2 7@520; trade 5@510 o1/0 o2/2; done o1 filled 5=2550\n"
         "o3 ann sell 2 market -> accepted o3; trade 2@520 o2/0 o3/0; done o2 filled 7=3590; done o3 filled 2=1040");
}

TEST(the_funds_check_of_an_amend_counts_its_own_reserve, "S-30 S-28")
{
    play("o1 ann buy 9 @100000 -> accepted o1\n" /* 50,000 free */
         "o1 ann amend 10 -> rejected o1 insufficient_cash\n"
         "o1 ann amend 95 @10000 -> amended o1 95@10000\n"
         "o1 ann amend 96 -> rejected o1 insufficient_cash\n"
         "o2 ann sell 100 @100000 -> accepted o2\n"
         "o2 ann amend 101 -> rejected o2 insufficient_shares\n"
         "o2 ann amend 0 @90000 -> amended o2 100@90000\n"
         "o3 bob sell 1 market -> accepted o3; trade 1@10000 o1/94 o3/0; done o3 filled 1=10000");
}

TEST(a_wrong_amend_leaves_the_order_as_it_stands, "S-30 S-20")
{
    play("o1 ann buy 5 @500 -> accepted o1\n"
         "o2 bob sell 2 market -> accepted o2; trade 2@500 o1/3 o2/0; done o2 filled 2=1000\n"
         "o1 ann amend 2 -> rejected o1 bad_quantity 2=1000\n"
         "o1 ann amend -1 -> rejected o1 bad_quantity 2=1000\n"
         "o1 ann amend 2147483648 -> rejected o1 bad_quantity 2=1000\n"
         "o1 ann amend 0 @505 -> rejected o1 bad_tick 2=1000\n"
         "o1 ann amend 0 @5 -> rejected o1 bad_price 2=1000\n"
         "o1 ann amend 0 @-500 -> rejected o1 bad_price 2=1000\n"
         "o1 ann amend 0 @100010 -> rejected o1 bad_price 2=1000\n"
         "o1 ann amend 0 -> amended o1 5@500 kept 2=1000\n"
         "o3 bob sell 3 market -> accepted o3; trade 3@500 o1/0 o3/0; done o1 filled 5=2500; done o3 filled 3=1500");
}

TEST(an_amend_without_a_price_never_becomes_a_market_order, "S-30")
{
    play("o1 ann buy 5 @490 -> accepted o1\n"
         "o2 bob sell 5 @510 -> accepted o2\n"
         "o1 ann amend 6 -> amended o1 6@490\n"
         "o3 bob sell 6 @490 -> accepted o3; trade 6@490 o1/0 o3/0; done o1 filled 6=2940; done o3 filled 6=2940");
}

TEST(an_amend_of_what_was_just_filled_makes_nothing, "S-30")
{
    play("o1 ann sell 5 @510 -> accepted o1\n"
         "o2 bob buy 5 market -> accepted o2; trade 5@510 o1/0 o2/0; done o1 filled 5=2550; done o2 filled 5=2550\n"
         "o1 ann amend 500 @510 -> rejected o1 order_done 5=2550\n"
         "o9 ann amend 5 @510 -> rejected o9 not_found\n"
         "o1 bob amend 5 @510 -> rejected o1 not_found\n"
         "o1 eve amend 5 @510 -> rejected o1 not_found\n"
         "t1 bob buy 1 market -> accepted t1; done t1 unfilled");
}

/* ---- cancel ---- */

TEST(a_cancel_gives_back_what_was_reserved, "S-31 S-28")
{
    play("o1 ann buy 9 @100000 -> accepted o1\n"
         "o1 ann cancel -> done o1 cancelled\n"
         "o1 ann cancel -> rejected o1 order_done\n"
         "o2 ann buy 9 @100000 -> accepted o2\n"
         "o2 bob cancel -> rejected o2 not_found\n"
         "o7 bob cancel -> rejected o7 not_found\n"
         "o3 bob sell 3 market -> accepted o3; trade 3@100000 o2/6 o3/0; done o3 filled 3=300000\n"
         "o2 ann cancel -> done o2 cancelled 3=300000\n"
         "o4 ann buy 6 @100000 -> accepted o4");
}

TEST(a_cancel_of_what_was_just_filled_changes_no_balance, "S-31")
{
    play("o1 ann sell 5 @510 -> accepted o1\n"
         "o2 bob buy 5 market -> accepted o2; trade 5@510 o1/0 o2/0; done o1 filled 5=2550; done o2 filled 5=2550\n"
         "o1 ann cancel -> rejected o1 order_done 5=2550\n"
         "close -> closed 510 500; accounts ann=1001000 bob=1001000 bot=508000");
}

TEST(cancel_all_ends_the_account_s_orders_oldest_first, "S-31 S-10")
{
    play("o1 ann buy 5 @490 -> accepted o1\n"
         "o2 ann sell 5 @510 -> accepted o2\n"
         "o3 bob buy 5 @490 -> accepted o3\n"
         "o4 ann buy 1 @10 co=1 -> accepted o4\n"
         "o1 ann amend 5 @480 -> amended o1 5@480\n"
         "* ann cancel-all -> done o2 cancelled; done o4 cancelled; done o1 cancelled; cancelled_all 3\n"
         "* ann cancel-all -> cancelled_all 0\n"
         "* eve cancel-all -> cancelled_all 0\n"
         "o5 ann sell 100 @490 -> accepted o5; trade 5@490 o3/0 o5/95; done o3 filled 5=2450");
}

/* ---- bounds ---- */

TEST(prices_stay_on_the_tick_and_in_the_band, "S-20")
{
    /* There a limit below the tick became 0 and so a market order, and a negative buy added cash. */
    play("o1 ann buy 1 @505 -> rejected o1 bad_tick\n"
         "o2 ann buy 1 @0 -> rejected o2 bad_price\n"
         "o3 ann buy 1 @9 -> rejected o3 bad_price\n"
         "o4 ann buy 1 @-500 -> rejected o4 bad_price\n"
         "o5 ann buy 1 @100010 -> rejected o5 bad_price\n"
         "o6 ann buy 1 @10 -> accepted o6\n"
         "o7 ann sell 1 @100000 -> accepted o7\n"
         "o8 ann buy 1 @500 market -> rejected o8 bad_price\n"
         "o9 ann buy 1 @-9223372036854775808 -> rejected o9 bad_price\n"
         "oa ann buy 1 @9223372036854775807 -> rejected oa bad_price");
}

TEST(quantities_are_whole_and_bounded, "S-26")
{
    play("o1 ann buy 0 @500 -> rejected o1 bad_quantity\n"
         "o2 ann buy -1 @500 -> rejected o2 bad_quantity\n"
         "o3 ann buy 2147483648 @500 -> rejected o3 bad_quantity\n"
         "o4 ann buy 2147483647 @500 -> rejected o4 insufficient_cash\n"
         "o5 ann buy 9223372036854775807 market -> rejected o5 bad_quantity\n"
         "o6 ann sell -9223372036854775808 market -> rejected o6 bad_quantity\n"
         "o7 ann buy 2147483647 market -> accepted o7; done o7 unfilled\n"
         "o8 ann buy 1 @500 co=2 -> rejected o8 unknown_company\n"
         "o9 ann buy 1 @500 co=255 -> rejected o9 unknown_company");
}

TEST(the_size_rule_looks_at_the_other_side_after_the_funds, "S-27")
{
    play_bare("open-sized -> opened\n"
              "give d0 bot 1000000 1000 -> deposited\n"
              "b1 bot sell 5 @500 bot -> accepted b1\n" /* a bot fills an empty book */
              "b2 bot sell 5 @600 bot -> accepted b2\n"
              "start -> started\n"
              "o1 ann buy 10 market -> rejected o1 too_large limit=9\n"
              "o2 ann buy 10 @100 -> rejected o2 too_large limit=9\n"
              "o3 ann buy 9 @100 -> accepted o3\n"
              "o4 ann buy 9000 @1000 -> rejected o4 insufficient_cash\n"
              "o5 ann sell 1 market -> rejected o5 insufficient_shares\n"
              "o6 ann buy 1 @100 co=1 -> rejected o6 too_large\n"
              "o3 ann amend 10 -> rejected o3 too_large limit=9\n"
              "o7 ann buy 9 market -> accepted o7; trade 5@500 b1/0 o7/4; done b1 filled 5=2500; trade 4@600 b2/1 "
              "o7/0; done o7 filled 9=4900");
}

TEST(the_size_rule_is_off_unless_it_is_asked_for, "S-27")
{
    play("o1 ann sell 1 @500 -> accepted o1\n"
         "o2 bob buy 100 @500 -> accepted o2; trade 1@500 o1/0 o2/99; done o1 filled 1=500");
}

/* ---- repeats ---- */

TEST(a_repeated_client_order_id_gives_the_order_as_it_stands, "S-37 I1")
{
    play("o1 ann sell 5 @510 cid=k -> accepted o1\n"
         "o2 ann sell 5 @510 cid=k -> repeated o1\n"
         "o3 bob buy 2 market cid=k -> accepted o3; trade 2@510 o1/3 o3/0; done o3 filled 2=1020\n"
         "o4 ann sell 9 @900 cid=k -> repeated o1 2=1020\n"
         "o1 ann sell 5 @510 cid=k -> repeated o1 2=1020\n"
         "o1 ann sell 5 @510 -> repeated o1 2=1020\n"
         "o1 bob sell 5 @510 -> rejected o1 not_found\n"
         "o1 ann cancel -> done o1 cancelled 2=1020\n"
         "o5 ann sell 5 @510 cid=k -> repeated o1 cancelled 2=1020\n"
         "o6 ann sell 5 @510 cid=kk -> accepted o6\n"
         "o7 ann buy 5 @505 cid=bad -> rejected o7 bad_tick\n"
         "o8 ann buy 5 @500 cid=bad -> repeated o7 bad_tick\n"
         "close -> closed 510 500; accounts ann=1001000 bob=1001000 bot=508000\n"
         "o9 ann sell 5 @510 cid=kk -> repeated o6 round_closed\n"
         "oa ann sell 5 @510 cid=new -> rejected oa market_closed");
}

TEST(what_the_market_turns_away_may_come_again, "S-16 S-37")
{
    play("halt 0 -> halted\n"
         "o1 ann sell 5 @510 cid=k -> rejected o1 halted\n"
         "resume 0 -> halted\n"
         "o2 ann sell 5 @510 cid=k -> accepted o2\n"
         "o1 ann sell 5 @510 -> accepted o1");
}

TEST(a_command_is_applied_once_however_often_it_comes, "S-37 I1")
{
    struct pair pair = pair_open(100, 10);
    struct market_command command = open_command(false), start = {.kind = MARKET_START};
    EXPECT(pair_apply_as(&pair, &command, 7, 1));
    EXPECT(pair_apply_as(&pair, &start, 7, 5));
    EXPECT(book_seen(pair.book, 7, 5) && book_seen(pair.book, 7, 2) && !book_seen(pair.book, 7, 6) &&
           !book_seen(pair.book, 8, 1));
    struct market_command order = {.kind = MARKET_PLACE,
                                   .order = {.order_id = kit_id("o1"),
                                             .account = kit_id("ann"),
                                             .price = 500,
                                             .quantity = 1,
                                             .client_order_id = {"", 0}}};
    const int64_t before = book_seq(pair.book);
    const uint64_t hash = book_hash(pair.book);
    EXPECT(pair_apply_as(&pair, &order, 7, 5));
    EXPECT(pair_apply_as(&pair, &order, 7, 3));
    EXPECT_I64(before, book_seq(pair.book));
    EXPECT(hash == book_hash(pair.book));
    EXPECT(pair_apply_as(&pair, &order, 8, 1));
    EXPECT_I64(before + 1, book_seq(pair.book));
    pair_close(&pair);
}

TEST(money_is_given_once_per_deposit_and_only_to_bots, "S-37 S-21")
{
    play("give d0 bot 0 1000 ->\n"
         "give d1 ann 1000 1000 -> rejected d1 not_found\n"
         "give d2 bot2 1000 0 -> deposited\n"
         "give d2 bot2 1000 0 ->\n"
         "give d3 bot2 -1 0 -> rejected d3 bad_quantity\n"
         "o1 bot2 buy 2 @500 bot -> accepted o1\n"
         "o2 bot2 buy 1 @10 bot -> rejected o2 insufficient_cash\n"
         "o3 bot2 sell 1 market bot -> rejected o3 insufficient_shares\n"
         "close -> closed 500 500; accounts ann=1000000 bob=1000000 bot=500000 bot2=1000");
}

/* ---- phases ---- */

TEST(before_the_start_only_bots_may_place, "S-12 S-16")
{
    play_bare("o0 ann buy 1 @500 -> rejected o0 market_closed\n"
              "o0 ann cancel -> rejected o0 market_closed\n"
              "give d9 bot 5 5 -> rejected d9 market_closed\n"
              "start ->\n"
              "halt 0 ->\n"
              "close ->\n"
              "open -> opened\n"
              "open ->\n"
              "o1 ann buy 1 @500 -> rejected o1 market_closed\n"
              "give d0 bot 5000 10 -> deposited\n"
              "o2 bot sell 1 @500 bot -> accepted o2\n"
              "o3 bot buy 1 @490 bot -> accepted o3\n"
              "o3 bot cancel -> done o3 cancelled\n"
              "start -> started\n"
              "start ->\n"
              "o1 ann buy 1 @500 -> accepted o1; trade 1@500 o2/0 o1/0; done o2 filled 1=500; done o1 filled 1=500");
}

TEST(closing_is_one_exact_place_after_which_nothing_is_taken, "S-17 S-16")
{
    play("o1 ann sell 5 @510 -> accepted o1\n"
         "o2 bob buy 5 @490 -> accepted o2\n"
         "close -> closed 500 500; accounts ann=1000000 bob=1000000 bot=500000\n"
         "close ->\n"
         "o3 bob buy 5 @510 -> rejected o3 market_closed\n"
         "o4 bot buy 5 @510 bot -> rejected o4 market_closed\n"
         "o1 ann cancel -> rejected o1 market_closed\n"
         "o1 ann amend 4 -> rejected o1 market_closed\n"
         "* ann cancel-all -> cancelled_all 0\n"
         "give d9 bot 5 5 -> rejected d9 market_closed\n"
         "halt 0 ->\n"
         "start ->");
}

TEST(a_halted_company_takes_no_orders_but_cancels, "S-16")
{
    play("o1 ann sell 5 @510 -> accepted o1\n"
         "o2 ann sell 5 @520 -> accepted o2\n"
         "halt 0 -> halted\n"
         "halt 0 ->\n"
         "halt 9 ->\n"
         "o3 bob buy 1 @510 -> rejected o3 halted\n"
         "o1 ann amend 4 -> rejected o1 halted\n"
         "o2 ann cancel -> done o2 cancelled\n"
         "o4 bob buy 1 @510 co=1 -> accepted o4\n"
         "resume 0 -> halted\n"
         "o5 bob buy 1 @510 -> accepted o5; trade 1@510 o1/4 o5/0; done o5 filled 1=510");
}
