/* chance_kit.h - rounds played by chance: every kind of command, good and bad, by a bot and people. For tests only. */
#ifndef MADANG_TESTS_ORDER_CHANCE_KIT_H
#define MADANG_TESTS_ORDER_CHANCE_KIT_H

#include "settle_kit.h"

__attribute__((unused)) static int64_t below(int64_t count)
{
    return (int64_t)(test_random() % (uint64_t)count);
}

enum { ORDERS_KEPT = 64 };

struct past {
    struct uuid orders[ORDERS_KEPT];
    int owners[ORDERS_KEPT];
    size_t count;
};

static void some_command(struct kit *kit, struct round *round, struct past *past)
{
    const int who = (int)below(KIT_ACCOUNTS), company = (int)below(KIT_COMPANIES + (below(50) == 0));
    const size_t old = (size_t)below(ORDERS_KEPT);
    const int64_t price = KIT_TICK * (5 + below(12)), quantity = 1 + below(20);
    const int64_t chance = below(100);
    if (chance < 70 || !past->count) {
        const bool market = below(4) == 0;
        const size_t place = past->count++ % ORDERS_KEPT;
        past->owners[place] = who;
        past->orders[place] = round_place(kit, round, who, company, (int)below(2), quantity, market ? 0 : price);
    } else if (chance < 82) {
        round_cancel(kit, round, past->owners[old % past->count], past->orders[old % past->count]);
    } else if (chance < 94) {
        round_amend(kit, round, past->owners[old % past->count], past->orders[old % past->count], below(2) ? price : 0,
                    below(2) ? quantity : 0);
    } else if (chance < 96) {
        round_do(kit, round, &(struct market_command){.kind = MARKET_CANCEL_ALL, .cancel_all = {round->people[who]}});
    } else if (chance < 98) {
        round_do(kit, round,
                 &(struct market_command){.kind = MARKET_HALT, .halt = {(uint8_t)below(KIT_COMPANIES), below(4) == 0}});
    } else { /* an id that is known, or somebody else's */
        struct market_command command = {.kind = MARKET_PLACE,
                                         .order = {.order_id = past->orders[old % past->count],
                                                   .account = round->people[who],
                                                   .price = price,
                                                   .quantity = quantity,
                                                   .bot = who == 0,
                                                   .client_order_id = {"", 0}}};
        round_do(kit, round, &command);
    }
}

__attribute__((unused)) static struct round *some_round(struct kit *kit, int commands)
{
    struct round *round = round_open(kit);
    struct past past = {.count = 0};
    round_deposit(kit, round);
    for (int i = 0; i < 40; i++)
        (void)round_place(kit, round, 0, i % KIT_COMPANIES, i % 2, 30, KIT_TICK * (i % 2 ? 11 + i / 6 : 10 - i / 6));
    (void)round_place(kit, round, 3, 0, SIDE_BUY, 1, KIT_TICK * 5); /* too early: forgotten by the engine */
    round_simple(kit, round, MARKET_START);
    for (int i = 0; i < commands; i++)
        some_command(kit, round, &past);
    return round;
}

#endif
