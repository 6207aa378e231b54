/* kafka_sender.c - messages that leave one by one, each with its own report.
 *
 * All messages that are not acknowledged stand in one list, in the order of their calls. Those up to `unsent` are with
 * the client; from there on they wait to be handed over: until what the client has is acknowledged, a topic is known,
 * or a broken client is replaced. So a quiet sender's message leaves at once, a busy one's in groups as long as a round
 * trip, and those behind a group of GROUP_BUSY or more leave PACE_MS after it: a request costs the broker more than
 * twenty messages do (docs/decisions/018). Neighbours that may join leave as one bundle (kafka_bundle.h), whose report
 * is that of all of them; handed over once more they may be bundled otherwise. The client lingers until it is flushed,
 * so a group is whole before it leaves and is one request: without, its first messages leave one by one, and with more
 * requests under way than it may have, librdkafka 2.0.2 polls without a pause, which takes a core from those it waits
 * for. One thread turns the client, and replaces it: it throws out what the broken one holds (the reports say so),
 * makes a new one and hands over the list from its beginning, so order holds. */
#include "kafka_sender.h"

#include "clock.h"
#include "kafka_bundle.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    MESSAGES_MAX = 20000,
    BYTES_MAX = 16 * 1024 * 1024,
    DELIVERY_MS = 10000,
    GROUP_BUSY = 4, /* messages: behind a group of so many the next leaves PACE_MS later, not sooner */
    PACE_MS = 4,
    STEP_ASIDE = 64,  /* messages */
    BUNDLE_MAX = 200, /* neighbours that join: so many, so many bytes */
    BUNDLE_BYTES = 64 * 1024,
    TURN_MS = 100, /* at most so long until a fatal error or a full queue is looked at again */
    FLUSH_MS = 5000,
    PURGE_MS = 2000, /* a broken client reports what it had at once */
    LEARN_MS = 1000,
    TOPICS_MAX = 32,
    HEADERS_MAX = 8,
};

/* A person waits for these messages, so they are given up while that person still looks. */
static const struct kafka_setting SENDER[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"partitioner", "murmur2_random"},
    {"delivery.timeout.ms", "10000"},
    {"retry.backoff.ms", "50"},
    {"linger.ms", "1000"},                   /* until flushed */
    {"queue.buffering.max.kbytes", "65536"}, /* ours are the smaller bounds */
    {"queue.buffering.max.messages", "50000"},
    {NULL, NULL},
};

struct send {
    struct send *next, *previous;
    kafka_sent_fn done;
    void *payload;
    int64_t called_ms;
    size_t size;
    size_t joined;                /* so many that stand behind it in the list left in its bundle */
    struct kafka_message message; /* points into what follows */
    struct kafka_header headers[HEADERS_MAX + 1];
    char bytes[];
};

struct kafka_sender {
    char *brokers, *client_id;
    pthread_t thread;
    int wake_fd;
    atomic_bool stop;
    _Atomic int64_t stop_ms; /* monotonic: until when a stop waits for what is on its way */
    pthread_mutex_t mutex;   /* guards all below; held while a message is handed to the client */
    struct send *first, *last, *unsent;
    size_t count, bytes;
    size_t handed;  /* to the client, and not reported yet */
    rd_kafka_t *rk; /* NULL while it is replaced */
    bool fatal;
    rd_kafka_topic_t *topics[TOPICS_MAX]; /* whose leaders it knows */
    size_t topic_count;
    int64_t left_us;    /* monotonic: when the last group left; this and the next three are the thread's alone */
    size_t group_size;  /* of that one */
    size_t since_aside; /* messages since it stepped aside */
    struct str bundle;  /* the one that is made */
    struct metric_child *sent, *failures, *restarts;
};

/* ---- messages ---- */

static char *put_bytes(char **at, const void *bytes, size_t length)
{
    char *start = *at;
    if (length)
        memcpy(start, bytes, length);
    start[length] = '\0';
    *at = start + length + 1;
    return start;
}

