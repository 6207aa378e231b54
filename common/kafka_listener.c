/* kafka_listener.c - consumers without a group that hear every partition of their topics.
 *
 * A `head` is one consumer with its thread, for the topics of one gather_ms: those that wait for more must not hold up
 * the others. They speak one at a time. The thread first asks how many partitions there are and where each begins and
 * ends, then assigns all of them. `next` of an ear is behind the last record that was heard: with it a head goes on
 * after whatever happened to the brokers. */
#include "clock.h"
#include "kafka_conf.h"
#include "kafka_pace.h"
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
    HEADS_MAX = 4,
    BUSY_PACES = 5, /* the pace when there is much, in paces when there is little */
};

static const struct kafka_setting LISTENER[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"}, /* lost offsets are our business: start_again() */
    {"enable.partition.eof", "true"},
    {"fetch.wait.max.ms", "250"},
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

struct head {
    struct kafka_listener *listener;
    rd_kafka_t *rk;
    int gather_ms;
    struct ear *ears;
    size_t ear_count;
    rd_kafka_message_t *messages[BATCH_MAX];
    struct kafka_records records;
    bool waits; /* for a broker; and the log says so */
    bool ready; /* once caught up */
    bool started;
    pthread_t thread;
};

struct kafka_listener {
    char *name;
    const struct kafka_listening *topics;
    void *app;
    struct metric *heard;
    struct metric_child *lost;
    pthread_mutex_t voice; /* held while the application hears: one at a time */
    struct head *heads[HEADS_MAX];
    size_t head_count;
    size_t heads_ready; /* guarded by voice */
    atomic_bool ready, stop;
};

/* ---- where to begin ---- */

static bool add_ears(struct head *head, const struct kafka_listening *listening, const struct rd_kafka_metadata *all,
                     struct err *err)
{
    const struct rd_kafka_metadata_topic *topic = NULL;
    for (int i = 0; i < all->topic_cnt; i++)
        if (strcmp(all->topics[i].topic, listening->topic) == 0)
            topic = &all->topics[i];
    if (!topic || topic->err || !topic->partition_cnt)
        return kafka_failed(err, listening->topic,
                            topic && topic->err ? topic->err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    const size_t count = (size_t)topic->partition_cnt;
    head->ears = mem_grow(head->ears, head->ear_count + count, sizeof *head->ears);
    for (size_t i = 0; i < count; i++)
        head->ears[head->ear_count++] = (struct ear){.listening = listening,
                                                     .heard = METRIC_CHILD(head->listener->heard, listening->topic),
                                                     .partition = (int32_t)i};
    return true;
}

static bool find_partitions(struct head *head, struct err *err)
{
    const struct rd_kafka_metadata *all;
    rd_kafka_resp_err_t code = rd_kafka_metadata(head->rk, 1, NULL, &all, ASK_MS);
    if (code)
        return kafka_failed(err, "topics", code);
    bool ok = true;
    head->ear_count = 0;
    for (const struct kafka_listening *listening = head->listener->topics; ok && listening->topic; listening++)
        if (listening->gather_ms == head->gather_ms)
            ok = add_ears(head, listening, all, err);
    rd_kafka_metadata_destroy(all);
    return ok;
}

/* The first or last offsets of every partition by one request (a watermark query is one for each of them, one after
 * the other). In the order of the ears. */
static bool ask_offsets(struct head *head, int64_t which, int64_t *offsets, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)head->ear_count);
    for (size_t i = 0; i < head->ear_count; i++)
        rd_kafka_topic_partition_list_add(list, head->ears[i].listening->topic, head->ears[i].partition);
    const bool ok = kafka_ask_offsets(head->rk, list, which, ASK_MS, err);
    for (size_t i = 0; ok && i < head->ear_count; i++)
        offsets[i] =
            rd_kafka_topic_partition_list_find(list, head->ears[i].listening->topic, head->ears[i].partition)->offset;
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}

static bool find_starts(struct head *head, struct err *err)
{
    int64_t *low = mem_new(head->ear_count, sizeof *low), *high = mem_new(head->ear_count, sizeof *high);
    bool ok =
        ask_offsets(head, RD_KAFKA_OFFSET_BEGINNING, low, err) && ask_offsets(head, RD_KAFKA_OFFSET_END, high, err);
    for (size_t i = 0; ok && i < head->ear_count; i++) {
        struct ear *ear = &head->ears[i];
        ear->next = ear->listening->from == LISTEN_FROM_START ? low[i] : high[i];
        ear->caught_up_at = high[i];
        ear->caught_up = ear->next >= high[i];
    }
    free(low);
    free(high);
    return ok;
}

static bool assign(struct head *head, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)head->ear_count);
    for (size_t i = 0; i < head->ear_count; i++)
        rd_kafka_topic_partition_list_add(list, head->ears[i].listening->topic, head->ears[i].partition)->offset =
            head->ears[i].next;
    rd_kafka_resp_err_t code = rd_kafka_assign(head->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return !code || kafka_failed(err, "assign", code);
}

