#include "ranking.h"

#include "mem.h"
#include "ratio.h"

#include <stdlib.h>
#include <string.h>

static const int64_t POINTS[] = {100, 50, 30}; /* of places 1, 2, 3 */

static const struct {
    int64_t least; /* rating */
    const char *name;
} TIER_TABLE[TIERS] = {
    [TIER_BRONZE] = {0, "bronze"},       [TIER_SILVER] = {100, "silver"},   [TIER_GOLD] = {200, "gold"},
    [TIER_PLATINUM] = {300, "platinum"}, [TIER_DIAMOND] = {400, "diamond"},
};

static int compare(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->return_bp != b->return_bp)
        return a->return_bp > b->return_bp ? -1 : 1;
    return strcmp(a->user_id, b->user_id);
}

void ranking_place(struct ranked *list, size_t count, int64_t seed_cash)
{
    for (size_t i = 0; i < count; i++)
        list[i].return_bp = ratio_change(list[i].cash, seed_cash);
    if (count > 0)
        qsort(list, count, sizeof *list, compare);
    for (size_t i = 0; i < count; i++) {
        const bool equal = i > 0 && list[i].return_bp == list[i - 1].return_bp;
        list[i].place = equal ? list[i - 1].place : (int64_t)i + 1;
        const bool pays = count >= 2 && list[i].return_bp > 0 && list[i].place <= (int64_t)ARRAY_LENGTH(POINTS);
        list[i].points = pays ? POINTS[list[i].place - 1] : 0;
    }
}

enum tier ranking_tier(int64_t rating)
{
    enum tier tier = TIER_BRONZE;
    for (int next = TIER_SILVER; next < TIERS && rating >= TIER_TABLE[next].least; next++)
        tier = (enum tier)next;
    return tier;
}

const char *ranking_tier_name(int64_t rating)
{
    return TIER_TABLE[ranking_tier(rating)].name;
}