static struct send *send_new(const struct kafka_message *message, kafka_sent_fn done, void *payload)
{
    size_t headers = 0, size = strlen(message->topic) + message->key.length + message->payload.length + 3;
    for (; message->headers && message->headers[headers].name && headers < HEADERS_MAX; headers++) {
        const struct kafka_header *header = &message->headers[headers];
        size += strlen(header->name) + (header->value ? strlen(header->value) : 0) + 2;
    }
    struct send *send = mem_new(1, sizeof *send + size);
    char *at = send->bytes;
    send->done = done;
    send->payload = payload;
    send->called_ms = clock_monotonic_ms();
    send->size = size;
    send->message.joins = message->joins;
    send->message.topic = put_bytes(&at, message->topic, strlen(message->topic));
    send->message.key = (struct view){put_bytes(&at, message->key.bytes, message->key.length), message->key.length};
    if (message->payload.bytes)
        send->message.payload =
            (struct view){put_bytes(&at, message->payload.bytes, message->payload.length), message->payload.length};
    for (size_t i = 0; i < headers; i++) {
        const struct kafka_header *header = &message->headers[i];
        send->headers[i].name = put_bytes(&at, header->name, strlen(header->name));
        if (header->value)
            send->headers[i].value = put_bytes(&at, header->value, strlen(header->value));
    }
    send->message.headers = send->headers;
    return send;
}

/* Holds the mutex. */
static void list_add(struct kafka_sender *sender, struct send *send)
{
    send->previous = sender->last;
    if (sender->last)
        sender->last->next = send;
    else
        sender->first = send;
    sender->last = send;
    sender->count++;
    sender->bytes += send->size;
}

/* Holds the mutex. */
static void list_remove(struct kafka_sender *sender, struct send *send)
{
    if (sender->unsent == send)
        sender->unsent = send->next;
    if (send->previous)
        send->previous->next = send->next;
    else
        sender->first = send->next;
    if (send->next)
        send->next->previous = send->previous;
    else
        sender->last = send->previous;
    sender->count--;
    sender->bytes -= send->size;
}

/* A message with those that joined it, which stay tied to each other. Holds the mutex. */
static void list_cut(struct kafka_sender *sender, struct send *first, size_t count)
{
    struct send *next;
    for (struct send *send = first; count; count--, send = next) {
        next = send->next;
        list_remove(sender, send);
    }
}

/* Out of the list already; without the mutex. */
static void finish(struct kafka_sender *sender, struct send *send, bool ok)
{
    metric_add(ok ? sender->sent : sender->failures, 1);
    if (send->done)
        send->done(send->payload, ok);
    free(send);
}

/* ---- reports: on the sender's thread ---- */

static bool is_broken(rd_kafka_t *rk)
{
    char words[200];
    return rd_kafka_fatal_error(rk, words, sizeof words) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct kafka_sender *sender = opaque;
    struct send *send = message->_private, *next;
    bool ok = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    pthread_mutex_lock(&sender->mutex);
    sender->handed--;
    size_t count = send->joined + 1;
    /* What a broken client throws out was not refused: it goes over the next one. */
    bool again = !ok && message->err != RD_KAFKA_RESP_ERR__MSG_TIMED_OUT && (sender->fatal || is_broken(rk)) &&
                 !atomic_load(&sender->stop);
    if (again)
        sender->fatal = true;
    else
        list_cut(sender, send, count);
    pthread_mutex_unlock(&sender->mutex);
    if (!ok && !again)
        log_event(LOG_WARN, "kafka_send_failed", LOG_TEXT("topic", send->message.topic),
                  LOG_I64("records", (int64_t)count), LOG_TEXT("message", rd_kafka_err2str(message->err)));
    for (; !again && count; count--, send = next) {
        next = send->next;
        finish(sender, send, ok);
    }
}

static void on_error(rd_kafka_t *rk, int code, const char *words, void *opaque)
{
    struct kafka_sender *sender = opaque;
    if (code != RD_KAFKA_RESP_ERR__FATAL)
        return;
    log_event(LOG_ERROR, "kafka_producer_fatal", LOG_TEXT("message", words));
    pthread_mutex_lock(&sender->mutex);
    sender->fatal = true;
    pthread_mutex_unlock(&sender->mutex);
    rd_kafka_yield(rk); /* ends a flush */
}

/* ---- the client ---- */

