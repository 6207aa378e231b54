#include "kafka_worker.h"

#include "clock.h"
#include "kafka_pace.h"
#include "log.h"
#include "mem.h"
#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TURN_MS = 100,   /* at most so long until a stop is noticed */
    COMMIT_MS = 200, /* between two commits; the truth is the offset in the service's schema */
    COMMIT_WAIT_MS = 2000,
    LEAVE_MS = 3000,    /* for the group to take the partitions back */
    WAITING_MAX = 2000, /* records that were read and can be applied now: then it works before it reads on */
    WAITING_BYTES_MAX = 1 << 20,
};

/* Fetches are bounded, so that a replay of everything costs a few megabytes. */
static const struct kafka_setting CONSUMER[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "earliest"},
    {"enable.partition.eof", "true"},
    {"partition.assignment.strategy",
     "range"}, /* cooperative-sticky with own commits is broken before librdkafka 2.10 */
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "500"},
    {"fetch.wait.max.ms", "250"}, /* an idle consumer is a request each time: docs/decisions/018 */
    {"fetch.error.backoff.ms", "20"},
    {"fetch.max.bytes", "2097152"},
    {"max.partition.fetch.bytes", "524288"},
    {"queued.max.messages.kbytes", "2048"},
    {NULL, NULL},
};

/* ---- offsets
 * --------------------------------------------------------------------------------------------------------- */

static rd_kafka_topic_partition_list_t *done_offsets(struct kafka_worker *worker, bool all)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)worker->part_count);
    for (size_t i = 0; i < worker->part_count; i++) {
        struct part *part = &worker->parts[i];
        if (part->next_offset < 0 || (!all && part->next_offset == part->committed))
            continue;
        rd_kafka_topic_partition_list_add(list, part->subscription->topic, part->partition)->offset = part->next_offset;
        part->committed = part->next_offset;
    }
    return list;
}

/* Since when the first record that waits here is in Kafka; INT64_MAX: none waits. */
static int64_t waits_since_ms(const struct part *part)
{
    rd_kafka_timestamp_type_t type;
    const int64_t at_ms = part->count ? rd_kafka_message_timestamp(part->messages[0], &type) : -1;
    return at_ms >= 0 ? at_ms : INT64_MAX;
}

/* Also while nothing moves: that is when somebody looks. */
static void show_lag(struct kafka_worker *worker)
{
    const int64_t now_ms = clock_now_ms();
    for (const struct kafka_subscription *subscription = worker->subscriptions; subscription->topic; subscription++) {
        int64_t lag = 0, low, high, since_ms = now_ms;
        for (size_t i = 0; i < worker->part_count; i++) {
            struct part *part = &worker->parts[i];
            if (part->subscription != subscription)
                continue;
            since_ms = waits_since_ms(part) < since_ms ? waits_since_ms(part) : since_ms;
            const int64_t next = part->next_offset < 0 && part->count ? part->messages[0]->offset : part->next_offset;
            if (next >= 0 &&
                !rd_kafka_get_watermark_offsets(worker->rk, subscription->topic, part->partition, &low, &high) &&
                high > next)
                lag += high - next;
        }
        const struct topic_metrics *metrics = &worker->metrics[subscription - worker->subscriptions];
        metric_set(metrics->lag, lag);
        metric_set(metrics->oldest, (now_ms - since_ms) / 1000);
    }
}

static void commit_soon(struct kafka_worker *worker)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < worker->commit_ms)
        return;
    worker->commit_ms = now_ms + COMMIT_MS;
    rd_kafka_topic_partition_list_t *list = done_offsets(worker, false);
    if (list->cnt)
        (void)rd_kafka_commit(worker->rk, list,
                              1); /* one that fails is made good by the next, or by a skip after a restart */
    show_lag(worker);
    rd_kafka_topic_partition_list_destroy(list);
}

