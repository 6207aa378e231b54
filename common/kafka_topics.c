/* kafka_topics.c - topics exist, with the partitions that the table says. */
#include "clock.h"
#include "kafka_conf.h"
#include "log.h"
#include "mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    WAIT_MS = 10000, /* for brokers to answer, and for new topics to have leaders */
    LOOK_MS = 20,
    TOPICS_MAX = 64,
    PARTITIONS_MAX = 1000,
    DEAD_LETTER_RETENTION_HOURS = 30 * 24,
};

/* The value of a setting; 0: a wrong one. */
static int number_of(const char *value)
{
    char *end;
    const long number = strtol(value, &end, 10);
    return *end || number < 1 || number > PARTITIONS_MAX ? 0 : (int)number;
}

/* KAFKA_PARTITIONS_SESSIONS_ENDED=1 for sessions.ended alone, KAFKA_PARTITIONS for all that are spread. 0: a wrong
 * value. *strict: a topic that is there must have as many. */
static int wanted_partitions(const struct topic *topic, bool *strict)
{
    char name[128];
    int length = snprintf(name, sizeof name, "KAFKA_PARTITIONS_%s", topic->name);
    for (int i = 0; i < length && i < (int)sizeof name - 1; i++)
        name[i] = isalnum((unsigned char)name[i]) ? (char)toupper((unsigned char)name[i]) : '_';
    const char *value = getenv(name);
    *strict = true;
    if (value && *value)
        return number_of(value);
    if (topic->partitions != TOPIC_SPREAD)
        return topic->partitions;
    *strict = false;
    value = getenv("KAFKA_PARTITIONS");
    return value && *value ? number_of(value) : TOPIC_SPREAD_NORMALLY;
}

static const struct rd_kafka_metadata_topic *find_topic(const struct rd_kafka_metadata *all, const char *name)
{
    for (int i = 0; i < all->topic_cnt; i++)
        if (strcmp(all->topics[i].topic, name) == 0)
            return all->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR ? &all->topics[i] : NULL;
    return NULL;
}

static bool has_leaders(const struct rd_kafka_metadata_topic *topic)
{
    for (int i = 0; i < topic->partition_cnt; i++)
        if (topic->partitions[i].leader < 0)
            return false;
    return true;
}

static rd_kafka_NewTopic_t *describe(const struct topic *topic, int partitions, int brokers)
{
    char words[200], retention[24];
    int replicas = brokers >= 3 ? 3 : 1;
    rd_kafka_NewTopic_t *wish = rd_kafka_NewTopic_new(topic->name, partitions, replicas, words, sizeof words);
    if (!wish)
        return NULL;
    (void)snprintf(retention, sizeof retention, "%lld", (long long)topic->retention_ms);
    (void)rd_kafka_NewTopic_set_config(wish, "cleanup.policy", topic->compacted ? "compact" : "delete");
    if (topic->compacted) {
        /* Whoever starts reads all of it, and the segment at work (1 GB by default) is never compacted. */
        (void)rd_kafka_NewTopic_set_config(wish, "segment.bytes", "8388608");
        (void)rd_kafka_NewTopic_set_config(wish, "min.cleanable.dirty.ratio", "0.1");
    } else {
        (void)rd_kafka_NewTopic_set_config(wish, "retention.ms", retention);
    }
    if (topic->broker_time)
        (void)rd_kafka_NewTopic_set_config(wish, "message.timestamp.type", "LogAppendTime");
    if (replicas == 3)
        (void)rd_kafka_NewTopic_set_config(wish, "min.insync.replicas", "2");
    return wish;
}

/* A cluster that has just started: its brokers are not all there, or not in charge yet. The next look asks again. */
static bool is_young(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR: /* "1 wanted, 0 brokers registered" */
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
        return true;
    default:
        return false;
    }
}

/* The answer to CreateTopics: a topic that somebody else made at the same time is fine. */
static bool check_created(rd_kafka_event_t *event, struct err *err)
{
    if (!event)
        return kafka_failed(err, "create topics", RD_KAFKA_RESP_ERR__TIMED_OUT);
    if (rd_kafka_event_error(event))
        return kafka_failed(err, "create topics", rd_kafka_event_error(event));
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            log_event(LOG_INFO, "topic_created", LOG_TEXT("topic", rd_kafka_topic_result_name(results[i])));
        else if (code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS && !is_young(code))
            return kafka_failed(err, rd_kafka_topic_result_name(results[i]), code);
    }
    return true;
}

