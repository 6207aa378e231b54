/* Consumers that fetch in gulps: nothing is lost, repeated or out of order by it, and nobody waits for the others. */
#include "kafka_pace.h"
#include "log.h"
#include "test_kafka.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { COUNT = 300 };

TEST(only_what_comes_soon_after_the_last_is_held, "I1")
{
    EXPECT_I64(0, kafka_pace_hold_us(0, 5, 20));                      /* the first ever */
    EXPECT_I64(0, kafka_pace_hold_us(1000, 21000, 20));               /* just in time */
    EXPECT_I64(0, kafka_pace_hold_us(1000, 900000, 20));              /* after a quiet time */
    EXPECT_I64(20000, kafka_pace_hold_us(1000, 1000, 20));            /* never longer than the pace */
    EXPECT_I64(5000, kafka_pace_hold_us(1000, 16000, 20));            /* the rest of it */
    EXPECT_I64(0, kafka_pace_hold_us(1000, 1001, 0));                 /* no pace */
    EXPECT_I64(99999, kafka_pace_hold_us(1, 2, KAFKA_GATHER_MAX_MS)); /* the slowest there is */
}

TEST(much_at_once_is_held_by_the_longer_pace, "I1")
{
    const struct kafka_pace patient = {.gather_ms = 5, .busy_gather_ms = 20}, plain = {.gather_ms = 5};
    EXPECT_I64(5, kafka_pace_ms(patient, KAFKA_BUSY_BYTES - 1, false));
    EXPECT_I64(20, kafka_pace_ms(patient, KAFKA_BUSY_BYTES, false));
    EXPECT_I64(20, kafka_pace_ms(patient, KAFKA_BACKLOG_BYTES - 1, false));
    EXPECT_I64(5, kafka_pace_ms(patient, KAFKA_BACKLOG_BYTES, false)); /* is worked off */
    EXPECT_I64(5, kafka_pace_ms(plain, KAFKA_BUSY_BYTES, false));      /* the other is the shorter one */
}

TEST(the_longer_pace_is_cut_while_somebody_waits, "I1")
{
    const struct kafka_pace slow = {.gather_ms = 5, .busy_gather_ms = 100},
                            quick = {.gather_ms = 5, .busy_gather_ms = 10},
                            steady = {.gather_ms = 50, .busy_gather_ms = 100};
    EXPECT_I64(100, kafka_pace_ms(slow, KAFKA_BUSY_BYTES, false));
    EXPECT_I64(KAFKA_HURRIED_MS, kafka_pace_ms(slow, KAFKA_BUSY_BYTES, true));
    EXPECT_I64(5, kafka_pace_ms(slow, KAFKA_BUSY_BYTES - 1, true));
    EXPECT_I64(10, kafka_pace_ms(quick, KAFKA_BUSY_BYTES, true));  /* is shorter */
    EXPECT_I64(50, kafka_pace_ms(steady, KAFKA_BUSY_BYTES, true)); /* its short one is longer than the cut */
}

/* What a listener of two paces hears of each topic. */
struct heard {
    atomic_int inside; /* calls that run now */
    atomic_int overlapping, ready;
    atomic_int count[2]; /* the numbers below it were heard, in their order */
    atomic_int gaps, repeats;
};

static void hear(struct heard *heard, int which, const struct kafka_batch *batch)
{
    if (atomic_fetch_add(&heard->inside, 1))
        atomic_fetch_add(&heard->overlapping, 1);
    for (size_t i = 0; i < batch->count; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%.*s", (int)batch->records[i].payload.length,
                       batch->records[i].payload.bytes);
        const int number = atoi(text), next = atomic_load(&heard->count[which]);
        atomic_fetch_add(&heard->gaps, number > next);
        atomic_fetch_add(&heard->repeats, number < next);
        atomic_fetch_add(&heard->count[which], number == next);
    }
    atomic_fetch_sub(&heard->inside, 1);
}

static void hear_urgent(void *app, const struct kafka_batch *batch)
{
    hear(app, 0, batch);
}

static void hear_patient(void *app, const struct kafka_batch *batch)
{
    hear(app, 1, batch);
}

static void count_ready(void *app)
{
    struct heard *heard = app;
    if (atomic_fetch_add(&heard->inside, 1))
        atomic_fetch_add(&heard->overlapping, 1);
    atomic_fetch_add(&heard->ready, 1);
    atomic_fetch_sub(&heard->inside, 1);
}

