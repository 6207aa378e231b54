/* kafka_producer.c - batches that arrive whole and in order, over clients that can be replaced.
 *
 * A `batch` is one call of kafka_send_all; a `client` is one rd_kafka_t with the thread that turns it. A client is
 * retired after a fatal error or when a batch ran out of time: what is in its queue is thrown out (the reports say so),
 * its thread destroys it, and the next send makes a new one. So nothing of a batch that failed lies in a queue and
 * leaves later. */
#include "clock.h"
#include "kafka_conf.h"
#include "kafka_sender.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TURN_MS = 100, /* how long the thread waits for a report before it looks whether it should end */
    PAUSE_MS = 50, /* before another try */
    FLUSH_MS = 5000,
    PURGE_MS = 2000, /* a retired client reports what it had at once; if not, the batch is given up */
    READY_MS = 3000, /* an answer of the brokers is believed this long */
    READY_WAIT_MS = 1000,
    HEADERS_MAX = 8,
    TOPICS_MAX = 32,
    LEARN_MS = 1000,
    LINGER_MS = 1,
};

static const struct kafka_setting PRODUCER[] = {
    {"enable.idempotence", "true"}, /* no doubles and no gaps within a client */
    {"acks", "all"},
    {"partitioner", "murmur2_random"}, /* the same partition for a key as Java's clients choose */
    {"delivery.timeout.ms", "120000"},
    {"retry.backoff.ms", "50"},
    {"linger.ms", "1"}, /* a batch of the outbox makes a few requests, not hundreds */
    {"queue.buffering.max.kbytes", "16384"},
    {"queue.buffering.max.messages", "20000"},
    {NULL, NULL},
};

struct batch {
    size_t references; /* the sender and each message on its way */
    size_t pending;    /* messages on their way */
    size_t failed;
    rd_kafka_resp_err_t code; /* of the first failure */
    size_t count;
    struct flight {
        struct batch *batch;
        bool acknowledged;
    } flights[];
};

struct client {
    struct kafka_producer *producer;
    rd_kafka_t *rk;
    int users; /* threads that use rk without the mutex: it lives on */
    bool retired;
    _Atomic bool fatal;
    rd_kafka_topic_t *topics[TOPICS_MAX]; /* whose leaders it knows */
    size_t topic_count;
};

struct kafka_producer {
    char *brokers, *client_id;
    pthread_mutex_t mutex;  /* guards all below and all batches */
    pthread_cond_t news;    /* a batch is complete or failed, room in the queue, a client is gone */
    struct client *current; /* NULL: the next send makes one */
    int clients;            /* alive, retired ones included */
    int waiting_for_room;
    _Atomic int64_t answered_ms;
    _Atomic(struct kafka_sender *) sender; /* of kafka_send; made at its first call, under the mutex */
    struct metric_child *sent, *failures, *restarts;
};

/* ---- reports
 * --------------------------------------------------------------------------------------------------------- */

static void batch_drop(struct batch *batch)
{
    if (--batch->references == 0)
        free(batch);
}

/* On the client's thread, once per message. */
static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct client *client = opaque;
    struct kafka_producer *producer = client->producer;
    struct flight *flight = message->_private;
    pthread_mutex_lock(&producer->mutex);
    struct batch *batch = flight->batch;
    batch->pending--;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        flight->acknowledged = true;
        atomic_store_explicit(&producer->answered_ms, clock_monotonic_ms(), memory_order_relaxed);
    } else if (batch->failed++ == 0) {
        batch->code = message->err;
    }
    if (!batch->pending || producer->waiting_for_room)
        pthread_cond_broadcast(&producer->news);
    batch_drop(batch);
    pthread_mutex_unlock(&producer->mutex);
}

static void on_error(rd_kafka_t *rk, int code, const char *words, void *opaque)
{
    (void)rk;
    struct client *client = opaque;
    if (code != RD_KAFKA_RESP_ERR__FATAL)
        return; /* librdkafka goes on by itself, and logs it */
    log_event(LOG_ERROR, "kafka_producer_fatal", LOG_TEXT("message", words));
    pthread_mutex_lock(&client->producer->mutex);
    client->fatal = true;
    pthread_cond_broadcast(&client->producer->news);
    pthread_mutex_unlock(&client->producer->mutex);
}

