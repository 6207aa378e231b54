/* kafka_listener.c - one consumer without a group that hears every partition of its topics.
 *
 * The thread first asks how many partitions there are and where each begins and ends, then assigns all of them. `next`
 * of a part is behind the last record that was heard: with it a listener goes on after whatever happened to the
 * brokers. */
#include "clock.h"
#include "kafka_conf.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "service.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TURN_MS = 100, /* at most so long until a stop is noticed */
    BATCH_MAX = 500,
    ASK_MS = 2000,
    ASK_PAUSE_MS = 100,
};

static const struct kafka_setting LISTENER[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"}, /* lost offsets are our business: start_again() */
    {"enable.partition.eof", "true"},
    {"fetch.wait.max.ms", "100"},
    {"fetch.error.backoff.ms", "20"},
    {"fetch.max.bytes", "4194304"},
    {"max.partition.fetch.bytes", "1048576"},
    {"queued.max.messages.kbytes", "4096"},
    {NULL, NULL},
};

struct ear { /* one partition */
    const struct kafka_listening *listening;
    struct metric_child *heard;
    int32_t partition;
    int64_t next;
    int64_t caught_up_at; /* what stood there at the start ends here */
    bool caught_up;
};

struct kafka_listener {
    rd_kafka_t *rk;
    char *name;
    const struct kafka_listening *topics;
    void *app;
    struct metric *heard;
    struct metric_child *lost;
    struct ear *ears;
    size_t ear_count;
    rd_kafka_message_t *messages[BATCH_MAX];
    struct kafka_record records[BATCH_MAX];
    bool waits; /* for a broker; and the log says so */
    atomic_bool ready, stop;
    pthread_t thread;
};

/* ---- where to begin ---- */

static bool count_partitions(struct kafka_listener *listener, const char *name, int *count, struct err *err)
{
    const struct rd_kafka_metadata *answer;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(listener->rk, name, NULL);
    if (!topic)
        return kafka_failed(err, name, rd_kafka_last_error());
    rd_kafka_resp_err_t code = rd_kafka_metadata(listener->rk, 0, topic, &answer, ASK_MS);
    *count = 0;
    if (!code) {
        bool there = answer->topic_cnt == 1;
        code = there ? answer->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        *count = there ? answer->topics[0].partition_cnt : 0;
        rd_kafka_metadata_destroy(answer);
    }
    rd_kafka_topic_destroy(topic);
    if (!code && !*count)
        code = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    return !code || kafka_failed(err, name, code);
}

static bool find_start(struct kafka_listener *listener, struct ear *ear, struct err *err)
{
    int64_t low, high;
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(listener->rk, ear->listening->topic, ear->partition, &low, &high, ASK_MS);
    if (code)
        return kafka_failed(err, ear->listening->topic, code);
    ear->next = ear->listening->from == LISTEN_FROM_START ? low : high;
    ear->caught_up_at = high;
    ear->caught_up = ear->next >= high;
    return true;
}

static bool add_ears(struct kafka_listener *listener, const struct kafka_listening *listening, struct err *err)
{
    int count = 0;
    if (!count_partitions(listener, listening->topic, &count, err))
        return false;
    listener->ears = mem_grow(listener->ears, listener->ear_count + (size_t)count, sizeof *listener->ears);
    for (int i = 0; i < count; i++) {
        struct ear *ear = &listener->ears[listener->ear_count++];
        *ear = (struct ear){
            .listening = listening, .heard = METRIC_CHILD(listener->heard, listening->topic), .partition = i};
        if (!find_start(listener, ear, err))
            return false;
    }
    return true;
}

static bool assign(struct kafka_listener *listener, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)listener->ear_count);
    for (size_t i = 0; i < listener->ear_count; i++)
        rd_kafka_topic_partition_list_add(list, listener->ears[i].listening->topic, listener->ears[i].partition)
            ->offset = listener->ears[i].next;
    rd_kafka_resp_err_t code = rd_kafka_assign(listener->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return !code || kafka_failed(err, "assign", code);
}