static rd_kafka_t *client_make(struct kafka_sender *sender, struct err *err)
{
    rd_kafka_conf_t *conf = kafka_conf_new(sender->brokers, sender->client_id, SENDER, err);
    if (!conf)
        return NULL;
    rd_kafka_conf_set_opaque(conf, sender);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_error_cb(conf, on_error);
    return kafka_client_new(RD_KAFKA_PRODUCER, conf, err);
}

/* Throws out what the client holds, waits for the reports, and ends it. On the thread, without the mutex; sender->rk
 * is NULL already, so nobody hands it more. */
static void client_end(struct kafka_sender *sender, rd_kafka_t *rk)
{
    const int64_t until_ms = clock_monotonic_ms() + PURGE_MS;
    (void)rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    while (rd_kafka_outq_len(rk) > 0 && clock_monotonic_ms() < until_ms)
        (void)rd_kafka_poll(rk, TURN_MS);
    for (size_t i = 0; i < sender->topic_count; i++)
        rd_kafka_topic_destroy(sender->topics[i]);
    sender->topic_count = 0;
    rd_kafka_destroy(rk); /* reports that have not come will not come */
}

/* Too old ones are given up; the rest is handed over again, from the first on. */
static void client_replace(struct kafka_sender *sender)
{
    struct err err = {0};
    pthread_mutex_lock(&sender->mutex);
    rd_kafka_t *broken = sender->rk;
    sender->rk = NULL;
    pthread_mutex_unlock(&sender->mutex);
    if (broken) {
        metric_add(sender->restarts, 1);
        client_end(sender, broken);
    }
    rd_kafka_t *rk = client_make(sender, &err);
    if (!rk)
        log_err("kafka_producer", &err); /* the next turn tries again */
    pthread_mutex_lock(&sender->mutex);
    sender->rk = rk;
    sender->fatal = rk == NULL;
    sender->handed = 0;
    sender->unsent = sender->first;
    pthread_mutex_unlock(&sender->mutex);
}

/* ---- handing over ---- */

static bool is_known(const struct kafka_sender *sender, const char *topic)
{
    for (size_t i = 0; i < sender->topic_count; i++)
        if (strcmp(rd_kafka_topic_name(sender->topics[i]), topic) == 0)
            return true;
    return sender->topic_count == TOPICS_MAX;
}

static bool is_too_old(const struct send *send, int64_t now_ms)
{
    return now_ms - send->called_ms > DELIVERY_MS;
}

static bool may_join(const struct send *first, const struct send *send, int64_t now_ms)
{
    return send && send->message.joins && strcmp(send->message.topic, first->message.topic) == 0 &&
           view_equals(send->message.key, first->message.key) && !is_too_old(send, now_ms);
}

/* How many that wait behind `first` leave with it. Holds the mutex. */
static size_t joiners(const struct send *first, int64_t now_ms)
{
    size_t count = 0, bytes = first->size;
    const struct send *send = first->next;
    for (; first->message.joins && count + 1 < BUNDLE_MAX && may_join(first, send, now_ms); send = send->next, count++)
        if ((bytes += send->size) > BUNDLE_BYTES)
            break;
    return count;
}

/* Holds the mutex. The client copies a bundle, and points into a single message. */
static rd_kafka_resp_err_t hand_over(struct kafka_sender *sender, struct send *first, int64_t now_ms)
{
    struct kafka_message message = first->message;
    first->joined = joiners(first, now_ms);
    if (first->joined) {
        const struct send *send = first;
        str_clear(&sender->bundle);
        kafka_bundle_begin(&sender->bundle);
        for (size_t i = 0; i <= first->joined; i++, send = send->next)
            kafka_bundle_add(&sender->bundle, send->message.payload, send->message.headers);
        message.payload = (struct view){sender->bundle.bytes, sender->bundle.length};
        message.headers = NULL;
    }
    rd_kafka_resp_err_t code = kafka_produce(sender->rk, &message, first->joined ? RD_KAFKA_MSG_F_COPY : 0, first);
    if (!code)
        sender->handed++;
    return code && is_broken(sender->rk) ? RD_KAFKA_RESP_ERR__FATAL : code;
}

/* What was handed over last no longer waits. Holds the mutex. */
static void step_over(struct kafka_sender *sender, const struct send *first)
{
    for (size_t i = 0; i <= first->joined; i++)
        sender->unsent = sender->unsent->next;
    sender->group_size += first->joined + 1;
    sender->since_aside += first->joined + 1;
}