static bool create(rd_kafka_t *client, rd_kafka_NewTopic_t **wishes, size_t count, struct err *err)
{
    char words[200];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, WAIT_MS, words, sizeof words);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, wishes, count, options, answers);
    rd_kafka_event_t *event = rd_kafka_queue_poll(answers, WAIT_MS);
    bool ok = check_created(event, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(answers);
    rd_kafka_AdminOptions_destroy(options);
    return ok;
}

/* Compares the cluster with the table; makes what is missing. *complete: all there, with leaders. */
static bool look(rd_kafka_t *client, const struct topic *topics, int64_t deadline_ms, bool *complete, struct err *err)
{
    const struct rd_kafka_metadata *all;
    int64_t left = deadline_ms - clock_monotonic_ms();
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 1, NULL, &all, left > 1 ? (int)left : 1);
    if (code)
        return kafka_failed(err, "topics", code);
    rd_kafka_NewTopic_t *wishes[TOPICS_MAX];
    size_t missing = 0;
    bool ok = *complete = true;
    for (size_t i = 0; ok && topics[i].name && i < TOPICS_MAX; i++) {
        const struct rd_kafka_metadata_topic *there = find_topic(all, topics[i].name);
        bool strict;
        const int partitions = wanted_partitions(&topics[i], &strict);
        if (!partitions)
            ok = err_set(err, &ERR_BAD_INPUT, "the partition count set for topic %s is not a number of 1..%d",
                         topics[i].name, PARTITIONS_MAX);
        else if (there && strict && there->partition_cnt != partitions)
            ok = err_set(err, &ERR_INTERNAL, "topic %s has %d partitions, expected %d: keys must never move",
                         topics[i].name, there->partition_cnt, partitions);
        else if (!there)
            ok = (wishes[missing] = describe(&topics[i], partitions, all->broker_cnt)) != NULL ||
                 err_set_internal(err, &ERR_INTERNAL, "topic %s can't be described", topics[i].name);
        missing += ok && !there;
        *complete = *complete && there && has_leaders(there);
    }
    rd_kafka_metadata_destroy(all);
    ok = ok && (!missing || create(client, wishes, missing, err));
    rd_kafka_NewTopic_destroy_array(wishes, missing);
    return ok;
}

bool kafka_create_topics(const char *brokers, const struct topic *topics, struct err *err)
{
    rd_kafka_conf_t *conf = kafka_conf_new(brokers, "topics", NULL, err);
    rd_kafka_t *client = conf ? kafka_client_new(RD_KAFKA_PRODUCER, conf, err) : NULL;
    if (!client)
        return false;
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    bool ok, complete = false;
    while ((ok = look(client, topics, deadline_ms, &complete, err)) && !complete) {
        if (clock_monotonic_ms() >= deadline_ms) {
            ok = kafka_failed(err, "topics have no leader", RD_KAFKA_RESP_ERR__TIMED_OUT);
            break;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
    }
    rd_kafka_destroy(client);
    return ok;
}

struct topic kafka_dead_letters_of(const char *name, char room[KAFKA_TOPIC_NAME_MAX])
{
    (void)snprintf(room, KAFKA_TOPIC_NAME_MAX, "%s.dlq", name);
    return (struct topic){.name = room, .partitions = 1, .retention_ms = HOURS_MS(DEAD_LETTER_RETENTION_HOURS)};
}

bool kafka_ensure_topics(const char *brokers, const char *const *names, struct err *err)
{
    struct topic wanted[TOPICS_MAX + 1] = {{0}};
    for (size_t count = 0; names[count]; count++) {
        const struct topic *topic = TOPICS;
        while (topic->name && strcmp(topic->name, names[count]) != 0)
            topic++;
        if (!topic->name || count == TOPICS_MAX)
            return err_set_internal(err, &ERR_INTERNAL, "topic %s is not in the table", names[count]);
        wanted[count] = *topic;
    }
    return kafka_create_topics(brokers, wanted, err);
}