/* ---- clients
 * --------------------------------------------------------------------------------------------------------- */

static bool client_done(struct client *client)
{
    pthread_mutex_lock(&client->producer->mutex);
    bool done = client->retired && !client->users && rd_kafka_outq_len(client->rk) == 0;
    pthread_mutex_unlock(&client->producer->mutex);
    return done;
}

static void *client_turn(void *payload)
{
    struct client *client = payload;
    struct kafka_producer *producer = client->producer;
    while (!client_done(client))
        (void)rd_kafka_poll(client->rk, TURN_MS);
    for (size_t i = 0; i < client->topic_count; i++)
        rd_kafka_topic_destroy(client->topics[i]);
    rd_kafka_destroy(client->rk);
    free(client);
    pthread_mutex_lock(&producer->mutex);
    producer->clients--;
    pthread_cond_broadcast(&producer->news);
    pthread_mutex_unlock(&producer->mutex);
    return NULL;
}

static bool start_thread(struct client *client)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, client_turn, client) != 0)
        return false;
    (void)pthread_detach(thread); /* kafka_producer_release waits for `clients` to be none */
    return true;
}

/* Makes the current client. Holds the mutex. */
static bool client_start(struct kafka_producer *producer, struct err *err)
{
    rd_kafka_conf_t *conf = kafka_conf_new(producer->brokers, producer->client_id, PRODUCER, err);
    if (!conf)
        return false;
    struct client *client = MEM_NEW(client);
    client->producer = producer;
    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_error_cb(conf, on_error);
    client->rk = kafka_client_new(RD_KAFKA_PRODUCER, conf, err);
    if (client->rk && start_thread(client)) {
        producer->current = client;
        producer->clients++;
        return true;
    }
    if (client->rk) {
        rd_kafka_destroy(client->rk);
        err_set_internal(err, &ERR_INTERNAL, "no thread for a kafka producer");
    }
    free(client);
    return false;
}

