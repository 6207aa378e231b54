/* news.h - the news of a round: twenty lines with mean and spread of their weight, what is drawn for one of them, and
 * the six market orders that follow it. Pure; integers only.
 * Units: weights in thousandths, below zero: bad. */
#ifndef MADANG_GAME_NEWS_H
#define MADANG_GAME_NEWS_H

#include "market.h"
#include "str.h"

#include <stddef.h>

enum {
    NEWS_LINES_COUNT = 20,
    NEWS_ORDERS = 6,
    NEWS_WEIGHT_LEAST = 500, /* a drawn weight keeps its sign and lies between these */
    NEWS_WEIGHT_MOST = 5000,
    NEWS_WEIGHT_PLAIN = 2000, /* the weight whose orders are as large as the seed's */
};

struct news_line {
    const char *code;
    int mean, spread; /* thousandths */
    const char *ko, *en;
};
extern const struct news_line NEWS_LINES[NEWS_LINES_COUNT];
const struct news_line *news_find(const char *code); /* NULL: unknown */
/* "<company>: <line>" */
void news_text_ko(struct str *out, const char *company, const struct news_line *line);
void news_text_en(struct str *out, const char *company_en, const struct news_line *line);

struct news_draw {
    int company; /* index */
    const struct news_line *line;
    int64_t weight;
};
struct news_draw news_draw(int64_t seed, int64_t number, int company_count);

/* One of the six orders of a news line. */
struct news_order {
    int bot; /* bot_account() */
    enum market_side side;
    int64_t quantity;
};
/* S-23, S-24: with the news nine times of ten, size ceil(u x c x weight / plain weight), c from 12 to 18; against it c
 * from 6 to 9 and no weight; u in (0, 1]. The bots' temperament and the strength (percent) change the size. */
struct news_order news_order(int64_t seed, int64_t number, int64_t weight, int order, int64_t strength);
/* From the news to its first order: least_ms, or up to two thirds more. */
int64_t news_delay_ms(int64_t seed, int64_t number, int64_t least_ms);

#endif
