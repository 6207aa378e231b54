#include "clock.h"
#include "kafka_bundle.h"
#include "kafka_worker.h"
#include "log.h"
#include "mem.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 5000,
    DEAD_LETTER_MS = 10000,
    TOGETHER_MAX = 64, /* partitions of one call */
};

/* What a paused part holds does not count: it can't be worked off now and must not keep the others from reading. */
static void count_waiting(struct kafka_worker *worker, const struct part *part, bool add)
{
    worker->waiting = add ? worker->waiting + part->count : worker->waiting - part->count;
    worker->waiting_bytes = add ? worker->waiting_bytes + part->bytes : worker->waiting_bytes - part->bytes;
}

static size_t size_of(const rd_kafka_message_t *message)
{
    return message->len + message->key_len;
}

void kafka_work_add(struct kafka_worker *worker, struct part *part, rd_kafka_message_t *message)
{
    if (message->offset < part->read_offset) { /* fetched again after a pause */
        rd_kafka_message_destroy(message);
        return;
    }
    if (part->count == part->room) {
        part->room = part->room ? part->room * 2 : 16;
        part->messages = mem_grow(part->messages, part->room, sizeof(rd_kafka_message_t *));
    }
    part->read_offset = message->offset + 1;
    part->messages[part->count++] = message;
    part->bytes += size_of(message);
    if (!part->paused) {
        worker->waiting++;
        worker->waiting_bytes += size_of(message);
    }
}

static void forget_first(struct kafka_worker *worker, struct part *part, size_t count)
{
    if (!part->paused)
        count_waiting(worker, part, false);
    for (size_t i = 0; i < count; i++) {
        part->bytes -= size_of(part->messages[i]);
        rd_kafka_message_destroy(part->messages[i]);
    }
    part->count -= count;
    memmove(part->messages, part->messages + count, part->count * sizeof(rd_kafka_message_t *));
    if (!part->paused)
        count_waiting(worker, part, true);
}

void kafka_work_drop(struct kafka_worker *worker, struct part *part)
{
    if (part->count)
        forget_first(worker, part, part->count);
    free(part->messages);
    part->messages = NULL;
    part->room = 0;
}

/* The first `count` records are done, one way or the other. */
static void advance(struct kafka_worker *worker, struct part *part, size_t count)
{
    part->next_offset = part->messages[count - 1]->offset + 1;
    part->singles -= part->singles < count ? part->singles : count;
    part->apart = false;
    part->backoff_ms = 0;
    part->retry_ms = 0;
    forget_first(worker, part, count);
}