/* Commits and waits for the answer, but not for a broker that is away. */
static void commit_now(struct kafka_worker *worker)
{
    rd_kafka_topic_partition_list_t *list = done_offsets(worker, true);
    if (list->cnt) {
        rd_kafka_queue_t *answers = rd_kafka_queue_new(worker->rk);
        if (rd_kafka_commit_queue(worker->rk, list, answers, NULL, NULL) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_event_t *event = rd_kafka_queue_poll(answers, COMMIT_WAIT_MS);
            if (event)
                rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(answers);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- the group
 * ------------------------------------------------------------------------------------------------------- */

static void drop_parts(struct kafka_worker *worker)
{
    for (size_t i = 0; i < worker->part_count; i++) {
        struct part *part = &worker->parts[i];
        if (part->stopped)
            metric_add(part->metrics->stopped, -1);
        kafka_work_drop(worker, part);
        if (part->subscription->revoked && !part->untold)
            part->subscription->revoked(worker->app, part->subscription->topic, part->partition);
    }
    free(worker->parts);
    worker->parts = NULL;
    worker->part_count = 0;
}

static const struct kafka_subscription *find_subscription(const struct kafka_worker *worker, const char *topic)
{
    const struct kafka_subscription *subscription = worker->subscriptions;
    while (subscription->topic && strcmp(subscription->topic, topic) != 0)
        subscription++;
    return subscription->topic ? subscription : NULL;
}

static void take_parts(struct kafka_worker *worker, const rd_kafka_topic_partition_list_t *list)
{
    drop_parts(worker);
    worker->parts = mem_new((size_t)list->cnt, sizeof *worker->parts);
    for (int i = 0; i < list->cnt; i++) {
        const struct kafka_subscription *subscription = find_subscription(worker, list->elems[i].topic);
        if (subscription)
            worker->parts[worker->part_count++] = (struct part){
                .subscription = subscription,
                .metrics = &worker->metrics[subscription - worker->subscriptions],
                .partition = list->elems[i].partition,
                .untold = subscription->assigned != NULL,
                .next_offset = -1,
                .committed = -1,
                .end_offset = -1,
            };
    }
}

/* On the worker's thread, inside rd_kafka_consumer_poll: between two batches. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct kafka_worker *worker = opaque;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        take_parts(worker, list);
        worker->joined = worker->assigned = true;
        if (!worker->ready)
            kafka_worker_find_ends(worker);
        (void)rd_kafka_assign(rk, list);
        /* librdkafka 2.0 remembers a pause beyond the assignment: a partition that had to wait when it was taken away
         * would stay silent. */
        (void)rd_kafka_resume_partitions(rk, list);
    } else {
        if (!rd_kafka_assignment_lost(rk))
            commit_now(worker);
        drop_parts(worker);
        worker->assigned = false;
        (void)rd_kafka_assign(rk, NULL);
    }
    log_event(LOG_INFO, worker->assigned ? "partitions_assigned" : "partitions_revoked",
              LOG_TEXT("worker", worker->name), LOG_I64("count", list ? list->cnt : 0));
}

static void check_fatal(struct kafka_worker *worker)
{
    char words[300];
    if (worker->dead || !rd_kafka_fatal_error(worker->rk, words, sizeof words))
        return;
    worker->dead = true;
    service_fail("kafka consumer %s: %s", worker->name, words);
}

static void on_error(rd_kafka_t *rk, int code, const char *words, void *opaque)
{
    (void)rk;
    if (code == RD_KAFKA_RESP_ERR__FATAL)
        check_fatal(opaque);
    else
        log_event(LOG_DEBUG, "kafka_consumer", LOG_TEXT("message", words));
}

/* ---- the thread
 * ------------------------------------------------------------------------------------------------------ */

static struct part *find_part(struct kafka_worker *worker, const rd_kafka_message_t *message)
{
    const char *topic = message->rkt ? rd_kafka_topic_name(message->rkt) : "";
    for (size_t i = 0; i < worker->part_count; i++)
        if (worker->parts[i].partition == message->partition &&
            strcmp(worker->parts[i].subscription->topic, topic) == 0)
            return &worker->parts[i];
    return NULL;
}

static void note_end(struct kafka_worker *worker, struct part *part)
{
    int64_t low, high;
    if (part->end_offset < 0 &&
        !rd_kafka_get_watermark_offsets(worker->rk, part->subscription->topic, part->partition, &low, &high))
        part->end_offset = high; /* as of the fetch that brought the first record */
}

static void take_event(struct kafka_worker *worker, rd_kafka_message_t *message)
{
    struct part *part = find_part(worker, message);
    if (!message->err && part) {
        note_end(worker, part);
        part->at_end = false;
        kafka_work_add(worker, part, message);
        return;
    }
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && part)
        part->at_end = true;
    else if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        log_event(LOG_WARN, "kafka_consumer", LOG_TEXT("worker", worker->name),
                  LOG_TEXT("message", rd_kafka_message_errstr(message)));
    rd_kafka_message_destroy(message);
    check_fatal(worker);
}