static bool begin(struct kafka_listener *listener, struct err *err)
{
    listener->ear_count = 0;
    for (const struct kafka_listening *listening = listener->topics; listening->topic; listening++)
        if (!add_ears(listener, listening, err))
            return false;
    return assign(listener, err);
}

/* Says once that it has to wait for the brokers, and once that it goes on. */
static void tell_wait(struct kafka_listener *listener, bool waits, const struct err *err)
{
    if (waits && !listener->waits)
        log_event(LOG_WARN, "listener_waits", LOG_TEXT("listener", listener->name), LOG_TEXT("reason", err->detail));
    listener->waits = waits;
}

/* Offsets that are out of range: retention was faster than we were, or the topic was made anew. What is gone is gone;
 * the listener goes on from the oldest record that exists. */
static void start_again(struct kafka_listener *listener, struct ear *lost)
{
    struct err err = {0};
    int64_t low, high;
    while (!atomic_load(&listener->stop)) {
        rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(listener->rk, lost->listening->topic,
                                                                    lost->partition, &low, &high, ASK_MS);
        if (!code)
            break;
        (void)kafka_failed(&err, lost->listening->topic, code);
        tell_wait(listener, true, &err);
        (void)nanosleep(&(struct timespec){.tv_nsec = ASK_PAUSE_MS * 1000000}, NULL);
    }
    if (atomic_load(&listener->stop))
        return;
    tell_wait(listener, false, NULL);
    log_event(LOG_ERROR, "listener_lost_records", LOG_TEXT("topic", lost->listening->topic),
              LOG_I64("partition", lost->partition), LOG_I64("wanted", lost->next), LOG_I64("oldest", low));
    metric_add(listener->lost, 1);
    lost->next = low;
    if (lost->caught_up_at > high)
        lost->caught_up_at = high;
    lost->caught_up = lost->caught_up || low >= high;
    if (!assign(listener, &err))
        service_fail("kafka listener %s: %s", listener->name, err.detail);
}

/* ---- hearing ---- */

static struct ear *find_ear(struct kafka_listener *listener, const rd_kafka_message_t *message)
{
    const char *topic = message->rkt ? rd_kafka_topic_name(message->rkt) : "";
    for (size_t i = 0; i < listener->ear_count; i++)
        if (listener->ears[i].partition == message->partition && strcmp(listener->ears[i].listening->topic, topic) == 0)
            return &listener->ears[i];
    return NULL;
}

/* Messages of one partition, in order. Takes them. */
static void hear(struct kafka_listener *listener, size_t count)
{
    if (!count)
        return;
    struct ear *ear = find_ear(listener, listener->messages[0]);
    size_t used = 0;
    for (size_t i = 0; ear && i < count; i++)
        if (listener->messages[i]->offset >= ear->next)
            kafka_record_fill(&listener->records[used++], listener->messages[i]);
    if (used) {
        const struct kafka_batch batch = {
            .topic = ear->listening->topic, .partition = ear->partition, .records = listener->records, .count = used};
        ear->listening->hear(listener->app, &batch);
        metric_add(ear->heard, (int64_t)used);
        ear->next = listener->records[used - 1].offset + 1;
        ear->caught_up = ear->caught_up || ear->next >= ear->caught_up_at;
    }
    for (size_t i = 0; i < count; i++)
        rd_kafka_message_destroy(listener->messages[i]);
}

/* Takes the message. The ear whose offset is lost, or NULL. */
static struct ear *take_event(struct kafka_listener *listener, rd_kafka_message_t *message)
{
    char words[200];
    struct ear *ear = find_ear(listener, message), *lost = NULL;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        /* the end may lie behind records that compaction took away */
        if (ear && message->offset >= ear->caught_up_at)
            ear->caught_up = true;
    } else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        lost = ear;
    } else {
        log_event(LOG_WARN, "kafka_listener", LOG_TEXT("listener", listener->name),
                  LOG_TEXT("message", rd_kafka_message_errstr(message)));
    }
    rd_kafka_message_destroy(message);
    if (rd_kafka_fatal_error(listener->rk, words, sizeof words))
        service_fail("kafka listener %s: %s", listener->name, words);
    return lost;
}

