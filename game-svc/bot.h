/* bot.h - the bots: who they are, what they own, and how they refill a book. Pure; integers only.
 *
 * One bot makes the book (opening and refill), three others follow the news. They are different accounts because the
 * engine stops an order that meets its own account's: one single bot could never move the price through its own book.
 * Their orders go the same road as everybody's and are marked. */
#ifndef MADANG_GAME_BOT_H
#define MADANG_GAME_BOT_H

#include "chance.h"
#include "companies.h"
#include "depth.h"
#include "uuid.h"

enum {
    BOT_TRADERS = 3,
    REFILL_REACH = 5, /* ticks to each side of the price */
    REFILL_QUOTES_MAX = 2 * REFILL_REACH + 1,
    REFILL_LEAST = 10,
    REFILL_STEPS = 4, /* 10, 12, 14, 16 or 18 shares */
};

#define BOT_CASH INT64_C(10000000000)
#define BOT_SHARES INT64_C(1000000)

/* The maker is bot 0; traders are 1..BOT_TRADERS. The same accounts in every round. */
struct uuid bot_account(int bot);
bool bot_is_account(const char *user_id);
/* Cash of the deposit: enough for an opening book of this factor. */
int64_t bot_cash(int64_t book_factor);

/* How a trader follows the news: the hasty one comes first with much, the doubter last with little. */
struct temperament {
    const char *name;
    int with_permille; /* how often it goes with the news */
    int size_percent;
};
extern const struct temperament TEMPERAMENTS[BOT_TRADERS]; /* of bot 1, 2, 3 */

/* S-22: of the eleven ticks around the price those within the rules and without any order: below the price a buy, at
 * and above it a sell, each of 10..18 shares times strength (percent). Nothing that would meet an order: no buy at or
 * above the best ask, no sell at or below the best bid, so never the bots' own; and nothing where the levels told may
 * not be all (a full list). Gives the number of quotes. */
size_t bot_refill(struct chance *chance, const struct depth_state *depth, const struct market_rules *rules,
                  int64_t strength, struct quote quotes[REFILL_QUOTES_MAX]);

#endif
