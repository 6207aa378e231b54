/* round.h - a round: its market, its phases, and the arithmetic of its clock. Pure; includes no libpq, Kafka or HTTP.
 * Units: milliseconds since 1970; 0: there is no such time. A round and its companies live in one struct; names are
 * lent. */
#ifndef MADANG_GAME_ROUND_H
#define MADANG_GAME_ROUND_H

#include "market.h"

enum round_phase { PHASE_SETUP, PHASE_OPEN, PHASE_CLOSED, PHASES };
const char *round_phase_name(enum round_phase phase); /* "setup", "open", "closed" */
enum round_phase round_phase_of(const char *name);

struct company {
    struct uuid id;
    char id_text[UUID_TEXT_BYTES];
    int index; /* in the market's list */
    const char *name, *name_en, *business;
    int64_t initial_price, last_price; /* last_price: at the close; 0 before */
    int64_t bot_sent_n;                /* number of the bots' last order here */
};

struct round {
    struct uuid id; /* of the market, too */
    char id_text[UUID_TEXT_BYTES];
    int64_t number; /* 1, 2, 3 ... */
    enum round_phase phase;
    bool held; /* no clock: stays open until an operator ends it */
    bool size_rule, bots;
    int64_t seed, next_n;
    int64_t seed_cash, tick, price_min, price_max;
    int64_t open_ms; /* length of trading */
    int64_t setup_at_ms, opens_at_ms, closes_at_ms, next_at_ms, closed_at_ms, ranked_at_ms;
    int company_count;
    struct company companies[MARKET_COMPANIES_MAX];
};

struct market_rules round_rules(const struct round *round);

struct round_lengths {
    int64_t setup_ms, open_ms, break_ms;
    bool align;
};
/* The times of a round whose set-up begins now. Aligned: rounds are cut from time at multiples of their whole length,
 * as S-12 has it; one that comes too late for this multiple's opening is set up for the next. */
void round_plan(struct round *round, const struct round_lengths *lengths, int64_t now_ms);
/* Trading begins now. What is late (the clock was away) moves the rest, so that trading keeps its length; aligned
 * rounds keep their times. */
void round_start(struct round *round, bool align, int64_t now_ms);

/* The next time after now at which the time until `end_ms` is told: a multiple of every_ms before it; 0: no more. */
int64_t round_next_countdown_ms(int64_t end_ms, int64_t every_ms, int64_t now_ms);
/* When news number `number` (from 1) is due; 0: it would come too late for its orders to meet an open market. News are
 * never left out: one that is late is followed by the next after a quarter of the usual time at least. */
int64_t round_news_at_ms(const struct round *round, int64_t number, int64_t every_ms, int64_t now_ms);
/* The next refill after now; those that were missed are left out. 0: no more. */
int64_t round_next_refill_ms(const struct round *round, int64_t every_ms, int64_t now_ms);

/* Who sends the commands of this round: the same for every instance, and never 0. */
uint64_t round_source(const struct round *round);
/* Ids of bots' orders and deposits: they carry the number of their command. */
struct uuid round_command_id(const struct round *round, int64_t n);
int64_t round_command_n(const struct uuid *id);

#endif