/* Everything that is here now, in runs of one partition. */
static void listen_once(struct kafka_listener *listener)
{
    size_t count = 0;
    int wait_ms = TURN_MS;
    rd_kafka_message_t *message;
    while (!atomic_load_explicit(&listener->stop, memory_order_relaxed) &&
           (message = rd_kafka_consumer_poll(listener->rk, wait_ms))) {
        wait_ms = 0;
        bool same = count && !message->err && message->rkt == listener->messages[0]->rkt &&
                    message->partition == listener->messages[0]->partition;
        if (count && (!same || count == BATCH_MAX)) {
            hear(listener, count);
            count = 0;
        }
        if (!message->err) {
            listener->messages[count++] = message;
            continue;
        }
        struct ear *lost = take_event(listener, message);
        if (lost)
            start_again(listener, lost);
    }
    hear(listener, count);
}

static void look_whether_ready(struct kafka_listener *listener)
{
    if (atomic_load_explicit(&listener->ready, memory_order_relaxed))
        return;
    for (size_t i = 0; i < listener->ear_count; i++)
        if (!listener->ears[i].caught_up)
            return;
    atomic_store(&listener->ready, true);
    log_event(LOG_INFO, "listener_ready", LOG_TEXT("listener", listener->name),
              LOG_I64("partitions", listener->ear_count));
    for (const struct kafka_listening *listening = listener->topics; listening->topic; listening++)
        if (listening->ready)
            listening->ready(listener->app);
}

static void *listener_run(void *payload)
{
    struct kafka_listener *listener = payload;
    struct err err = {0};
    while (!atomic_load(&listener->stop) && !begin(listener, &err)) {
        tell_wait(listener, true, &err);
        (void)nanosleep(&(struct timespec){.tv_nsec = ASK_PAUSE_MS * 1000000}, NULL);
    }
    tell_wait(listener, false, NULL);
    while (!atomic_load(&listener->stop)) {
        look_whether_ready(listener);
        listen_once(listener);
    }
    (void)rd_kafka_consumer_close(listener->rk);
    return NULL;
}

/* ---- start and release ---- */

static bool consumer_open(struct kafka_listener *listener, const char *brokers, struct err *err)
{
    rd_kafka_conf_t *conf = kafka_conf_new(brokers, listener->name, LISTENER, err);
    if (!conf)
        return false;
    if (!kafka_conf_set(conf, "group.id", listener->name, err)) { /* never joined: librdkafka wants a name */
        rd_kafka_conf_destroy(conf);
        return false;
    }
    listener->rk = kafka_client_new(RD_KAFKA_CONSUMER, conf, err);
    return listener->rk && !rd_kafka_poll_set_consumer(listener->rk);
}

static void listener_free(struct kafka_listener *listener)
{
    if (listener->rk)
        rd_kafka_destroy(listener->rk);
    free(listener->ears);
    free(listener->name);
    free(listener);
}

struct kafka_listener *kafka_listener_start(const char *brokers, const char *client_id,
                                            const struct kafka_listening *topics, void *app, struct err *err)
{
    struct kafka_listener *listener = MEM_NEW(kafka_listener);
    char name[160];
    (void)snprintf(name, sizeof name, "%s-listener", client_id);
    listener->name = mem_text(name);
    listener->topics = topics;
    listener->app = app;
    listener->heard = metric_counter("madang_kafka_heard_total", "Records that the listener heard", "topic");
    listener->lost = METRIC_CHILD(
        metric_counter("madang_kafka_listener_lost_total", "Times that a listener found its offset gone", NULL));
    if (consumer_open(listener, brokers, err)) {
        if (pthread_create(&listener->thread, NULL, listener_run, listener) == 0)
            return listener;
        err_set_internal(err, &ERR_INTERNAL, "no thread for listener %s", name);
    }
    listener_free(listener);
    return NULL;
}

void kafka_listener_release(struct kafka_listener **place)
{
    struct kafka_listener *listener = TAKE(*place);
    if (!listener)
        return;
    atomic_store(&listener->stop, true);
    (void)pthread_join(listener->thread, NULL);
    listener_free(listener);
}

bool kafka_listener_ready(void *listener)
{
    return atomic_load(&((struct kafka_listener *)listener)->ready);
}