static void collect(struct kafka_worker *worker, int wait_ms)
{
    rd_kafka_message_t *message;
    while (worker->waiting < WAITING_MAX && worker->waiting_bytes < WAITING_BYTES_MAX &&
           (message = rd_kafka_consumer_poll(worker->rk, wait_ms))) {
        take_event(worker, message);
        wait_ms = 0;
    }
}

static void look_whether_ready(struct kafka_worker *worker)
{
    if (worker->ready || !worker->assigned)
        return;
    for (size_t i = 0; i < worker->part_count; i++)
        if (worker->parts[i].untold || !worker->parts[i].caught_up)
            return;
    worker->ready = true;
}

/* Gives the partitions back at once: close() alone leaves a static member's partitions without an owner until its
 * session times out. */
static void leave(struct kafka_worker *worker)
{
    commit_now(worker);
    (void)rd_kafka_unsubscribe(worker->rk);
    int64_t deadline_ms = clock_monotonic_ms() + LEAVE_MS;
    while (worker->part_count && clock_monotonic_ms() < deadline_ms) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(worker->rk, TURN_MS);
        if (message)
            rd_kafka_message_destroy(message);
    }
}

static void *worker_run(void *payload)
{
    struct kafka_worker *worker = payload;
    while (!worker->stop && !worker->dead) {
        collect(worker, kafka_work_due(worker, TURN_MS));
        kafka_work_run(worker);
        commit_soon(worker);
        look_whether_ready(worker);
    }
    if (!worker->dead)
        leave(worker);
    drop_parts(worker);
    (void)rd_kafka_consumer_close(worker->rk);
    return NULL;
}

/* ---- start and release
 * ------------------------------------------------------------------------------------------------ */

static bool add_metrics(struct kafka_worker *worker)
{
    struct metric *records =
        metric_counter("madang_kafka_records_total", "Records by what became of them", "topic,result");
    struct metric *lag =
        metric_gauge("madang_kafka_lag", "Messages that are not applied yet; a bundle of records is one", "topic");
    struct metric *batches = metric_counter("madang_kafka_batches_total", "Batches applied", "topic");
    struct metric *oldest = metric_gauge("madang_kafka_oldest_seconds",
                                         "Age of the oldest record that was read and is not applied yet", "topic");
    struct metric *stopped =
        metric_gauge("madang_kafka_stopped_partitions", "Partitions stopped by a poison record", "topic");
    size_t count = 0;
    while (worker->subscriptions[count].topic)
        count++;
    worker->metrics = mem_new(count, sizeof *worker->metrics);
    for (size_t i = 0; i < count; i++) {
        const char *topic = worker->subscriptions[i].topic;
        worker->metrics[i] = (struct topic_metrics){
            .applied = METRIC_CHILD(records, topic, "applied"),
            .dead_letters = METRIC_CHILD(records, topic, "dead_letter"),
            .retries = METRIC_CHILD(records, topic, "retry"),
            .lag = METRIC_CHILD(lag, topic),
            .batches = METRIC_CHILD(batches, topic),
            .oldest = METRIC_CHILD(oldest, topic),
            .stopped = METRIC_CHILD(stopped, topic),
        };
    }
    return count > 0;
}

