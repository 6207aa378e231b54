/* companies.h - the invented companies of a round and the bots' opening book. Pure; integers only.
 * Units: won, shares. Names are lent from a constant table. */
#ifndef MADANG_GAME_COMPANIES_H
#define MADANG_GAME_COMPANIES_H

#include "market.h"

#include <stddef.h>

enum {
    PRICE_UNIT = 10000, /* prices are k of these, k even from K_LEAST to K_MOST; it is the tick, too */
    PRICE_MAX = 10000000,
    K_LEAST = 10,
    K_MOST = 50,
    BOOK_QUOTES_MAX = K_MOST + 1, /* of one company: k/2 buys, k/2 + 1 sells */
};

struct company_name {
    const char *name, *name_en, *business;
};
extern const char *const BUSINESSES[]; /* NULL ends it */

/* Names and prices of `count` companies (1..MARKET_COMPANIES_MAX), no name twice; the businesses take turns. */
struct company_draw {
    const struct company_name *name;
    int64_t price;
};
void companies_draw(int64_t seed, int count, struct company_draw *companies);

/* An order of a bot that rests. */
struct quote {
    enum market_side side;
    int64_t price, quantity;
};
/* S-21: buys at every tick from k/2 to k - 1, sells from k to 3k/2, each of 1..round(factor / k) shares. Gives the
 * number of quotes; they never cross. */
size_t companies_opening_book(int64_t seed, int company, int64_t price, int64_t factor,
                              struct quote quotes[BOOK_QUOTES_MAX]);

#endif
