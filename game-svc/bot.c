#include "bot.h"

#include <string.h>

const struct temperament TEMPERAMENTS[BOT_TRADERS] = {
    {"hasty", 950, 120},
    {"steady", 900, 100},
    {"doubting", 850, 80},
};

/* UUIDs that no clock makes. */
static const struct uuid FIRST = {{0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0xb0, 0}};

struct uuid bot_account(int bot)
{
    struct uuid account = FIRST;
    account.bytes[15] = (unsigned char)bot;
    return account;
}

bool bot_is_account(const char *user_id)
{
    struct uuid id;
    return uuid_parse(user_id, &id) && memcmp(id.bytes, FIRST.bytes, 15) == 0 && id.bytes[15] <= BOT_TRADERS;
}

int64_t bot_cash(int64_t book_factor)
{
    enum { USUAL_FACTOR = 1000 };
    return book_factor > USUAL_FACTOR ? BOT_CASH / USUAL_FACTOR * book_factor : BOT_CASH;
}

static bool has_level(const struct depth_level *levels, size_t count, int64_t price)
{
    for (size_t i = 0; i < count; i++)
        if (levels[i].price == price)
            return true;
    return false;
}

/* True when an order there would rest on an empty tick. */
static bool is_free(const struct depth_state *depth, enum market_side side, int64_t price)
{
    const struct depth_level *own = side == SIDE_BUY ? depth->bids : depth->asks,
                             *other = side == SIDE_BUY ? depth->asks : depth->bids;
    const size_t own_count = side == SIDE_BUY ? depth->bid_count : depth->ask_count,
                 other_count = side == SIDE_BUY ? depth->ask_count : depth->bid_count;
    const int64_t sign = side == SIDE_BUY ? 1 : -1;
    if (other_count && sign * price >= sign * other[0].price)
        return false;
    /* Beyond the last level that was told there may be orders that were not. */
    if (own_count == DEPTH_LEVELS_MAX && sign * price < sign * own[own_count - 1].price)
        return false;
    return !has_level(own, own_count, price);
}

size_t bot_refill(struct chance *chance, const struct depth_state *depth, const struct market_rules *rules,
                  int64_t strength, struct quote quotes[REFILL_QUOTES_MAX])
{
    size_t count = 0;
    for (int64_t step = -REFILL_REACH; step <= REFILL_REACH; step++) {
        const int64_t price = depth->price + step * rules->tick;
        const enum market_side side = step < 0 ? SIDE_BUY : SIDE_SELL;
        /* Drawn for every tick, so that what a tick gets does not hang on the others. */
        const int64_t shares = (REFILL_LEAST + 2 * chance_between(chance, 0, REFILL_STEPS)) * strength / 100;
        if (price >= rules->price_min && price <= rules->price_max && is_free(depth, side, price))
            quotes[count++] = (struct quote){side, price, shares > 1 ? shares : 1};
    }
    return count;
}
