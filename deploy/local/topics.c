/* topics.c - every topic of common/topics.h, made by one request before the first daemon starts. Each daemon makes what
 * it misses; but ten of them that ask a young broker at once wait for each other for seconds, and one request for all
 * takes less than half of one. The first group of consumers makes the broker's own topic for their offsets: here too.
 */
#include "topics.h"

#include "client.h"
#include "kafka_conf.h"
#include "log.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Two instances of each service can share the work; each partition more is requests more, on a machine that has two
 * cores. */
#define PARTITIONS "2"
enum { TOPICS_MAX = 64, ASK_MS = 5000, PAUSE_MS = 20, DEADLINE_MS = 10000 };

/* The table, and <name>.dlq for those whose records may be put aside. */
static void list_topics(struct topic wanted[TOPICS_MAX + 1], char names[TOPICS_MAX][KAFKA_TOPIC_NAME_MAX])
{
    size_t count = 0;
    for (const struct topic *topic = TOPICS; topic->name && count < TOPICS_MAX - 1; topic++) {
        wanted[count++] = *topic;
        if (!topic->dead_letters)
            continue;
        wanted[count] = kafka_dead_letters_of(topic->name, names[count]);
        count++;
    }
    wanted[count] = (struct topic){0};
}

/* Asks for a group's offsets: answered as soon as groups have a coordinator. */
static bool find_coordinator(const char *brokers, struct err *err)
{
    rd_kafka_conf_t *conf = kafka_conf_new(brokers, "topics", NULL, err);
    if (!conf)
        return false;
    if (!kafka_conf_set(conf, "group.id", "madang-topics", err)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_t *client = kafka_client_new(RD_KAFKA_CONSUMER, conf, err);
    if (!client)
        return false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, TOPIC_ACCOUNTS, 0);
    rd_kafka_resp_err_t code = rd_kafka_committed(client, list, ASK_MS);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
    return !code || kafka_failed(err, "groups", code);
}

/* A young broker refuses for a while, a loaded machine is slow: both are asked again. */
int client_topics(void)
{
    struct err err = {0};
    struct topic wanted[TOPICS_MAX + 1];
    static char names[TOPICS_MAX][KAFKA_TOPIC_NAME_MAX];
    const char *brokers = getenv("KAFKA_BROKERS");
    log_open("madang-supervise", "topics", LOG_WARN);
    (void)setenv("KAFKA_PARTITIONS", PARTITIONS, 0);
    list_topics(wanted, names);
    const int64_t deadline_ms = now_ms() + DEADLINE_MS;
    while (brokers && now_ms() < deadline_ms) {
        if (kafka_create_topics(brokers, wanted, &err) && find_coordinator(brokers, &err))
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000}, NULL);
    }
    fprintf(stderr, "madang: topics: %s\n", brokers ? err.detail : "KAFKA_BROKERS is not set");
    return 1;
}
