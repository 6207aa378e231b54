/* clock.h - the time source, which tests can move.
 * Wall time is milliseconds since 1970 UTC; monotonic time only measures spans. Thread-safe. */
#ifndef MADANG_CLOCK_H
#define MADANG_CLOCK_H

#include <stdint.h>

int64_t clock_now_ms(void);
int64_t clock_now_us(void);
/* Seconds as of the kernel's last tick, so up to some milliseconds behind, for a quarter of the cost. */
int64_t clock_coarse_s(void);
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);

/* Tests only: adds to every wall time that is read from now on. */
void clock_shift_ms(int64_t shift_ms);

enum { CLOCK_TEXT_BYTES = 25 };
/* RFC 3339 in UTC with milliseconds: 2026-01-31T23:59:59.123Z and a NUL. */
void clock_format(int64_t at_ms, char text[CLOCK_TEXT_BYTES]);

#endif
