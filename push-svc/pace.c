#include "pace.h"

enum { SECONDS = 60 };
#define MINUTE_US 60e6

void pace_open(struct pace *pace, int64_t per_minute, int64_t now_us)
{
    const double second = (double)per_minute / SECONDS;
    *pace = (struct pace){.per_minute = per_minute, .filled_us = now_us, .most = second > 1 ? second : 1};
    pace->level = pace->most;
}

int64_t pace_allows(struct pace *pace, int64_t now_us)
{
    if (now_us > pace->filled_us) {
        pace->level += (double)(now_us - pace->filled_us) * (double)pace->per_minute / MINUTE_US;
        pace->filled_us = now_us;
    }
    if (pace->level > pace->most)
        pace->level = pace->most;
    return pace->level < 1 ? 0 : (int64_t)pace->level;
}

void pace_use(struct pace *pace, int64_t count)
{
    pace->level -= (double)count;
}
