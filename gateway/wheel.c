#include "wheel.h"

#include <stddef.h>

void wheel_open(struct wheel *wheel, int64_t now_ms)
{
    *wheel = (struct wheel){.tick = now_ms / WHEEL_TICK_MS};
    for (int i = 0; i < WHEEL_SLOTS; i++)
        wheel->slots[i].next = wheel->slots[i].previous = &wheel->slots[i];
}

void timer_remove(struct timer *timer)
{
    if (!timer->next)
        return;
    timer->next->previous = timer->previous;
    timer->previous->next = timer->next;
    timer->next = timer->previous = NULL;
}

/* Into the slot of its deadline, or the farthest one. */
static void insert(struct wheel *wheel, struct timer *timer)
{
    int64_t tick = (timer->deadline_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    if (tick >= wheel->tick + WHEEL_SLOTS)
        tick = wheel->tick + WHEEL_SLOTS - 1;
    timer->due_ms = tick * WHEEL_TICK_MS;
    if (timer->due_ms < wheel->soonest_ms)
        wheel->soonest_ms = timer->due_ms;
    unsigned slot = (unsigned)(tick % WHEEL_SLOTS);
    struct timer *head = &wheel->slots[slot];
    timer->next = head;
    timer->previous = head->previous;
    head->previous->next = timer;
    head->previous = timer;
    wheel->used[slot / 64] |= (uint64_t)1 << slot % 64;
}

void timer_set(struct wheel *wheel, struct timer *timer, int64_t deadline_ms)
{
    timer->deadline_ms = deadline_ms;
    if (!deadline_ms || (timer->next && timer->due_ms <= deadline_ms + WHEEL_TICK_MS))
        return;
    timer_remove(timer);
    insert(wheel, timer);
}

static void turn(struct wheel *wheel, unsigned slot, int64_t now_ms)
{
    struct timer ring = wheel->slots[slot], *head = &wheel->slots[slot];
    wheel->used[slot / 64] &= ~((uint64_t)1 << slot % 64);
    if (ring.next == head)
        return;
    ring.next->previous = ring.previous->next = &ring;
    head->next = head->previous = head;
    while (ring.next != &ring) { /* a timer that fires may remove any other one */
        struct timer *timer = ring.next;
        timer_remove(timer);
        if (!timer->deadline_ms)
            continue;
        if (timer->deadline_ms > now_ms) {
            insert(wheel, timer);
            continue;
        }
        timer->deadline_ms = 0;
        timer->fire(timer);
    }
}

void wheel_advance(struct wheel *wheel, int64_t now_ms)
{
    int64_t last = now_ms / WHEEL_TICK_MS;
    if (last - wheel->tick > WHEEL_SLOTS) /* after a long stop one round does it */
        wheel->tick = last - WHEEL_SLOTS;
    while (wheel->tick < last) {
        wheel->tick++;
        unsigned slot = (unsigned)(wheel->tick % WHEEL_SLOTS);
        if (wheel->used[slot / 64] >> slot % 64 & 1)
            turn(wheel, slot, now_ms);
    }
}

int wheel_wait_ms(const struct wheel *wheel, int64_t now_ms, int max_ms)
{
    for (int ahead = 1; ahead < WHEEL_SLOTS; ahead++) {
        int64_t at_ms = (wheel->tick + ahead) * WHEEL_TICK_MS;
        if (at_ms - now_ms >= max_ms)
            return max_ms;
        unsigned slot = (unsigned)((wheel->tick + ahead) % WHEEL_SLOTS);
        if (wheel->used[slot / 64] >> slot % 64 & 1)
            return at_ms > now_ms ? (int)(at_ms - now_ms) : 0;
    }
    return max_ms;
}
