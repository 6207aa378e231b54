#include "chance.h"

/* splitmix64: every state is a good one, so a stream may begin anywhere. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t chance_next(struct chance *chance)
{
    return mix(chance->state += UINT64_C(0x9e3779b97f4a7c15));
}

struct chance chance_of(int64_t seed, const char *what, int64_t number)
{
    struct chance chance = {(uint64_t)seed};
    for (; *what; what++)
        chance.state = chance_next(&chance) ^ (unsigned char)*what;
    chance.state = chance_next(&chance) ^ (uint64_t)number;
    chance.state = chance_next(&chance);
    return chance;
}

int64_t chance_between(struct chance *chance, int64_t least, int64_t most)
{
    const uint64_t count = (uint64_t)most - (uint64_t)least + 1;
    if (count == 0)
        return (int64_t)chance_next(chance);
    /* What lies beyond the last whole multiple would favour small numbers. */
    const uint64_t limit = UINT64_MAX - UINT64_MAX % count;
    uint64_t draw;
    do
        draw = chance_next(chance);
    while (draw >= limit);
    return (int64_t)((uint64_t)least + draw % count);
}

bool chance_happens(struct chance *chance, int permille)
{
    return chance_between(chance, 0, 999) < permille;
}

int64_t chance_bell(struct chance *chance)
{
    enum { DRAWS = 12 }; /* the variances of twelve uniform numbers sum to one */
    int64_t sum = 0;
    for (int i = 0; i < DRAWS; i++)
        sum += chance_between(chance, 0, 1000);
    return sum - DRAWS / 2 * 1000;
}