TEST(a_listener_of_two_paces_hears_all_of_both_one_at_a_time, "I1 I2")
{
    const char *brokers = test_env("KAFKA_BROKERS");
    const char *urgent = test_topic("urgent", 1, false), *patient = test_topic("patient", 1, false);
    AUTO(kafka_producer) producer = test_producer(brokers);
    struct heard heard = {0};
    test_send_numbers(producer, patient, 0, COUNT); /* stands there: heard before it is ready */
    const struct kafka_listening table[] = {
        {.topic = urgent, .hear = hear_urgent, .from = LISTEN_FROM_START, .ready = count_ready},
        {.topic = patient, .hear = hear_patient, .from = LISTEN_FROM_START, .ready = count_ready, .gather_ms = 30},
        {0}};
    struct err err = {0};
    AUTO(kafka_listener) listener = kafka_listener_start(brokers, "paces", table, &heard, &err);
    test_stop_at(listener != NULL, "listener", &err);
    EVENTUALLY(20000, kafka_listener_ready(listener));
    EXPECT_I64(COUNT, heard.count[1]);
    EVENTUALLY(20000, heard.ready == 2);
    for (int i = 0; i < COUNT; i += 10) { /* each acknowledged before the next */
        test_send_numbers(producer, urgent, i, 10);
        test_send_numbers(producer, patient, COUNT + i, 10);
    }
    EVENTUALLY(20000, heard.count[0] == COUNT && heard.count[1] == 2 * COUNT);
    kafka_listener_release(&listener);
    EXPECT_I64(0, heard.gaps);
    EXPECT_I64(0, heard.repeats);
    EXPECT_I64(0, heard.overlapping);
    EXPECT_I64(2, heard.ready);
}

TEST(a_listener_of_too_many_paces_does_not_start, "I1")
{
    struct kafka_listening table[6] = {{0}};
    for (int i = 0; i < 5; i++)
        table[i] = (struct kafka_listening){.topic = "t", .hear = hear_urgent, .gather_ms = i};
    struct err err = {0};
    EXPECT(!kafka_listener_start("127.0.0.1:1", "many", table, NULL, &err));
    EXPECT_PROBLEM("internal", &err);
}

static bool apply(void *app, const struct kafka_batch *batch, struct err *err)
{
    (void)err;
    hear(app, 0, batch);
    return true;
}

static void follow_each_other(const struct kafka_subscription *table, struct kafka_producer *producer,
                              struct heard *heard, int at_once)
{
    for (int round = 1; round <= 3; round++) {
        AUTO(kafka_worker) worker = test_worker(table, heard, producer);
        for (int i = 0; i < COUNT; i += 10)
            test_send_numbers(producer, table->topic, ((round - 1) * COUNT + i) * at_once / 10, at_once);
        EVENTUALLY(30000, heard->count[0] == round * COUNT * at_once / 10);
    }
}

TEST(a_worker_that_gathers_leaves_no_record_out_when_it_follows_another, "I1 I2")
{
    const char *brokers = test_env("KAFKA_BROKERS"), *topic = test_topic("gulps", 1, false);
    AUTO(kafka_producer) producer = test_producer(brokers);
    const struct kafka_subscription table[] = {{.topic = topic, .apply = apply, .poison = POISON_STOP, .gather_ms = 30},
                                               {0}};
    struct heard heard = {0};
    follow_each_other(table, producer, &heard, 10);
    EXPECT_I64(0, heard.gaps); /* a commit that came too late repeats records: allowed */
}

static void *hurry_on(void *stop)
{
    while (!atomic_load((atomic_bool *)stop)) {
        kafka_hurry();
        sched_yield();
    }
    return NULL;
}

TEST(whoever_hurries_loses_nothing, "I1 I2")
{
    const char *brokers = test_env("KAFKA_BROKERS"), *topic = test_topic("hurried", 1, false);
    AUTO(kafka_producer) producer = test_producer(brokers);
    const struct kafka_subscription table[] = {
        {.topic = topic, .apply = apply, .poison = POISON_STOP, .gather_ms = 1, .busy_gather_ms = KAFKA_GATHER_MAX_MS},
        {0}};
    struct heard heard = {0};
    atomic_bool stop = false;
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, hurry_on, &stop) == 0);
    follow_each_other(table, producer, &heard, 600); /* more than KAFKA_BUSY_BYTES: held by the longer pace */
    atomic_store(&stop, true);
    (void)pthread_join(thread, NULL);
    EXPECT_I64(0, heard.gaps);
}

__attribute__((constructor)) static void be_quiet(void)
{
    log_open("test", "", LOG_ERROR + 1);
}
