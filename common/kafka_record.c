#include "kafka_bundle.h"
#include "kafka_conf.h"
#include "mem.h"

#include <stddef.h>
#include <stdlib.h>

/* The headers that are ours; their places (from 1) stand in bundles, so they stay. */
static const struct {
    const char *name;
    size_t at;
} HEADERS[] = {
    {"x-request-id", offsetof(struct kafka_record, request_id)},
    {"traceparent", offsetof(struct kafka_record, traceparent)},
    {"corr", offsetof(struct kafka_record, corr)},
    {"users", offsetof(struct kafka_record, users)},
    {"given", offsetof(struct kafka_record, given)},
    {"unfinished", offsetof(struct kafka_record, unfinished)},
};
enum { HEADER_COUNT = sizeof HEADERS / sizeof *HEADERS };

int kafka_record_header(const char *name)
{
    for (int i = 0; i < HEADER_COUNT; i++)
        if (strcmp(HEADERS[i].name, name) == 0)
            return i + 1;
    return 0;
}

void kafka_record_set_header(struct kafka_record *record, int place, const char *value)
{
    if (place > 0 && place <= HEADER_COUNT)
        memcpy((char *)record + HEADERS[place - 1].at, &value, sizeof value);
}

/* librdkafka puts a NUL behind each header's value. */
static void take_headers(struct kafka_record *record, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers = NULL;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(message, &headers))
        return;
    for (int i = 0; i < HEADER_COUNT; i++)
        if (!rd_kafka_header_get_last(headers, HEADERS[i].name, &value, &size) && size)
            kafka_record_set_header(record, i + 1, value);
}

/* Room for so many more. */
static struct kafka_record *make_room(struct kafka_records *records, size_t count)
{
    if (records->room - records->count < count) {
        records->room = records->room * 2 > records->count + count ? records->room * 2 : records->count + count;
        records->items = mem_grow(records->items, records->room, sizeof *records->items);
    }
    return records->items + records->count;
}

void kafka_records_add(struct kafka_records *records, const rd_kafka_message_t *message, bool bare)
{
    rd_kafka_timestamp_type_t type;
    const struct kafka_record whole = {
        .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = {message->key, message->key_len},
        .payload = {message->payload, message->len},
    };
    const size_t count = kafka_bundle_count(whole.payload);
    struct kafka_record *first = make_room(records, count);
    if (kafka_bundle_open(&whole, bare, first)) {
        records->count += count;
        return;
    }
    *first = whole;
    if (!bare)
        take_headers(first, message);
    records->count++;
}

void kafka_records_free(struct kafka_records *records)
{
    free(records->items);
    *records = (struct kafka_records){0};
}
