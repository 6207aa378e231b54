#include "clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic int64_t shift;

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return read_us(CLOCK_REALTIME) + atomic_load_explicit(&shift, memory_order_relaxed) * 1000;
}

int64_t clock_now_ms(void)
{
    return clock_now_us() / 1000;
}

int64_t clock_coarse_s(void)
{
    return (read_us(CLOCK_REALTIME_COARSE) / 1000 + atomic_load_explicit(&shift, memory_order_relaxed)) / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

void clock_shift_ms(int64_t shift_ms)
{
    atomic_fetch_add(&shift, shift_ms);
}

void clock_format(int64_t at_ms, char text[CLOCK_TEXT_BYTES])
{
    int64_t seconds = at_ms / 1000, rest = at_ms % 1000;
    if (rest < 0) {
        rest += 1000;
        seconds--;
    }
    time_t whole = (time_t)seconds;
    struct tm utc;
    (void)gmtime_r(&whole, &utc);
    size_t used = strftime(text, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text + used, CLOCK_TEXT_BYTES - used, ".%03dZ", (int)(rest % 1000));
}