static bool begin(struct head *head, struct err *err)
{
    return find_partitions(head, err) && find_starts(head, err) && assign(head, err);
}

/* Says once that it has to wait for the brokers, and once that it goes on. */
static void tell_wait(struct head *head, bool waits, const struct err *err)
{
    if (waits && !head->waits)
        log_event(LOG_WARN, "listener_waits", LOG_TEXT("listener", head->listener->name),
                  LOG_TEXT("reason", err->detail));
    head->waits = waits;
}

/* Offsets that are out of range: retention was faster than we were, or the topic was made anew. What is gone is gone;
 * the listener goes on from the oldest record that exists. */
static void start_again(struct head *head, struct ear *lost)
{
    struct err err = {0};
    int64_t low, high;
    while (!atomic_load(&head->listener->stop)) {
        rd_kafka_resp_err_t code =
            rd_kafka_query_watermark_offsets(head->rk, lost->listening->topic, lost->partition, &low, &high, ASK_MS);
        if (!code)
            break;
        (void)kafka_failed(&err, lost->listening->topic, code);
        tell_wait(head, true, &err);
        (void)nanosleep(&(struct timespec){.tv_nsec = ASK_PAUSE_MS * 1000000}, NULL);
    }
    if (atomic_load(&head->listener->stop))
        return;
    tell_wait(head, false, NULL);
    log_event(LOG_ERROR, "listener_lost_records", LOG_TEXT("topic", lost->listening->topic),
              LOG_I64("partition", lost->partition), LOG_I64("wanted", lost->next), LOG_I64("oldest", low));
    metric_add(head->listener->lost, 1);
    lost->next = low;
    if (lost->caught_up_at > high)
        lost->caught_up_at = high;
    lost->caught_up = lost->caught_up || low >= high;
    if (!assign(head, &err))
        service_fail("kafka listener %s: %s", head->listener->name, err.detail);
}

/* ---- hearing ---- */

static struct ear *find_ear(struct head *head, const rd_kafka_message_t *message)
{
    const char *topic = message->rkt ? rd_kafka_topic_name(message->rkt) : "";
    for (size_t i = 0; i < head->ear_count; i++)
        if (head->ears[i].partition == message->partition && strcmp(head->ears[i].listening->topic, topic) == 0)
            return &head->ears[i];
    return NULL;
}

/* Messages of one partition, in order. Takes them. */
static void hear(struct head *head, size_t count)
{
    if (!count)
        return;
    struct ear *ear = find_ear(head, head->messages[0]);
    head->records.count = 0;
    for (size_t i = 0; ear && i < count; i++)
        if (head->messages[i]->offset >= ear->next)
            kafka_records_add(&head->records, head->messages[i], ear->listening->bare);
    if (head->records.count) {
        const struct kafka_batch batch = {.topic = ear->listening->topic,
                                          .partition = ear->partition,
                                          .records = head->records.items,
                                          .count = head->records.count};
        pthread_mutex_lock(&head->listener->voice);
        ear->listening->hear(head->listener->app, &batch);
        pthread_mutex_unlock(&head->listener->voice);
        metric_add(ear->heard, (int64_t)batch.count);
        ear->next = batch.records[batch.count - 1].offset + 1;
        ear->caught_up = ear->caught_up || ear->next >= ear->caught_up_at;
    }
    for (size_t i = 0; i < count; i++)
        rd_kafka_message_destroy(head->messages[i]);
}

/* Takes the message. The ear whose offset is lost, or NULL. */
static struct ear *take_event(struct head *head, rd_kafka_message_t *message)
{
    char words[200];
    struct ear *ear = find_ear(head, message), *lost = NULL;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        /* the end may lie behind records that compaction took away */
        if (ear && message->offset >= ear->caught_up_at)
            ear->caught_up = true;
    } else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        lost = ear;
    } else {
        log_event(LOG_WARN, "kafka_listener", LOG_TEXT("listener", head->listener->name),
                  LOG_TEXT("message", rd_kafka_message_errstr(message)));
    }
    rd_kafka_message_destroy(message);
    if (rd_kafka_fatal_error(head->rk, words, sizeof words))
        service_fail("kafka listener %s: %s", head->listener->name, words);
    return lost;
}

/* Everything that is here now, in runs of one partition. */
static void listen_once(struct head *head)
{
    size_t count = 0;
    int wait_ms = TURN_MS;
    rd_kafka_message_t *message;
    while (!atomic_load_explicit(&head->listener->stop, memory_order_relaxed) &&
           (message = rd_kafka_consumer_poll(head->rk, wait_ms))) {
        wait_ms = 0;
        bool same = count && !message->err && message->rkt == head->messages[0]->rkt &&
                    message->partition == head->messages[0]->partition;
        if (count && (!same || count == BATCH_MAX)) {
            hear(head, count);
            count = 0;
        }
        if (!message->err) {
            head->messages[count++] = message;
            continue;
        }
        struct ear *lost = take_event(head, message);
        if (lost)
            start_again(head, lost);
    }
    hear(head, count);
}

