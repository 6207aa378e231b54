#include "kafka_conf.h"

/* librdkafka puts a NUL behind each header's value. */
static const char *header(rd_kafka_headers_t *headers, const char *name)
{
    const void *value;
    size_t size;
    return headers && !rd_kafka_header_get_last(headers, name, &value, &size) && size ? value : NULL;
}

void kafka_record_fill(struct kafka_record *record, const rd_kafka_message_t *message, bool bare)
{
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *headers = NULL;
    if (bare || rd_kafka_message_headers(message, &headers))
        headers = NULL;
    *record = (struct kafka_record){
        .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = {message->key, message->key_len},
        .payload = {message->payload, message->len},
        .request_id = header(headers, "x-request-id"),
        .traceparent = header(headers, "traceparent"),
        .corr = header(headers, "corr"),
        .users = header(headers, "users"),
        .given = header(headers, "given"),
    };
}
