/* Buckets and counts, timers, breaker, buffers: the parts that keep the gateway bounded. */
#include "buffer.h"
#include "limiter.h"
#include "test.h"
#include "upstream.h"
#include "wheel.h"

#include "mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SECOND_US = 1000000 };

TEST(a_bucket_gives_its_burst_then_its_rate, "P-43")
{
    AUTO(limits) limits = limits_open(1024);
    const struct limit_rate rate = {.events = 10, .per_ms = 1000, .burst = 20};
    uint64_t key = limits_key(limits, LIMIT_ADDRESS, 0, VIEW("a"));
    int64_t now_us = 5 * (int64_t)SECOND_US;
    struct limit_state state;
    for (int i = 0; i < 20; i++) {
        EXPECT(limits_take(limits, key, &rate, now_us, &state));
        EXPECT_I64(19 - i, state.left);
    }
    EXPECT(!limits_take(limits, key, &rate, now_us, &state));
    EXPECT_I64(0, state.left);
    EXPECT_I64(1, state.retry_s);
    EXPECT_I64(2, state.full_s);
    EXPECT(!limits_take(limits, key, &rate, now_us + 99999, &state));
    EXPECT(limits_take(limits, key, &rate, now_us + 100000, &state));
    EXPECT(!limits_take(limits, key, &rate, now_us + 100000, &state));
    int taken = 0;
    for (int64_t at_us = now_us + 100000; at_us < now_us + 100000 + 10 * (int64_t)SECOND_US; at_us += 10000)
        taken += limits_take(limits, key, &rate, at_us, &state);
    EXPECT_I64(99, taken);
    now_us += 60 * (int64_t)SECOND_US;
    EXPECT(limits_take(limits, key, &rate, now_us, &state));
    EXPECT_I64(19, state.left);
}

TEST(looking_takes_nothing_and_keys_do_not_mix, "P-43")
{
    AUTO(limits) limits = limits_open(1024);
    const struct limit_rate rate = {.events = 50, .per_ms = 60000, .burst = 2};
    struct limit_state state;
    uint64_t key = limits_key(limits, LIMIT_FAILED_TOKENS, 0, VIEW("a"));
    for (int i = 0; i < 100; i++)
        EXPECT(limits_allows(limits, key, &rate, SECOND_US, &state));
    EXPECT(limits_take(limits, key, &rate, SECOND_US, &state));
    EXPECT(limits_take(limits, key, &rate, SECOND_US, &state));
    EXPECT(!limits_allows(limits, key, &rate, SECOND_US, &state));
    EXPECT_I64(2, state.retry_s); /* 1.2 s */
    EXPECT(limits_key(limits, LIMIT_ADDRESS, 0, VIEW("a")) != key);
    EXPECT(limits_key(limits, LIMIT_FAILED_TOKENS, 1, VIEW("a")) != key);
    EXPECT(limits_key(limits, LIMIT_FAILED_TOKENS, 0, VIEW("b")) != key);
    EXPECT(limits_key(limits, LIMIT_FAILED_TOKENS, 0, VIEW("a")) == key);
}

TEST(a_flood_of_strangers_does_not_free_who_is_limited, "P-43")
{
    AUTO(limits) limits = limits_open(64);
    const struct limit_rate rate = {.events = 1, .per_ms = 1000, .burst = 100};
    struct limit_state state;
    uint64_t key = limits_key(limits, LIMIT_ADDRESS, 0, VIEW("bad"));
    for (int i = 0; i < 100; i++)
        EXPECT(limits_take(limits, key, &rate, SECOND_US, &state));
    for (uint32_t i = 0; i < 10000; i++)
        (void)limits_take(limits, limits_key(limits, LIMIT_ADDRESS, i, VIEW("other")), &rate, SECOND_US, &state);
    EXPECT(!limits_take(limits, key, &rate, SECOND_US, &state));
}

struct race {
    struct limits *limits;
    atomic_int taken, entered;
};

static void *take_many(void *payload)
{
    struct race *race = payload;
    const struct limit_rate rate = {.events = 1, .per_ms = 60000, .burst = 1000};
    uint64_t key = limits_key(race->limits, LIMIT_USER, 0, VIEW("u")),
             streams = limits_key(race->limits, LIMIT_STREAMS, 0, VIEW("u"));
    struct limit_state state;
    for (int i = 0; i < 5000; i++) {
        race->taken += limits_take(race->limits, key, &rate, SECOND_US, &state);
        race->entered += limits_enter(race->limits, streams, 7);
    }
    return NULL;
}

TEST(threads_share_a_bucket_exactly, "P-43")
{
    AUTO(limits) limits = limits_open(1024);
    struct race race = {.limits = limits};
    const struct limit_rate rate = {.events = 1, .per_ms = 60000, .burst = 1000};
    struct limit_state state;
    /* the bucket is there before the race: only the count is at stake */
    EXPECT(limits_take(limits, limits_key(limits, LIMIT_USER, 0, VIEW("u")), &rate, SECOND_US, &state));
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        REQUIRE(pthread_create(&threads[i], NULL, take_many, &race) == 0);
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
    EXPECT_I64(999, race.taken);
    EXPECT_I64(7, race.entered);
    uint64_t streams = limits_key(limits, LIMIT_STREAMS, 0, VIEW("u"));
    limits_leave(limits, streams);
    EXPECT(limits_enter(limits, streams, 7));
    EXPECT(!limits_enter(limits, streams, 7));
}

/* ---- timers ---- */

static int fired;
static int64_t fired_at[64];
static int64_t wheel_now;
static struct timer *to_remove;

static void on_fire(struct timer *timer)
{
    (void)timer;
    fired_at[fired++ % 64] = wheel_now;
    if (to_remove)
        timer_remove(to_remove);
}