static void set_paused(struct kafka_worker *worker, struct part *part, bool paused)
{
    if (part->paused == paused)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, part->subscription->topic, part->partition);
    if ((paused ? rd_kafka_pause_partitions(worker->rk, list) : rd_kafka_resume_partitions(worker->rk, list)) ==
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        part->paused = paused;
        count_waiting(worker, part, !paused);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- what can go wrong
 * ------------------------------------------------------------------------------------------------ */

static void back_off(struct kafka_worker *worker, struct part *part, const struct err *err)
{
    part->backoff_ms = part->backoff_ms ? part->backoff_ms * 2 : BACKOFF_FIRST_MS;
    if (part->backoff_ms > BACKOFF_MAX_MS)
        part->backoff_ms = BACKOFF_MAX_MS;
    part->retry_ms = clock_monotonic_ms() + part->backoff_ms;
    set_paused(worker, part, true);
    metric_add(part->metrics->retries, 1);
    log_err(part->untold ? "take_over_failed" : "batch_failed", err);
    log_event(LOG_INFO, "batch_waits", LOG_TEXT("topic", part->subscription->topic),
              LOG_I64("partition", part->partition), LOG_I64("offset", part->count ? part->messages[0]->offset : -1),
              LOG_I64("ms", part->backoff_ms));
}

static void stop_part(struct kafka_worker *worker, struct part *part, const struct err *err)
{
    part->stopped = true;
    set_paused(worker, part, true);
    metric_add(part->metrics->stopped, 1);
    log_err("poison_record", err);
    log_event(LOG_ERROR, "partition_stopped", LOG_TEXT("topic", part->subscription->topic),
              LOG_I64("partition", part->partition), LOG_I64("offset", part->messages[0]->offset));
}

static void describe(const struct err *err, char *words, size_t size)
{
    const char *field = err->field_count ? err->fields[0].pointer : "",
               *why = err->field_count ? err->fields[0].message : "";
    (void)snprintf(words, size, "%s: %s %s %s %s", err->problem->code, err->message, err->detail, field, why);
}

static bool send_dead_letter(struct kafka_worker *worker, const struct part *part, const struct kafka_record *record,
                             const struct err *why, struct err *err)
{
    char topic[256], partition[16], offset[24], words[600];
    (void)snprintf(topic, sizeof topic, "%s.dlq", part->subscription->topic);
    (void)snprintf(partition, sizeof partition, "%d", (int)part->partition);
    (void)snprintf(offset, sizeof offset, "%lld", (long long)record->offset);
    describe(why, words, sizeof words);
    const struct kafka_header headers[] = {
        {"x-origin-topic", part->subscription->topic},
        {"x-origin-partition", partition},
        {"x-origin-offset", offset},
        {"x-error", words},
        {"x-request-id", record->request_id ? record->request_id : ""},
        {"traceparent", record->traceparent ? record->traceparent : ""},
        {NULL, NULL},
    };
    const struct kafka_message letter = {
        .topic = topic, .key = record->key, .payload = record->payload, .headers = headers};
    return kafka_send_all(worker->producer, &letter, 1, DEAD_LETTER_MS, err);
}

/* A single message that its handler will never take. A bundle is put away whole: its records share an offset, so none
 * of them can be applied without the others. */
static void handle_poison(struct kafka_worker *worker, struct part *part, const struct kafka_batch *batch,
                          const struct err *why)
{
    if (part->subscription->poison == POISON_STOP) {
        stop_part(worker, part, why);
        return;
    }
    struct err err = {0};
    for (size_t i = 0; i < batch->count; i++)
        if (!send_dead_letter(worker, part, &batch->records[i], why, &err)) {
            back_off(worker, part, &err);
            return;
        }
    metric_add(part->metrics->dead_letters, (int64_t)batch->count);
    log_event(LOG_ERROR, "dead_letter", LOG_TEXT("topic", part->subscription->topic),
              LOG_I64("partition", part->partition), LOG_I64("offset", batch->records[0].offset),
              LOG_TEXT("why", why->problem->code));
    advance(worker, part, 1);
}

static const char KAFKA[] = "kafka"; /* messaging.system */

/* ---- batches
 * --------------------------------------------------------------------------------------------------------- */

void kafka_trace_batch(const struct kafka_batch *batch, const char *system, int64_t start_us, bool ok)
{
    char name[80], offset[24], own[TRACE_PARENT_BYTES], parent[17];
    const int64_t took_us = clock_now_us() - start_us;
    for (size_t i = 0; i < batch->count; i++) {
        const struct kafka_record *record = &batch->records[i];
        if (!trace_wants(record->traceparent))
            continue;
        trace_child(record->traceparent, own);
        (void)snprintf(parent, sizeof parent, "%.16s", record->traceparent + 36);
        (void)snprintf(name, sizeof name, "%s apply", batch->topic);
        (void)snprintf(offset, sizeof offset, "%lld", (long long)record->offset);
        trace_add(&(struct trace_span){
            .name = name,
            .kind = TRACE_CONSUMER,
            .traceparent = own,
            .parent = parent,
            .start_us = start_us,
            .took_us = took_us,
            .failed = !ok,
            .attributes = {{"messaging.system", system},
                           {"messaging.destination.name", batch->topic},
                           {"request.id", record->request_id},
                           {record->offset < INT64_MAX ? "messaging.kafka.offset" : NULL, offset}}});
    }
}

/* The first `messages` of the part, behind what `records` holds already, whose place may change: `records` of the batch
 * is set by who calls. */
static struct kafka_batch fill_batch(const struct part *part, struct kafka_records *records, size_t messages)
{
    const size_t before = records->count;
    const bool bare =
        part->subscription->bare && part->subscription->poison != POISON_DEAD_LETTER && !trace_is_exported();
    for (size_t i = 0; i < messages; i++)
        kafka_records_add(records, part->messages[i], bare);
    return (struct kafka_batch){
        .topic = part->subscription->topic, .partition = part->partition, .count = records->count - before};
}

/* How many messages bring so many records, or more with the last bundle. */
static size_t messages_of(const struct part *part, size_t records)
{
    size_t messages = 0;
    for (size_t count = 0; messages < part->count && count < records; messages++)
        count += kafka_bundle_count((struct view){part->messages[messages]->payload, part->messages[messages]->len});
    return messages;
}

static void batch_done(struct kafka_worker *worker, struct part *part, size_t messages, size_t records)
{
    metric_add(part->metrics->applied, (int64_t)records);
    metric_add(part->metrics->batches, 1);
    advance(worker, part, messages);
}

static void run_batch(struct kafka_worker *worker, struct part *part)
{
    const size_t count = part->singles ? 1 : messages_of(part, kafka_batch_max(part->subscription));
    worker->records.count = 0;
    struct kafka_batch batch = fill_batch(part, &worker->records, count);
    batch.records = worker->records.items;
    struct err err = {0};
    const int64_t start_us = clock_now_us();
    const bool ok = part->subscription->apply(worker->app, &batch, &err);
    kafka_trace_batch(&batch, KAFKA, start_us, ok);
    if (ok) {
        batch_done(worker, part, count, batch.count);
    } else if (!err_is(&err, &ERR_BAD_INPUT)) {
        back_off(worker, part, &err);
    } else if (count > 1) {
        part->singles = count; /* one by one finds the bad one and saves the others */
    } else {
        handle_poison(worker, part, &batch, &err);
    }
}

static bool is_due(const struct part *part, int64_t now_ms)
{
    return part->count && !part->untold && !part->stopped && part->retry_ms <= now_ms;
}

static bool goes_together(const struct part *part, const struct kafka_subscription *subscription, int64_t now_ms)
{
    return part->subscription == subscription && !part->apart && !part->singles && is_due(part, now_ms);
}

/* How many messages of each of these parts one call takes: all in turn the same, until their sum is batch_max. */
static void share_out(const struct kafka_subscription *subscription, struct part *const *parts, size_t part_count,
                      size_t *counts)
{
    size_t left = kafka_batch_max(subscription), hungry = part_count;
    memset(counts, 0, part_count * sizeof *counts);
    while (left && hungry) {
        const size_t portion = left / hungry ? left / hungry : 1;
        hungry = 0;
        for (size_t i = 0; i < part_count && left; i++) {
            size_t more = parts[i]->count - counts[i];
            more = more < portion ? more : portion;
            more = more < left ? more : left;
            counts[i] += more;
            left -= more;
            hungry += counts[i] < parts[i]->count;
        }
    }
}

/* One call for all parts of this subscription that have something to do, when they are more than one. When it fails
 * each goes alone, in this turn: so the one that can't be applied keeps nobody waiting. */
static void run_together(struct kafka_worker *worker, const struct kafka_subscription *subscription, int64_t now_ms)
{
    struct part *parts[TOGETHER_MAX];
    struct kafka_batch batches[TOGETHER_MAX] = {{0}};
    size_t counts[TOGETHER_MAX], count = 0;
    for (size_t i = 0; i < worker->part_count && count < TOGETHER_MAX; i++)
        if (goes_together(&worker->parts[i], subscription, now_ms))
            parts[count++] = &worker->parts[i];
    if (count < 2)
        return;
    share_out(subscription, parts, count, counts);
    while (!counts[count - 1]) /* more parts than batch_max */
        count--;
    worker->records.count = 0;
    for (size_t i = 0; i < count; i++)
        batches[i] = fill_batch(parts[i], &worker->records, counts[i]);
    for (size_t i = 0, at = 0; i < count; at += batches[i++].count)
        batches[i].records = worker->records.items + at;
    struct err err = {0};
    const int64_t start_us = clock_now_us();
    const bool done = subscription->apply_together(worker->app, batches, count, &err);
    for (size_t i = 0; i < count; i++)
        kafka_trace_batch(&batches[i], KAFKA, start_us, done);
    if (!done)
        log_err("batches_failed_together", &err);
    for (size_t i = 0; i < count; i++) {
        parts[i]->ran = done;
        parts[i]->apart = !done;
        if (done)
            batch_done(worker, parts[i], counts[i], batches[i].count);
    }
}

/* The service prepares itself for a partition that became ours. */
static void take_over(struct kafka_worker *worker, struct part *part, int64_t now_ms)
{
    struct err err = {0};
    if (!part->untold || part->retry_ms > now_ms)
        return;
    if (!part->subscription->assigned(worker->app, part->subscription->topic, part->partition, &err)) {
        back_off(worker, part, &err);
        return;
    }
    part->untold = false;
    part->backoff_ms = 0;
    part->retry_ms = 0;
}

static void look_whether_caught_up(struct part *part)
{
    if (part->stopped || (part->at_end && !part->count) ||
        (part->end_offset >= 0 && part->next_offset >= part->end_offset))
        part->caught_up = true;
}

void kafka_work_run(struct kafka_worker *worker)
{
    const int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < worker->part_count && !worker->stop; i++) {
        worker->parts[i].ran = false;
        take_over(worker, &worker->parts[i], now_ms);
    }
    for (const struct kafka_subscription *each = worker->subscriptions; each->topic && !worker->stop; each++)
        if (each->apply_together)
            run_together(worker, each, now_ms);
    for (size_t i = 0; i < worker->part_count && !worker->stop; i++) {
        struct part *part = &worker->parts[i];
        if (!part->ran && is_due(part, now_ms))
            run_batch(worker, part);
        if (part->paused && !part->stopped && !part->retry_ms)
            set_paused(worker, part, false);
        look_whether_caught_up(part);
    }
}

int kafka_work_due(const struct kafka_worker *worker, int most)
{
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < worker->part_count; i++) {
        const struct part *part = &worker->parts[i];
        if ((!part->count && !part->untold) || part->stopped)
            continue;
        if (part->retry_ms - now_ms < most)
            most = part->retry_ms > now_ms ? (int)(part->retry_ms - now_ms) : 0;
    }
    return most;
}
