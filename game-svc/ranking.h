/* ranking.h - the rules of places, points, rating and tiers. Pure: integers only, no store, no clock; whoever replays a
 * round's log comes to the same ranking.
 *
 * Who took part is ranked by return, in hundredths of a percent as it is told: equal returns have equal places, and the
 * place after two firsts is the third. Places 1 to 3 are worth 100, 50 and 30 points, each of those who share one the
 * whole of it, but only with a return above zero and when two took part at least (S-48). The rating is the sum of all
 * points; it never falls. The tier follows from it. */
#ifndef MADANG_GAME_RANKING_H
#define MADANG_GAME_RANKING_H

#include "uuid.h"

#include <stddef.h>
#include <stdint.h>

enum { RANKING_TOLD = 5 }; /* places that are announced (S-47) */

struct ranked {
    char user_id[UUID_TEXT_BYTES];
    int64_t cash;      /* final: all shares sold */
    int64_t return_bp; /* from here on: made by ranking_place() */
    int64_t place, points;
};

/* Sorts the list, best first (equal ones by id), and fills in the rest. seed_cash > 0. */
void ranking_place(struct ranked *list, size_t count, int64_t seed_cash);

enum tier { TIER_BRONZE, TIER_SILVER, TIER_GOLD, TIER_PLATINUM, TIER_DIAMOND, TIERS };
enum tier ranking_tier(int64_t rating);
const char *ranking_tier_name(int64_t rating); /* "bronze", ... */

#endif
