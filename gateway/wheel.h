/* wheel.h - timers of one loop: setting one is a store, nearly always.
 * A timer sits in the slot of the time it was first set for; when its deadline moves later nothing is touched, and the
 * slot, once reached, puts it where it now belongs. Resolution 32 ms; never early. Threads: one. */
#ifndef GATEWAY_WHEEL_H
#define GATEWAY_WHEEL_H

#include <stdint.h>

enum { WHEEL_SLOTS = 512, WHEEL_TICK_MS = 32 };

struct timer {
    struct timer *next, *previous; /* NULL: in no slot */
    int64_t deadline_ms;           /* 0: not set */
    int64_t due_ms;                /* when its slot is reached */
    void (*fire)(struct timer *timer);
};

struct wheel {
    int64_t tick;                    /* the last one done */
    int64_t soonest_ms;              /* of the timers set since its owner wrote INT64_MAX here: when the first is due */
    struct timer slots[WHEEL_SLOTS]; /* heads of rings */
    uint64_t used[WHEEL_SLOTS / 64]; /* slots that may hold something */
};

void wheel_open(struct wheel *wheel, int64_t now_ms);
/* Monotonic milliseconds; 0 stops the timer. */
void timer_set(struct wheel *wheel, struct timer *timer, int64_t deadline_ms);
/* Out of the wheel: before its memory goes. */
void timer_remove(struct timer *timer);
/* Fires what is due. */
void wheel_advance(struct wheel *wheel, int64_t now_ms);
/* Milliseconds until something may be due, at most max_ms. */
int wheel_wait_ms(const struct wheel *wheel, int64_t now_ms, int max_ms);

#endif