/* Asks for the leaders of a topic at its first use: left alone, librdkafka looks for new topics once a second. */
static void learn_topic(struct kafka_sender *sender, const char *name)
{
    const struct rd_kafka_metadata *answer = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(sender->rk, name, NULL);
    if (topic && rd_kafka_metadata(sender->rk, 0, topic, &answer, LEARN_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(answer);
    if (!topic)
        return;
    pthread_mutex_lock(&sender->mutex);
    sender->topics[sender->topic_count++] = topic;
    pthread_mutex_unlock(&sender->mutex);
}

/* Gives up a message that waits to be handed over; gives the mutex back for the moment. */
static void give_up(struct kafka_sender *sender, struct send *send, rd_kafka_resp_err_t code)
{
    list_remove(sender, send);
    pthread_mutex_unlock(&sender->mutex);
    log_event(LOG_WARN, "kafka_send_failed", LOG_TEXT("topic", send->message.topic),
              LOG_TEXT("message", rd_kafka_err2str(code)));
    finish(sender, send, false);
    pthread_mutex_lock(&sender->mutex);
}

/* Others put their messages behind, meanwhile. Who unlocks and locks is faster than who sleeps for it, so now and then
 * it steps aside. */
static void let_others(struct kafka_sender *sender)
{
    pthread_mutex_unlock(&sender->mutex);
    if (sender->since_aside >= STEP_ASIDE) {
        (void)sched_yield();
        sender->since_aside = 0;
    }
    pthread_mutex_lock(&sender->mutex);
}

/* Nothing is under way and something waits. */
static bool is_next_due(struct kafka_sender *sender)
{
    pthread_mutex_lock(&sender->mutex);
    const bool due = sender->unsent && !sender->handed && sender->rk && !sender->fatal;
    pthread_mutex_unlock(&sender->mutex);
    return due;
}

/* More joins the group meanwhile. */
static void keep_pace(const struct kafka_sender *sender)
{
    const int64_t left_us = sender->left_us + PACE_MS * INT64_C(1000) - clock_monotonic_us();
    if (sender->group_size >= GROUP_BUSY && left_us > 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)left_us * 1000}, NULL);
}

/* Hands over what waits, once nothing else is under way. On the thread. */
static void work_off(struct kafka_sender *sender)
{
    if (!is_next_due(sender))
        return;
    keep_pace(sender);
    sender->left_us = clock_monotonic_us();
    sender->group_size = 0;
    pthread_mutex_lock(&sender->mutex);
    while (sender->unsent && sender->rk && !sender->fatal) {
        struct send *send = sender->unsent;
        const int64_t now_ms = clock_monotonic_ms();
        if (is_too_old(send, now_ms)) {
            give_up(sender, send, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT);
            continue;
        }
        if (!is_known(sender, send->message.topic)) {
            pthread_mutex_unlock(&sender->mutex);
            learn_topic(sender, send->message.topic); /* only this thread takes waiting ones out of the list */
            pthread_mutex_lock(&sender->mutex);
            continue;
        }
        rd_kafka_resp_err_t code = hand_over(sender, send, now_ms);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            break;
        if (code == RD_KAFKA_RESP_ERR__FATAL) {
            sender->fatal = true;
        } else if (code) {
            give_up(sender, send, code);
        } else {
            step_over(sender, send);
        }
        let_others(sender);
    }
    pthread_mutex_unlock(&sender->mutex);
}

bool kafka_sender_send(struct kafka_sender *sender, const struct kafka_message *message, kafka_sent_fn done,
                       void *payload, struct err *err)
{
    struct send *send = send_new(message, done, payload);
    pthread_mutex_lock(&sender->mutex);
    const bool full = sender->count >= MESSAGES_MAX || sender->bytes + send->size > BYTES_MAX;
    const bool first = !full && !sender->unsent;
    if (!full)
        list_add(sender, send);
    if (first)
        sender->unsent = send;
    const bool wake = first && !sender->handed; /* else the thread looks when the reports are there */
    pthread_mutex_unlock(&sender->mutex);
    if (wake)
        (void)eventfd_write(sender->wake_fd, 1);
    if (full)
        free(send);
    return !full || kafka_failed(err, "send", RD_KAFKA_RESP_ERR__QUEUE_FULL);
}

