/* Batches of several partitions in one call (kafka.h: apply_together): order, bounds, and failures that stay apart. */
#include "kafka.h"
#include "test_kafka.h"
#include "test_metrics.h"
#include "test_store.h"

#include <stdatomic.h>

enum { PARTITIONS = 6, REFUSALS = 3 };

/* What one worker's thread saw; `done` per partition is the offset behind the last record taken. */
struct seen {
    _Atomic int64_t done[PARTITIONS];
    _Atomic int records, disorder, most_at_once, most_partitions, together, alone;
    _Atomic int refuse_together; /* so many calls fail; the first partition of the first is stuck from then on */
    _Atomic int stuck;           /* this partition fails, alone and in company; -1: none */
    const char *poison;          /* a payload that is bad input */
    _Atomic int poisoned;        /* records that were left out */
};

static bool may_take(struct seen *seen, const struct kafka_batch *batch, struct err *err)
{
    if (batch->partition == seen->stuck)
        return err_set(err, &ERR_UNAVAILABLE, "this one waits");
    for (size_t i = 0; seen->poison && i < batch->count; i++)
        if (view_equals(batch->records[i].payload, view_of(seen->poison)))
            return err_add_field(err, "/kind", "unknown");
    return true;
}

static void take(struct seen *seen, const struct kafka_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        int64_t skipped = batch->records[i].offset - seen->done[batch->partition];
        if (skipped && !(seen->poison && skipped == 1 && ++seen->poisoned))
            seen->disorder++;
        seen->done[batch->partition] = batch->records[i].offset + 1;
        seen->records++;
    }
}

static bool apply(void *app, const struct kafka_batch *batch, struct err *err)
{
    struct seen *seen = app;
    seen->alone++;
    if (!may_take(seen, batch, err))
        return false;
    take(seen, batch);
    return true;
}

static bool apply_together(void *app, const struct kafka_batch *batches, size_t count, struct err *err)
{
    struct seen *seen = app;
    int records = 0;
    if (seen->refuse_together > 0) {
        if (seen->refuse_together-- == REFUSALS)
            seen->stuck = batches[0].partition;
        return err_set(err, &ERR_UNAVAILABLE, "not now");
    }
    for (size_t i = 0; i < count; i++) {
        if (!batches[i].count || (i && batches[i].partition <= batches[i - 1].partition))
            seen->disorder++;
        records += (int)batches[i].count;
        if (!may_take(seen, &batches[i], err))
            return false; /* nothing of it is done */
    }
    for (size_t i = 0; i < count; i++)
        take(seen, &batches[i]);
    seen->together++;
    if (records > seen->most_at_once)
        seen->most_at_once = records;
    if ((int)count > seen->most_partitions)
        seen->most_partitions = (int)count;
    return true;
}

static int64_t figure(const char *name, const char *topic)
{
    char line[120];
    (void)snprintf(line, sizeof line, "%s{topic=\"%s\"}", name, topic);
    return test_metric(line);
}

TEST(partitions_that_wait_are_handed_over_at_once, "I2 I10")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("together", PARTITIONS, false);
    struct seen seen = {.stuck = -1};
    const struct kafka_subscription table[] = {
        {.topic = topic, .apply = apply, .apply_together = apply_together, .batch_max = 100}, {0}};
    int sent = 3000;
    test_send_numbers(producer, topic, 0, sent);
    AUTO(kafka_worker) worker = test_worker(table, &seen, producer);
    EVENTUALLY(20000, kafka_worker_ready(worker));
    EXPECT_I64(3000, seen.records);
    /* which partitions wait at one time is the broker's and the scheduler's choice */
    EVENTUALLY(20000, (test_send_numbers(producer, topic, sent, 600), sent += 600, seen.most_at_once == 100));
    EVENTUALLY(20000, seen.records == sent);
    EXPECT_I64(0, seen.disorder);
    EXPECT(seen.together > 0 && seen.most_partitions > 1);
}

TEST(what_fails_together_is_tried_one_by_one, "I1 I2 S-51")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("apart", PARTITIONS, false);
    struct seen seen = {.stuck = -1, .refuse_together = REFUSALS};
    const struct kafka_subscription table[] = {
        {.topic = topic, .apply = apply, .apply_together = apply_together, .batch_max = 200}, {0}};
    int sent = 1200;
    test_send_numbers(producer, topic, 0, sent);
    AUTO(kafka_worker) worker = test_worker(table, &seen, producer);
    int64_t end = 0;
    struct err err = {0};
    /* which partitions wait at one time is the broker's and the scheduler's choice: more until there are two */
    EVENTUALLY(20000, seen.stuck >= 0 || (seen.records == sent && (test_send_numbers(producer, topic, sent, 300),
                                                                   sent += 300, seen.stuck >= 0)));
    REQUIRE(seen.stuck >= 0);
    const int64_t done = seen.done[seen.stuck]; /* most often nothing: it did not wait in company before */
    REQUIRE_OK(kafka_end_offset(producer, topic, seen.stuck, 5000, &end, &err), &err);
    const int64_t waiting = end - done;
    EVENTUALLY(20000, seen.records == sent - (int)waiting && seen.alone > 10);
    EXPECT(waiting > 0 && seen.done[seen.stuck] == done);
    EXPECT(done > 0 || !kafka_worker_ready(worker));
    /* that nothing moves is seen from outside */
    EVENTUALLY(20000, figure("madang_kafka_lag", topic) == waiting && figure("madang_kafka_oldest_seconds", topic) > 0);
    seen.stuck = -1;
    EVENTUALLY(20000, kafka_worker_ready(worker) && seen.records == sent);
    EXPECT_I64(0, seen.disorder);
    EVENTUALLY(20000, figure("madang_kafka_lag", topic) == 0 && figure("madang_kafka_oldest_seconds", topic) == 0);
    EXPECT(figure("madang_kafka_batches_total", topic) > 1);
    const int together = seen.together;
    EVENTUALLY(20000, (test_send_numbers(producer, topic, sent, 300), sent += 300, seen.together > together));
    EVENTUALLY(20000, seen.records == sent);
    EXPECT_I64(0, seen.disorder);
}

TEST(a_poison_record_among_several_partitions_is_found_and_put_aside, "I1 I2")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("bad", PARTITIONS, false);
    struct seen seen = {.stuck = -1, .poison = "77"};
    const struct kafka_subscription table[] = {{.topic = topic,
                                                .apply = apply,
                                                .apply_together = apply_together,
                                                .batch_max = 100,
                                                .poison = POISON_DEAD_LETTER},
                                               {0}};
    test_send_numbers(producer, topic, 0, 600);
    AUTO(kafka_worker) worker = test_worker(table, &seen, producer);
    EVENTUALLY(20000, kafka_worker_ready(worker));
    EXPECT_I64(599, seen.records);
    EXPECT_I64(0, seen.disorder);
    EXPECT(seen.poisoned <= 1); /* 0 when it was its partition's last */
}
