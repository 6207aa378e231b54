/* pace.h - a token bucket: so many a minute, evenly, with one second's worth saved up. Pure; times are monotonic
 * microseconds. */
#ifndef MADANG_PUSH_PACE_H
#define MADANG_PUSH_PACE_H

#include <stdint.h>

struct pace {
    int64_t per_minute;
    int64_t filled_us;
    double level, most;
};

void pace_open(struct pace *pace, int64_t per_minute, int64_t now_us);
int64_t pace_allows(struct pace *pace, int64_t now_us); /* whole ones that may go now */
void pace_use(struct pace *pace, int64_t count);

#endif