/* Holds the mutex. Everything that the client still has is reported as failed. */
static void client_retire(struct kafka_producer *producer, struct client *client)
{
    if (client->retired)
        return;
    client->retired = true;
    if (producer->current == client)
        producer->current = NULL;
    (void)rd_kafka_purge(client->rk,
                         RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

static struct timespec monotonic_at(int64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

/* Waits for news; false when the deadline is over. Holds the mutex. */
static bool wait_news(struct kafka_producer *producer, int64_t deadline_ms)
{
    struct timespec until = monotonic_at(deadline_ms);
    return pthread_cond_timedwait(&producer->news, &producer->mutex, &until) == 0;
}

/* ---- opening and closing
 * ---------------------------------------------------------------------------------------------- */

struct kafka_producer *kafka_producer_open(const char *brokers, const char *client_id, struct err *err)
{
    struct kafka_producer *producer = MEM_NEW(kafka_producer);
    producer->brokers = mem_text(brokers);
    producer->client_id = mem_text(client_id);
    pthread_mutex_init(&producer->mutex, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&producer->news, &clock);
    pthread_condattr_destroy(&clock);
    producer->sent = METRIC_CHILD(metric_counter("madang_kafka_sent_total", "Messages that Kafka acknowledged", NULL));
    producer->failures = METRIC_CHILD(
        metric_counter("madang_kafka_send_failures_total", "Batches that were not acknowledged in time", NULL));
    producer->restarts = METRIC_CHILD(metric_counter("madang_kafka_producer_restarts_total",
                                                     "Producers replaced after a fatal error or a time-out", NULL));
    pthread_mutex_lock(&producer->mutex);
    bool ok = client_start(producer, err);
    pthread_mutex_unlock(&producer->mutex);
    if (!ok)
        kafka_producer_release(&producer);
    return producer;
}

void kafka_producer_release(struct kafka_producer **producer)
{
    struct kafka_producer *dead = *producer;
    if (!dead)
        return;
    struct kafka_sender *sender = dead->sender;
    kafka_sender_release(&sender);
    int64_t deadline_ms = clock_monotonic_ms() + FLUSH_MS;
    pthread_mutex_lock(&dead->mutex);
    if (dead->current) {
        dead->waiting_for_room++; /* each report wakes us */
        while (rd_kafka_outq_len(dead->current->rk) && wait_news(dead, deadline_ms))
            ;
        client_retire(dead, dead->current);
    }
    while (dead->clients)
        pthread_cond_wait(&dead->news, &dead->mutex);
    pthread_mutex_unlock(&dead->mutex);
    pthread_cond_destroy(&dead->news);
    pthread_mutex_destroy(&dead->mutex);
    free(dead->brokers);
    free(dead->client_id);
    free(dead);
    *producer = NULL;
}

rd_kafka_t *kafka_producer_client(struct kafka_producer *producer)
{
    pthread_mutex_lock(&producer->mutex);
    rd_kafka_t *rk = producer->current ? producer->current->rk : NULL;
    pthread_mutex_unlock(&producer->mutex);
    return rk;
}

/* A client to ask questions with, without the mutex; it lives on until client_leave(). NULL: none can be made. */
static struct client *client_enter(struct kafka_producer *producer, struct err *err)
{
    pthread_mutex_lock(&producer->mutex);
    struct client *client = producer->current || client_start(producer, err) ? producer->current : NULL;
    if (client)
        client->users++;
    pthread_mutex_unlock(&producer->mutex);
    return client;
}

static void client_leave(struct kafka_producer *producer, struct client *client, bool answered)
{
    if (answered)
        atomic_store_explicit(&producer->answered_ms, clock_monotonic_ms(), memory_order_relaxed);
    pthread_mutex_lock(&producer->mutex);
    client->users--;
    pthread_mutex_unlock(&producer->mutex);
}

bool kafka_producer_ready(void *payload)
{
    struct kafka_producer *producer = payload;
    if (clock_monotonic_ms() - atomic_load_explicit(&producer->answered_ms, memory_order_relaxed) < READY_MS)
        return true;
    struct err err = {0};
    struct client *client = client_enter(producer, &err);
    if (!client)
        return false;
    const struct rd_kafka_metadata *answer = NULL;
    bool ok = rd_kafka_metadata(client->rk, 0, NULL, &answer, READY_WAIT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (ok)
        rd_kafka_metadata_destroy(answer);
    client_leave(producer, client, ok);
    return ok;
}

static bool ask_offset(struct kafka_producer *producer, const char *topic, int32_t partition, int64_t which,
                       int timeout_ms, int64_t *offset, struct err *err)
{
    struct client *client = client_enter(producer, err);
    if (!client)
        return false;
    /* rd_kafka_query_watermark_offsets() does not keep to its time while a broker stands still; this one does. */
    rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *place = rd_kafka_topic_partition_list_add(asked, topic, partition);
    place->offset = which;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(client->rk, asked, timeout_ms);
    if (!code)
        code = place->err;
    if (!code)
        *offset = place->offset;
    rd_kafka_topic_partition_list_destroy(asked);
    client_leave(producer, client, !code);
    return !code || kafka_failed(err, "offset", code);
}

bool kafka_end_offset(struct kafka_producer *producer, const char *topic, int32_t partition, int timeout_ms,
                      int64_t *end, struct err *err)
{
    return ask_offset(producer, topic, partition, RD_KAFKA_OFFSET_END, timeout_ms, end, err);
}

bool kafka_begin_offset(struct kafka_producer *producer, const char *topic, int32_t partition, int timeout_ms,
                        int64_t *begin, struct err *err)
{
    return ask_offset(producer, topic, partition, RD_KAFKA_OFFSET_BEGINNING, timeout_ms, begin, err);
}

bool kafka_partition_count(struct kafka_producer *producer, const char *topic, int timeout_ms, int32_t *count,
                           struct err *err)
{
    struct client *client = client_enter(producer, err);
    if (!client)
        return false;
    const struct rd_kafka_metadata *answer = NULL;
    rd_kafka_topic_t *asked = rd_kafka_topic_new(client->rk, topic, NULL);
    rd_kafka_resp_err_t code =
        asked ? rd_kafka_metadata(client->rk, 0, asked, &answer, timeout_ms) : rd_kafka_last_error();
    if (!code)
        code = answer->topic_cnt == 1 ? answer->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    if (!code)
        *count = answer->topics[0].partition_cnt;
    if (answer)
        rd_kafka_metadata_destroy(answer);
    if (asked)
        rd_kafka_topic_destroy(asked);
    client_leave(producer, client, !code);
    return !code || kafka_failed(err, "partitions", code);
}

/* With a key this asks nothing of the topic. */
int32_t kafka_partition_of(struct view key, int32_t count)
{
    return rd_kafka_msg_partitioner_murmur2_random(NULL, key.bytes, key.length, count, NULL, NULL);
}

/* ---- sending
 * --------------------------------------------------------------------------------------------------------- */

rd_kafka_resp_err_t kafka_produce(rd_kafka_t *rk, const struct kafka_message *message, int flags, void *opaque)
{
    rd_kafka_vu_t parts[5 + HEADERS_MAX] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = message->topic},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)message->key.bytes, message->key.length}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)message->payload.bytes, message->payload.length}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = flags},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = opaque},
    };
    size_t count = 5;
    for (const struct kafka_header *header = message->headers; header && header->name && count < ARRAY_LENGTH(parts);
         header++) {
        parts[count].vtype = RD_KAFKA_VTYPE_HEADER;
        parts[count].u.header.name = header->name;
        parts[count].u.header.val = header->value;
        parts[count].u.header.size = header->value ? (ssize_t)strlen(header->value) : 0;
        count++;
    }
    rd_kafka_error_t *error = rd_kafka_produceva(rk, parts, count);
    rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_error_destroy(error);
    return code;
}