/* <topic>.dlq for each subscription that may write there. */
static bool ensure_dead_letter_topics(const struct kafka_worker_options *options, struct err *err)
{
    enum { MANY = 32 };
    char names[MANY][KAFKA_TOPIC_NAME_MAX];
    struct topic topics[MANY + 1] = {{0}};
    size_t count = 0;
    for (const struct kafka_subscription *subscription = options->subscriptions; subscription->topic && count < MANY;
         subscription++) {
        if (subscription->poison != POISON_DEAD_LETTER)
            continue;
        topics[count] = kafka_dead_letters_of(subscription->topic, names[count]);
        count++;
    }
    return !count || kafka_create_topics(options->brokers, topics, err);
}

/* The one in the greatest hurry decides: there is one consumer. */
static struct kafka_pace pace_of(const struct kafka_subscription *subscription)
{
    struct kafka_pace least = {subscription->gather_ms, subscription->busy_gather_ms};
    for (; subscription->topic; subscription++) {
        if (subscription->gather_ms < least.gather_ms)
            least.gather_ms = subscription->gather_ms;
        if (subscription->busy_gather_ms < least.busy_gather_ms)
            least.busy_gather_ms = subscription->busy_gather_ms;
    }
    return least;
}

static bool open_consumer(struct kafka_worker *worker, const struct kafka_worker_options *options, struct err *err)
{
    rd_kafka_conf_t *conf = kafka_conf_new(options->brokers, worker->name, CONSUMER, err);
    if (!conf)
        return false;
    if (!kafka_conf_set(conf, "group.id", options->group, err) ||
        !kafka_conf_set(conf, "group.instance.id", worker->name, err) ||
        !kafka_conf_pace(conf, pace_of(worker->subscriptions))) {
        rd_kafka_conf_destroy(conf);
        return err->problem ? false : err_set_internal(err, &ERR_INTERNAL, "no pace for a kafka consumer");
    }
    rd_kafka_conf_set_opaque(conf, worker);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_error_cb(conf, on_error);
    worker->rk = kafka_client_new(RD_KAFKA_CONSUMER, conf, err);
    return worker->rk && !rd_kafka_poll_set_consumer(worker->rk);
}

static bool subscribe(struct kafka_worker *worker, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    for (const struct kafka_subscription *subscription = worker->subscriptions; subscription->topic; subscription++)
        rd_kafka_topic_partition_list_add(list, subscription->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(worker->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return !code || kafka_failed(err, "subscribe", code);
}

static void worker_free(struct kafka_worker *worker)
{
    if (worker->rk)
        rd_kafka_destroy(worker->rk);
    kafka_records_free(&worker->records);
    free(worker->metrics);
    free(worker->name);
    free(worker);
}

struct kafka_worker *kafka_worker_start(const struct kafka_worker_options *options, struct err *err)
{
    if (!ensure_dead_letter_topics(options, err))
        return NULL;
    struct kafka_worker *worker = MEM_NEW(kafka_worker);
    char name[128];
    (void)snprintf(name, sizeof name, "%s-%d", options->service, options->slot);
    worker->name = mem_text(name);
    worker->subscriptions = options->subscriptions;
    worker->app = options->app;
    worker->producer = options->producer;
    if (!add_metrics(worker))
        err_set_internal(err, &ERR_INTERNAL, "worker %s subscribes to nothing", name);
    else if (open_consumer(worker, options, err) && subscribe(worker, err)) {
        if (pthread_create(&worker->thread, NULL, worker_run, worker) == 0)
            return worker;
        err_set_internal(err, &ERR_INTERNAL, "no thread for worker %s", name);
    }
    worker_free(worker);
    return NULL;
}

void kafka_worker_release(struct kafka_worker **worker)
{
    if (!*worker)
        return;
    (*worker)->stop = true;
    (void)pthread_join((*worker)->thread, NULL);
    worker_free(*worker);
    *worker = NULL;
}

bool kafka_worker_ready(void *worker)
{
    return ((struct kafka_worker *)worker)->ready;
}