static void run_until(struct wheel *wheel, int64_t end_ms)
{
    while (wheel_now < end_ms) {
        int wait_ms = wheel_wait_ms(wheel, wheel_now, 1000);
        wheel_now += wait_ms ? wait_ms : 1;
        wheel_advance(wheel, wheel_now);
    }
}

TEST(timers_fire_once_never_early_and_soon, "P-43")
{
    struct wheel *wheel = mem_new(1, sizeof *wheel);
    struct timer timers[6] = {0};
    static const int64_t AFTER[] = {1, 40, 1000, 15000, 60000, 300000};
    wheel_now = 1000000;
    wheel_open(wheel, wheel_now);
    fired = 0;
    to_remove = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(timers); i++) {
        timers[i].fire = on_fire;
        timer_set(wheel, &timers[i], wheel_now + AFTER[i]);
    }
    run_until(wheel, 1000000 + 400000);
    EXPECT_I64(6, fired);
    for (int i = 0; i < 6; i++) {
        EXPECT(fired_at[i] >= 1000000 + AFTER[i]);
        EXPECT(fired_at[i] <= 1000000 + AFTER[i] + 2 * WHEEL_TICK_MS);
    }
    free(wheel);
}

TEST(timers_move_both_ways_and_stop, "P-43")
{
    struct wheel *wheel = mem_new(1, sizeof *wheel);
    struct timer later = {.fire = on_fire}, sooner = {.fire = on_fire}, never = {.fire = on_fire},
                 pair[2] = {{.fire = on_fire}, {.fire = on_fire}};
    wheel_now = 5000;
    wheel_open(wheel, wheel_now);
    fired = 0;
    to_remove = NULL;
    timer_set(wheel, &later, 5100);
    timer_set(wheel, &later, 9000);
    timer_set(wheel, &sooner, 9000);
    timer_set(wheel, &sooner, 5200);
    timer_set(wheel, &never, 5300);
    timer_set(wheel, &never, 0);
    run_until(wheel, 8000);
    EXPECT_I64(1, fired);
    EXPECT(fired_at[0] >= 5200 && fired_at[0] <= 5200 + 2 * WHEEL_TICK_MS);
    run_until(wheel, 10000);
    EXPECT_I64(2, fired);
    EXPECT(fired_at[1] >= 9000);
    /* one that takes another of the same slot out */
    timer_set(wheel, &pair[0], 11000);
    timer_set(wheel, &pair[1], 11000);
    to_remove = &pair[1];
    run_until(wheel, 12000);
    EXPECT_I64(3, fired);
    free(wheel);
}

/* ---- breaker ---- */

TEST(five_failures_open_the_breaker_and_one_request_tries, "P-44")
{
    struct breaker breaker = {0};
    int64_t now_ms = 1000;
    for (int i = 0; i < BREAKER_FAILURES - 1; i++)
        breaker_failure(&breaker, now_ms);
    EXPECT(breaker_allows(&breaker, now_ms));
    breaker_success(&breaker);
    for (int i = 0; i < BREAKER_FAILURES; i++)
        breaker_failure(&breaker, now_ms);
    EXPECT(!breaker_allows(&breaker, now_ms));
    EXPECT_TEXT("open", breaker_name(&breaker, now_ms));
    for (int64_t wait_ms = BREAKER_FIRST_MS, round = 0; round < 6; round++) {
        EXPECT(!breaker_allows(&breaker, now_ms + wait_ms - 1));
        now_ms += wait_ms;
        EXPECT(breaker_allows(&breaker, now_ms));
        EXPECT_TEXT("half-open", breaker_name(&breaker, now_ms));
        breaker.trying = true;
        EXPECT(!breaker_allows(&breaker, now_ms));
        breaker_failure(&breaker, now_ms);
        wait_ms = wait_ms * 2 < BREAKER_MOST_MS ? wait_ms * 2 : BREAKER_MOST_MS;
    }
    breaker_success(&breaker);
    EXPECT(breaker_allows(&breaker, now_ms));
    EXPECT_TEXT("closed", breaker_name(&breaker, now_ms));
}

/* ---- buffers ---- */

TEST(buffers_grow_keep_their_bytes_and_go_back, "P-43")
{
    struct buffer_pool pool = {0};
    struct buffer *buffer = NULL;
    unsigned char sum = 0, back = 0;
    size_t total = 0;
    for (int i = 0; i < 400; i++) {
        unsigned char bytes[450];
        size_t length = 1 + test_random() % sizeof bytes;
        for (size_t k = 0; k < length; k++)
            sum = (unsigned char)(sum * 3 + (bytes[k] = (unsigned char)test_random()));
        buffer_add(&pool, &buffer, bytes, length);
        total += length;
    }
    EXPECT_I64(total, buffer_length(buffer));
    while (buffer) {
        size_t length = 1 + test_random() % 999;
        if (length > buffer_length(buffer))
            length = buffer_length(buffer);
        for (size_t k = 0; k < length; k++)
            back = (unsigned char)(back * 3 + (unsigned char)buffer->bytes[buffer->start + k]);
        buffer_consume(&pool, &buffer, length);
    }
    EXPECT_I64(sum, back);
    unsigned kept = 0;
    for (int class = 0; class < BUFFER_CLASSES; class ++)
        kept += pool.count[class];
    EXPECT((kept > 0) == GATEWAY_REUSES);
    for (int i = 0; i < 20; i++)
        buffer_pool_trim(&pool);
    for (int class = 0; class < BUFFER_CLASSES; class ++)
        EXPECT_I64(0, pool.count[class]);
    buffer_pool_free(&pool);
}