static bool is_known(const struct client *client, const char *topic)
{
    for (size_t i = 0; i < client->topic_count; i++)
        if (strcmp(rd_kafka_topic_name(client->topics[i]), topic) == 0)
            return true;
    return client->topic_count == TOPICS_MAX;
}

/* Asks for the leaders of a topic at its first use: left alone, librdkafka looks for new topics once a second, and the
 * first message waits for that. Holds the mutex (released while it asks); a failure costs only that second. */
static void learn_topic(struct kafka_producer *producer, struct client *client, const char *name)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client->rk, name, NULL);
    if (!topic)
        return;
    client->topics[client->topic_count++] = topic;
    pthread_mutex_unlock(&producer->mutex);
    const struct rd_kafka_metadata *answer = NULL;
    if (rd_kafka_metadata(client->rk, 0, topic, &answer, LEARN_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(answer);
    pthread_mutex_lock(&producer->mutex);
}

static void learn_topics(struct kafka_producer *producer, struct client *client, const struct kafka_message *messages,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((!i || messages[i].topic != messages[i - 1].topic) && !is_known(client, messages[i].topic))
            learn_topic(producer, client, messages[i].topic);
}

/* Hands messages from `first` on to the client, in order; waits for room. Holds the mutex (released while it waits). */
static rd_kafka_resp_err_t enqueue(struct kafka_producer *producer, struct client *client,
                                   const struct kafka_message *messages, size_t first, struct batch *batch,
                                   int64_t deadline_ms)
{
    for (size_t i = first; i < batch->count;) {
        if (client->retired || client->fatal)
            return RD_KAFKA_RESP_ERR__FATAL;
        batch->flights[i].acknowledged = false;
        rd_kafka_resp_err_t code = kafka_produce(client->rk, &messages[i], RD_KAFKA_MSG_F_COPY, &batch->flights[i]);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            batch->references++;
            batch->pending++;
            i++;
            continue;
        }
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return code;
        producer->waiting_for_room++;
        bool in_time = wait_news(producer, deadline_ms);
        producer->waiting_for_room--;
        if (!in_time)
            return RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The batch is whole: it need not linger. Holds the mutex (released while the client is told, and takes reports). */
static void send_off(struct kafka_producer *producer, struct client *client)
{
    pthread_mutex_unlock(&producer->mutex);
    (void)rd_kafka_flush(client->rk, LINGER_MS); /* afterwards it leaves by itself */
    pthread_mutex_lock(&producer->mutex);
}

/* What another try can't mend. */
static bool hopeless(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return true;
    default:
        return false;
    }
}

/* Waits for the reports of the batch; those that don't come in time are thrown out with their client. Holds the mutex.
 */
static void await_reports(struct kafka_producer *producer, struct client *client, struct batch *batch,
                          int64_t deadline_ms)
{
    while (batch->pending && !client->fatal && wait_news(producer, deadline_ms))
        ;
    if (client->fatal || batch->pending) {
        if (!client->retired)
            metric_add(producer->restarts, 1);
        client_retire(producer, client);
    }
    int64_t purged_ms = clock_monotonic_ms() + PURGE_MS;
    while (batch->pending && wait_news(producer, purged_ms))
        ;
}

/* One try over one client. What an earlier try got through behind `first` goes out again: a key's messages must not
 * change places, and receivers drop doubles. Holds the mutex. */
static rd_kafka_resp_err_t try_once(struct kafka_producer *producer, const struct kafka_message *messages, size_t first,
                                    struct batch *batch, int64_t deadline_ms, struct err *err)
{
    if (!producer->current && !client_start(producer, err))
        return RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
    struct client *client = producer->current;
    batch->failed = 0;
    client->users++;
    learn_topics(producer, client, messages, batch->count);
    rd_kafka_resp_err_t code = enqueue(producer, client, messages, first, batch, deadline_ms);
    if (!code && batch->pending)
        send_off(producer, client);
    await_reports(producer, client, batch, deadline_ms);
    client->users--;
    return code             ? code
           : batch->failed  ? batch->code
           : batch->pending ? RD_KAFKA_RESP_ERR__TIMED_OUT
                            : RD_KAFKA_RESP_ERR_NO_ERROR;
}

static size_t first_missing(const struct batch *batch)
{
    size_t first = 0;
    while (first < batch->count && batch->flights[first].acknowledged)
        first++;
    return first;
}

bool kafka_send_all(struct kafka_producer *producer, const struct kafka_message *messages, size_t count, int timeout_ms,
                    struct err *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    struct batch *batch = mem_new(1, sizeof *batch + count * sizeof batch->flights[0]);
    batch->references = 1;
    batch->count = count;
    for (size_t i = 0; i < count; i++)
        batch->flights[i].batch = batch;
    pthread_mutex_lock(&producer->mutex);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    size_t first;
    while ((first = first_missing(batch)) < count) {
        code = try_once(producer, messages, first, batch, deadline_ms, err);
        if (code && (hopeless(code) || batch->pending || clock_monotonic_ms() + PAUSE_MS >= deadline_ms))
            break;
        if (code) /* other news may end the pause early: no harm */
            (void)wait_news(producer, clock_monotonic_ms() + PAUSE_MS);
    }
    batch_drop(batch);
    pthread_mutex_unlock(&producer->mutex);
    metric_add(first == count ? producer->sent : producer->failures, first == count ? (int64_t)count : 1);
    return first == count || kafka_failed(err, "send", code);
}

static struct kafka_sender *find_sender(struct kafka_producer *producer, struct err *err)
{
    struct kafka_sender *sender = atomic_load_explicit(&producer->sender, memory_order_acquire);
    if (sender) /* without the mutex, which is held while batches are handed over */
        return sender;
    pthread_mutex_lock(&producer->mutex);
    sender = producer->sender;
    if (!sender)
        producer->sender = sender = kafka_sender_open(producer->brokers, producer->client_id, err);
    pthread_mutex_unlock(&producer->mutex);
    return sender;
}

bool kafka_send(struct kafka_producer *producer, const struct kafka_message *message, kafka_sent_fn done, void *payload,
                struct err *err)
{
    struct kafka_sender *sender = find_sender(producer, err);
    return sender && kafka_sender_send(sender, message, done, payload, err);
}

bool kafka_send_prepare(struct kafka_producer *producer, struct err *err)
{
    return find_sender(producer, err) != NULL;
}

void kafka_producer_break_sender(struct kafka_producer *producer)
{
    pthread_mutex_lock(&producer->mutex);
    struct kafka_sender *sender = producer->sender;
    pthread_mutex_unlock(&producer->mutex);
    if (sender)
        kafka_sender_break(sender);
}
