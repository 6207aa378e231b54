#include "clock.h"
#include "rounds.h"
#include "test.h"

#include <sched.h>
#include <stdatomic.h>

static atomic_uint rounds_done;

static void count_round(void *payload, unsigned round)
{
    EXPECT(payload == &rounds_done);
    EXPECT_I64(atomic_load(&rounds_done), round);
    atomic_fetch_add(&rounds_done, 1);
}

TEST(rounds_come_until_they_are_released_and_none_after, "")
{
    struct err err = {0};
    atomic_store(&rounds_done, 0);
    struct rounds *rounds = rounds_start(1, count_round, &rounds_done, &err);
    EXPECT(rounds != NULL);
    const int64_t until_ms = clock_monotonic_ms() + 10000;
    while (atomic_load(&rounds_done) < 3 && clock_monotonic_ms() < until_ms)
        (void)sched_yield();
    rounds_release(&rounds);
    EXPECT(rounds == NULL);
    const unsigned done = atomic_load(&rounds_done);
    EXPECT(done >= 3);
    rounds_release(&rounds); /* nothing to release */
    EXPECT_I64(done, atomic_load(&rounds_done));
}

/* A round that is an hour away does not hold up the end. */
TEST(release_wakes_a_thread_that_waits, "")
{
    struct err err = {0};
    struct rounds *rounds = rounds_start(3600000, count_round, &rounds_done, &err);
    EXPECT(rounds != NULL);
    rounds_release(&rounds);
    EXPECT(rounds == NULL);
}