/* ---- the thread ---- */

static bool is_done(struct kafka_sender *sender)
{
    if (!atomic_load(&sender->stop))
        return false;
    pthread_mutex_lock(&sender->mutex);
    bool empty = !sender->first;
    pthread_mutex_unlock(&sender->mutex);
    return empty || clock_monotonic_ms() >= sender->stop_ms;
}

static void give_up_all(struct kafka_sender *sender)
{
    struct send *next;
    for (struct send *send = sender->first; send; send = next) { /* the only thread by now */
        next = send->next;
        list_remove(sender, send);
        finish(sender, send, false);
    }
}

/* Sends what the client holds and takes the reports; or waits for a message. */
static void wait_for_news(struct kafka_sender *sender)
{
    struct pollfd wake = {.fd = sender->wake_fd, .events = POLLIN};
    eventfd_t times;
    pthread_mutex_lock(&sender->mutex);
    const bool flying = sender->handed > 0;
    pthread_mutex_unlock(&sender->mutex);
    if (flying && sender->rk) {
        (void)rd_kafka_flush(sender->rk, TURN_MS);
        return;
    }
    if (poll(&wake, 1, TURN_MS) > 0)
        (void)eventfd_read(sender->wake_fd, &times);
    if (sender->rk)
        (void)rd_kafka_poll(sender->rk, 0);
}

static void *turn(void *payload)
{
    struct kafka_sender *sender = payload;
    while (!is_done(sender)) {
        wait_for_news(sender);
        pthread_mutex_lock(&sender->mutex);
        bool broken = sender->fatal;
        pthread_mutex_unlock(&sender->mutex);
        if (broken)
            client_replace(sender);
        work_off(sender);
    }
    rd_kafka_t *rk = sender->rk;
    sender->rk = NULL;
    if (rk)
        client_end(sender, rk);
    give_up_all(sender);
    return NULL;
}

static void sender_free(struct kafka_sender *sender)
{
    if (sender->rk)
        rd_kafka_destroy(sender->rk);
    if (sender->wake_fd >= 0)
        (void)close(sender->wake_fd);
    pthread_mutex_destroy(&sender->mutex);
    str_free(&sender->bundle);
    free(sender->brokers);
    free(sender->client_id);
    free(sender);
}

struct kafka_sender *kafka_sender_open(const char *brokers, const char *client_id, struct err *err)
{
    struct kafka_sender *sender = MEM_NEW(kafka_sender);
    str_init(&sender->bundle);
    sender->brokers = mem_text(brokers);
    sender->client_id = mem_text(client_id);
    pthread_mutex_init(&sender->mutex, NULL);
    sender->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sender->sent = METRIC_CHILD(metric_counter("madang_kafka_sent_total", "Messages that Kafka acknowledged", NULL));
    sender->failures = METRIC_CHILD(
        metric_counter("madang_kafka_send_failures_total", "Batches that were not acknowledged in time", NULL));
    sender->restarts = METRIC_CHILD(metric_counter("madang_kafka_producer_restarts_total",
                                                   "Producers replaced after a fatal error or a time-out", NULL));
    sender->rk = sender->wake_fd >= 0 ? client_make(sender, err) : NULL;
    if (sender->rk && pthread_create(&sender->thread, NULL, turn, sender) == 0)
        return sender;
    if (!err->problem)
        err_set_internal(err, &ERR_INTERNAL, "no thread for a kafka producer");
    sender_free(sender);
    return NULL;
}

void kafka_sender_release(struct kafka_sender **place)
{
    struct kafka_sender *sender = TAKE(*place);
    if (!sender)
        return;
    atomic_store(&sender->stop_ms, clock_monotonic_ms() + FLUSH_MS);
    atomic_store(&sender->stop, true);
    (void)eventfd_write(sender->wake_fd, 1);
    (void)pthread_join(sender->thread, NULL);
    sender_free(sender);
}

void kafka_sender_break(struct kafka_sender *sender)
{
    pthread_mutex_lock(&sender->mutex);
    if (sender->rk)
        (void)rd_kafka_test_fatal_error(sender->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "made by a test");
    pthread_mutex_unlock(&sender->mutex);
}
