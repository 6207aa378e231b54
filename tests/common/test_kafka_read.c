#include "test_kafka.h"

/* ---- what a reading brings ---- */

struct taken {
    int64_t first, last, count, batches, largest;
    bool ordered;
    int64_t stop_at; /* refuses the batch that holds this offset; -1: none */
    char header[40];
};

static struct taken nothing(void)
{
    return (struct taken){.first = -1, .last = -1, .ordered = true, .stop_at = -1};
}

static bool take(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct taken *taken = payload;
    taken->batches++;
    if ((int64_t)batch->count > taken->largest)
        taken->largest = (int64_t)batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        const struct kafka_record *record = &batch->records[i];
        if (record->offset == taken->stop_at)
            return err_set(err, &ERR_CONFLICT, "enough");
        taken->ordered &= taken->last < 0 || record->offset == taken->last + 1;
        if (taken->first < 0)
            taken->first = record->offset;
        taken->last = record->offset;
        taken->count++;
        (void)snprintf(taken->header, sizeof taken->header, "%s|%s", record->corr ? record->corr : "",
                       record->users ? record->users : "");
    }
    return true;
}

static bool read_of(const char *topic, int64_t from, int64_t to, struct taken *taken, struct err *err)
{
    return kafka_read(test_env("KAFKA_BROKERS"), topic, 0, from, to, 10000, take, taken, err);
}

TEST(a_stretch_is_read_in_order, "I2")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("stretch", 1, false);
    test_send_numbers(producer, topic, 0, 1200);
    struct err err = {0};
    struct taken taken = nothing();
    REQUIRE_OK(read_of(topic, 100, 1100, &taken, &err), &err);
    EXPECT_I64(100, taken.first);
    EXPECT_I64(1099, taken.last);
    EXPECT_I64(1000, taken.count);
    EXPECT(taken.ordered);
    EXPECT(taken.largest <= 500);
    EXPECT(taken.batches >= 2);
}

TEST(what_lies_outside_is_cut_off, "I2")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("outside", 1, false);
    struct err err = {0};
    struct taken taken = nothing();
    REQUIRE_OK(read_of(topic, 0, INT64_MAX, &taken, &err), &err); /* an empty partition */
    EXPECT_I64(0, taken.batches);
    test_send_numbers(producer, topic, 0, 10);
    REQUIRE_OK(read_of(topic, -1, INT64_MAX, &taken, &err), &err);
    EXPECT_I64(10, taken.count);
    taken = nothing();
    REQUIRE_OK(read_of(topic, 7, 7, &taken, &err), &err);
    EXPECT_I64(0, taken.count);
    REQUIRE_OK(read_of(topic, 12, 20, &taken, &err), &err);
    EXPECT_I64(0, taken.count);
}

TEST(records_that_are_no_longer_kept_are_skipped, "I2")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("kept", 1, false);
    test_send_numbers(producer, topic, 0, 10);
    struct err err = {0};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = 6;
    rd_kafka_DeleteRecords_t *deletion = rd_kafka_DeleteRecords_new(list);
    rd_kafka_t *client = kafka_producer_client(producer);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(client);
    rd_kafka_DeleteRecords(client, &deletion, 1, NULL, answers);
    rd_kafka_event_destroy(rd_kafka_queue_poll(answers, 10000));
    rd_kafka_queue_destroy(answers);
    rd_kafka_DeleteRecords_destroy(deletion);
    rd_kafka_topic_partition_list_destroy(list);
    struct taken taken = nothing();
    REQUIRE_OK(read_of(topic, 0, INT64_MAX, &taken, &err), &err);
    EXPECT_I64(6, taken.first);
    EXPECT_I64(4, taken.count);
}

TEST(headers_come_along, "I2")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("headers", 1, false);
    const struct kafka_header headers[] = {{"corr", "me:7"}, {"users", "a,b"}, {NULL, NULL}};
    const struct kafka_message message = {.topic = topic, .key = VIEW("k"), .payload = VIEW("p"), .headers = headers};
    struct err err = {0};
    REQUIRE_OK(kafka_send_all(producer, &message, 1, 10000, &err), &err);
    struct taken taken = nothing();
    REQUIRE_OK(read_of(topic, 0, 1, &taken, &err), &err);
    EXPECT_TEXT("me:7|a,b", taken.header);
}

TEST(who_takes_may_end_it, "I2")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *topic = test_topic("ends", 1, false);
    test_send_numbers(producer, topic, 0, 1500);
    struct err err = {0};
    struct taken taken = nothing();
    taken.stop_at = 1400;
    EXPECT(!read_of(topic, 0, INT64_MAX, &taken, &err));
    EXPECT_PROBLEM("conflict", &err);
    EXPECT(taken.last < 1400);
}

TEST(brokers_that_are_away_end_it, "I2")
{
    struct err err = {0};
    struct taken taken = nothing();
    EXPECT(!kafka_read("127.0.0.1:1", "anything", 0, 0, 10, 300, take, &taken, &err));
    EXPECT_PROBLEM("unavailable", &err);
    EXPECT(!read_of("t.there.is.no.such.topic", 0, 10, &taken, &err));
    EXPECT_PROBLEM("unavailable", &err);
}
