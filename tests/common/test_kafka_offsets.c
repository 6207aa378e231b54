/* What a worker asks about its partitions when they become its own, so that it need not wait for an empty fetch. */
#include "kafka_worker.h"
#include "log.h"
#include "test_kafka.h"

enum { COUNT = 3 };

struct asked {
    struct kafka_subscription subscriptions[3];
    struct part parts[2];
    struct kafka_worker worker;
};

/* A consumer in no group's assignment: where it stands is what was committed. */
static void set_up(struct asked *asked, const char *group, const char *first, const char *second)
{
    struct err err = {0};
    rd_kafka_conf_t *conf = kafka_conf_new(test_env("KAFKA_BROKERS"), group, NULL, &err);
    test_stop_at(conf && kafka_conf_set(conf, "group.id", group, &err), "conf", &err);
    asked->subscriptions[0].topic = first;
    asked->subscriptions[1].topic = second;
    for (size_t i = 0; i < 2; i++)
        asked->parts[i] = (struct part){
            .subscription = &asked->subscriptions[i], .next_offset = -1, .committed = -1, .end_offset = -1};
    asked->worker = (struct kafka_worker){.rk = kafka_client_new(RD_KAFKA_CONSUMER, conf, &err),
                                          .name = (char *)(uintptr_t)group,
                                          .parts = asked->parts,
                                          .part_count = 2};
    test_stop_at(asked->worker.rk != NULL, "consumer", &err);
}

static void commit(rd_kafka_t *rk, const char *topic, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
    EXPECT_I64(RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_commit(rk, list, 0));
    rd_kafka_topic_partition_list_destroy(list);
}

TEST(a_partition_with_nothing_to_do_is_known_without_a_fetch, "I1")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *full = test_topic("full", 1, false), *empty = test_topic("empty", 1, false);
    test_send_numbers(producer, full, 0, COUNT);
    struct asked asked = {0};
    set_up(&asked, full, full, empty); /* the group's name is as new as the topic's */
    kafka_worker_find_ends(&asked.worker);
    EXPECT(!asked.parts[0].caught_up);
    EXPECT_I64(COUNT, asked.parts[0].end_offset);
    EXPECT(asked.parts[1].caught_up);
    commit(asked.worker.rk, full, COUNT - 1);
    kafka_worker_find_ends(&asked.worker);
    EXPECT(!asked.parts[0].caught_up);
    commit(asked.worker.rk, full, COUNT);
    kafka_worker_find_ends(&asked.worker);
    EXPECT(asked.parts[0].caught_up);
    rd_kafka_destroy(asked.worker.rk);
}

TEST(what_cannot_be_asked_is_left_to_the_fetches, "I1")
{
    AUTO(kafka_producer) producer = test_producer(NULL);
    const char *known = test_topic("known", 1, false);
    struct asked asked = {0};
    set_up(&asked, known, known, "no-such-topic-as-this");
    kafka_worker_find_ends(&asked.worker);
    EXPECT(!asked.parts[0].caught_up);
    EXPECT(!asked.parts[1].caught_up);
    EXPECT_I64(-1, asked.parts[0].end_offset);
    rd_kafka_destroy(asked.worker.rk);
}
