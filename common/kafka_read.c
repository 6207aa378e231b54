#include "clock.h"
#include "kafka_conf.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

enum {
    BATCH_MAX = 500,
    BATCH_BYTES_MAX = 1 << 20,
    TURN_MS = 100,
};

static const struct kafka_setting READER[] = {
    {"group.id", "reader"}, /* never joined: librdkafka wants a name */
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"enable.partition.eof", "true"},
    {"fetch.wait.max.ms", "50"},
    {"fetch.error.backoff.ms", "20"},
    {"fetch.max.bytes", "8388608"},
    {"max.partition.fetch.bytes", "8388608"}, /* it reads one partition, and somebody waits for it */
    /* At these bounds librdkafka 2.0 stops fetching for a second, whatever the reader does meanwhile: so they are wide.
     */
    {"queued.min.messages", "1000000"},
    {"queued.max.messages.kbytes", "65536"},
    {NULL, NULL},
};

struct reader {
    rd_kafka_t *rk;
    const char *topic;
    int32_t partition;
    int64_t next, to;
    int timeout_ms;
    bool (*take)(void *payload, const struct kafka_batch *batch, struct err *err);
    void *payload;
    rd_kafka_message_t *messages[BATCH_MAX];
    struct kafka_records records;
    size_t count, bytes;
};

/* Puts the stretch within what is kept now, and starts the fetching. */
static bool reader_begin(struct reader *reader, struct err *err)
{
    int64_t low, high;
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(reader->rk, reader->topic, reader->partition, &low, &high, reader->timeout_ms);
    if (code)
        return kafka_failed(err, reader->topic, code);
    if (reader->next < low)
        reader->next = low;
    if (reader->to > high)
        reader->to = high;
    if (reader->next >= reader->to)
        return true;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, reader->topic, reader->partition)->offset = reader->next;
    code = rd_kafka_assign(reader->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return !code || kafka_failed(err, "assign", code);
}

/* Gives what was collected to the caller. */
static bool reader_hand_over(struct reader *reader, struct err *err)
{
    reader->records.count = 0;
    for (size_t i = 0; i < reader->count; i++)
        kafka_records_add(&reader->records, reader->messages[i], false);
    const struct kafka_batch batch = {.topic = reader->topic,
                                      .partition = reader->partition,
                                      .records = reader->records.items,
                                      .count = reader->records.count};
    bool ok = !reader->count || reader->take(reader->payload, &batch, err);
    for (size_t i = 0; i < reader->count; i++)
        rd_kafka_message_destroy(reader->messages[i]);
    reader->count = reader->bytes = 0;
    return ok;
}

/* Takes the message. */
static bool reader_take(struct reader *reader, rd_kafka_message_t *message, struct err *err)
{
    const rd_kafka_resp_err_t code = message->err;
    if (!code && message->offset >= reader->next && message->offset < reader->to) {
        reader->next = message->offset + 1;
        reader->bytes += message->len + message->key_len;
        reader->messages[reader->count++] = message;
        return true;
    }
    if (!code && message->offset >= reader->to)
        reader->next = reader->to; /* what stood before it is compacted away */
    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF && message->offset > reader->next)
        reader->next = message->offset;
    rd_kafka_message_destroy(message);
    if (code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
        return kafka_failed(err, reader->topic, code); /* retention was faster than we were */
    return true;                                       /* brokers that are away: the time-out decides */
}

static bool reader_run(struct reader *reader, struct err *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + reader->timeout_ms;
    while (reader->next < reader->to) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->rk, reader->count ? 0 : TURN_MS);
        if (message && !reader_take(reader, message, err))
            return false;
        const bool full = reader->count == BATCH_MAX || reader->bytes >= BATCH_BYTES_MAX;
        if (reader->count && (!message || full)) {
            if (!reader_hand_over(reader, err))
                return false;
            deadline_ms = clock_monotonic_ms() + reader->timeout_ms;
        }
        if (!reader->count && clock_monotonic_ms() > deadline_ms)
            return kafka_failed(err, reader->topic, RD_KAFKA_RESP_ERR__TIMED_OUT);
    }
    return reader_hand_over(reader, err);
}

bool kafka_read(const char *brokers, const char *topic, int32_t partition, int64_t from, int64_t to, int timeout_ms,
                bool (*take)(void *payload, const struct kafka_batch *batch, struct err *err), void *payload,
                struct err *err)
{
    struct reader reader = {.topic = topic,
                            .partition = partition,
                            .next = from,
                            .to = to,
                            .timeout_ms = timeout_ms,
                            .take = take,
                            .payload = payload};
    rd_kafka_conf_t *conf = kafka_conf_new(brokers, "reader", READER, err);
    reader.rk = conf ? kafka_client_new(RD_KAFKA_CONSUMER, conf, err) : NULL;
    if (!reader.rk)
        return false;
    bool ok = !rd_kafka_poll_set_consumer(reader.rk) && reader_begin(&reader, err) && reader_run(&reader, err);
    for (size_t i = 0; i < reader.count; i++) /* after a failure */
        rd_kafka_message_destroy(reader.messages[i]);
    kafka_records_free(&reader.records);
    (void)rd_kafka_assign(reader.rk, NULL);
    (void)rd_kafka_consumer_close(reader.rk);
    rd_kafka_destroy(reader.rk);
    return ok;
}