/* The last head to catch up says so for all. */
static void look_whether_ready(struct head *head)
{
    struct kafka_listener *listener = head->listener;
    if (head->ready)
        return;
    for (size_t i = 0; i < head->ear_count; i++)
        if (!head->ears[i].caught_up)
            return;
    head->ready = true;
    pthread_mutex_lock(&listener->voice);
    if (++listener->heads_ready == listener->head_count) {
        atomic_store(&listener->ready, true);
        log_event(LOG_INFO, "listener_ready", LOG_TEXT("listener", listener->name));
        for (const struct kafka_listening *listening = listener->topics; listening->topic; listening++)
            if (listening->ready)
                listening->ready(listener->app);
    }
    pthread_mutex_unlock(&listener->voice);
}

static void *head_run(void *payload)
{
    struct head *head = payload;
    struct err err = {0};
    while (!atomic_load(&head->listener->stop) && !begin(head, &err)) {
        tell_wait(head, true, &err);
        (void)nanosleep(&(struct timespec){.tv_nsec = ASK_PAUSE_MS * 1000000}, NULL);
    }
    tell_wait(head, false, NULL);
    while (!atomic_load(&head->listener->stop)) {
        look_whether_ready(head);
        listen_once(head);
    }
    (void)rd_kafka_consumer_close(head->rk);
    return NULL;
}

/* ---- start and release ---- */

static struct head *head_of(struct kafka_listener *listener, int gather_ms)
{
    for (size_t i = 0; i < listener->head_count; i++)
        if (listener->heads[i]->gather_ms == gather_ms)
            return listener->heads[i];
    return NULL;
}

static bool consumer_open(struct head *head, const char *brokers, struct err *err)
{
    rd_kafka_conf_t *conf = kafka_conf_new(brokers, head->listener->name, LISTENER, err);
    if (!conf)
        return false;
    if (!kafka_conf_set(conf, "group.id", head->listener->name, err) || /* never joined: librdkafka wants a name */
        !kafka_conf_pace(
            conf, (struct kafka_pace){.gather_ms = head->gather_ms, .busy_gather_ms = head->gather_ms * BUSY_PACES})) {
        rd_kafka_conf_destroy(conf);
        return err->problem ? false : err_set_internal(err, &ERR_INTERNAL, "no pace for a kafka consumer");
    }
    head->rk = kafka_client_new(RD_KAFKA_CONSUMER, conf, err);
    return head->rk && !rd_kafka_poll_set_consumer(head->rk);
}

static bool make_heads(struct kafka_listener *listener, const char *brokers, struct err *err)
{
    for (const struct kafka_listening *listening = listener->topics; listening->topic; listening++) {
        if (head_of(listener, listening->gather_ms))
            continue;
        if (listener->head_count == HEADS_MAX)
            return err_set_internal(err, &ERR_INTERNAL, "listener %s gathers in too many ways", listener->name);
        struct head *head = listener->heads[listener->head_count++] = MEM_NEW(head);
        head->listener = listener;
        head->gather_ms = listening->gather_ms;
        if (!consumer_open(head, brokers, err))
            return false;
    }
    return true;
}

static bool start_heads(struct kafka_listener *listener, struct err *err)
{
    for (size_t i = 0; i < listener->head_count; i++) {
        struct head *head = listener->heads[i];
        head->started = pthread_create(&head->thread, NULL, head_run, head) == 0;
        if (!head->started)
            return err_set_internal(err, &ERR_INTERNAL, "no thread for listener %s", listener->name);
    }
    return true;
}

static void head_free(struct head *head)
{
    if (head->rk)
        rd_kafka_destroy(head->rk);
    kafka_records_free(&head->records);
    free(head->ears);
    free(head);
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
    pthread_mutex_init(&listener->voice, NULL);
    listener->heard = metric_counter("madang_kafka_heard_total", "Records that the listener heard", "topic");
    listener->lost = METRIC_CHILD(
        metric_counter("madang_kafka_listener_lost_total", "Times that a listener found its offset gone", NULL));
    if (!make_heads(listener, brokers, err) || !start_heads(listener, err))
        kafka_listener_release(&listener);
    return listener;
}

void kafka_listener_release(struct kafka_listener **place)
{
    struct kafka_listener *listener = TAKE(*place);
    if (!listener)
        return;
    atomic_store(&listener->stop, true);
    for (size_t i = 0; i < listener->head_count; i++)
        if (listener->heads[i]->started)
            (void)pthread_join(listener->heads[i]->thread, NULL);
    for (size_t i = 0; i < listener->head_count; i++)
        head_free(listener->heads[i]);
    pthread_mutex_destroy(&listener->voice);
    free(listener->name);
    free(listener);
}

bool kafka_listener_ready(void *listener)
{
    return atomic_load(&((struct kafka_listener *)listener)->ready);
}
