/* market_news.h - a record of market.events -> what it tells the people whom it concerns. Pure.
 *     {"type":"fill","market","seq","at","fill":{id, number, order_id, company_id, side, price, quantity, remaining,
 * maker}}
 *     {"type":"order","market","seq","at","order":{the order as the API shows it, without times}}
 * A fill goes to both sides, each with its own order. An order is told when it is accepted, refused, changed or over;
 * an order that is over within its own command is told once, at its end. seq grows per market: what a client has had,
 * it can tell. */
#ifndef MADANG_CHAT_MARKET_NEWS_H
#define MADANG_CHAT_MARKET_NEWS_H

#include "market.h"

/* The companies of a market, by their number in it. */
struct market_companies {
    int count;
    char ids[MARKET_COMPANIES_MAX][UUID_TEXT_BYTES];
};

struct market_line {
    struct uuid user;
    const char *body; /* JSON */
    size_t length;
};
struct market_lines {
    struct market_line *items;
    size_t count, room;
};

/* Appends what the record tells those whom `is_here` takes; lines and bodies lie in the arena. */
void market_news(struct arena *arena, const struct market_events *record, const struct market_companies *companies,
                 bool (*is_here)(void *payload, const struct uuid *user), void *payload, struct market_lines *out);

#endif
