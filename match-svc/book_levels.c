#include "book_internal.h"

/* ---- occupancy ---- */

static void occupy(struct occupancy *side, uint32_t level)
{
    side->words[level / 64] |= UINT64_C(1) << (level % 64);
    side->summary[level / 4096] |= UINT64_C(1) << (level / 64 % 64);
}

static void vacate(struct occupancy *side, uint32_t level)
{
    side->words[level / 64] &= ~(UINT64_C(1) << (level % 64));
    if (!side->words[level / 64])
        side->summary[level / 4096] &= ~(UINT64_C(1) << (level / 64 % 64));
}

/* The lowest occupied level from `level` up; -1: none. */
static int32_t next_above(const struct occupancy *side, uint32_t level, uint32_t level_count)
{
    if (level >= level_count)
        return -1;
    uint32_t word = level / 64;
    const uint64_t here = side->words[word] & (~UINT64_C(0) << (level % 64));
    if (here)
        return (int32_t)(word * 64 + (uint32_t)__builtin_ctzll(here));
    if (++word == WORDS_MAX)
        return -1;
    uint64_t words = side->summary[word / 64] & (~UINT64_C(0) << (word % 64));
    for (uint32_t at = word / 64;; words = side->summary[at]) {
        if (words) {
            word = at * 64 + (uint32_t)__builtin_ctzll(words);
            return (int32_t)(word * 64 + (uint32_t)__builtin_ctzll(side->words[word]));
        }
        if (++at == SUMMARY_WORDS)
            return -1;
    }
}

/* The highest occupied level from `level` down; -1: none. */
static int32_t next_below(const struct occupancy *side, int32_t level)
{
    if (level < 0)
        return -1;
    uint32_t word = (uint32_t)level / 64;
    const uint64_t here = side->words[word] & (~UINT64_C(0) >> (63 - level % 64));
    if (here)
        return (int32_t)(word * 64 + 63 - (uint32_t)__builtin_clzll(here));
    if (word-- == 0)
        return -1;
    uint64_t words = side->summary[word / 64] & (~UINT64_C(0) >> (63 - word % 64));
    for (uint32_t at = word / 64;; words = side->summary[at]) {
        if (words) {
            word = at * 64 + 63 - (uint32_t)__builtin_clzll(words);
            return (int32_t)(word * 64 + 63 - (uint32_t)__builtin_clzll(side->words[word]));
        }
        if (at-- == 0)
            return -1;
    }
}

int32_t levels_next(const struct book *book, const struct company *company, int side, int32_t level)
{
    return side == SIDE_BUY ? next_below(&company->sides[side], level - 1)
                            : next_above(&company->sides[side], (uint32_t)(level + 1), book->level_count);
}

/* ---- queues ---- */

void levels_add(struct book *book, struct order *order, uint32_t ref)
{
    struct company *company = &book->companies[order->company];
    struct occupancy *side = &company->sides[order->side];
    struct level *level = &company->levels[order->level];
    const int32_t at = (int32_t)order->level;
    order->next = NONE;
    if (level->count++) {
        order->prev = level->last;
        order_at(book, level->last)->next = ref;
    } else {
        order->prev = NONE;
        level->first = ref;
        occupy(side, order->level);
        if (side->best < 0 || (order->side == SIDE_BUY ? at > side->best : at < side->best))
            side->best = at;
    }
    level->last = ref;
    level->quantity += order_remaining(order);
    side->quantity += order_remaining(order);
    company->changed = true;
}

void levels_remove(struct book *book, struct order *order)
{
    struct company *company = &book->companies[order->company];
    struct occupancy *side = &company->sides[order->side];
    struct level *level = &company->levels[order->level];
    if (order->prev == NONE)
        level->first = order->next;
    else
        order_at(book, order->prev)->next = order->next;
    if (order->next == NONE)
        level->last = order->prev;
    else
        order_at(book, order->next)->prev = order->prev;
    level->quantity -= order_remaining(order);
    side->quantity -= order_remaining(order);
    if (--level->count == 0) {
        vacate(side, order->level);
        if (side->best == (int32_t)order->level)
            side->best = levels_next(book, company, order->side, side->best);
    }
    company->changed = true;
}

void levels_reduce(struct book *book, const struct order *order, int64_t quantity)
{
    struct company *company = &book->companies[order->company];
    company->levels[order->level].quantity -= quantity;
    company->sides[order->side].quantity -= quantity;
    company->changed = true;
}
