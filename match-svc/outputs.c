#include "outputs.h"

#include "mem.h"

#include <stdlib.h>

enum { HEADERS = 4 };
static const char *const HEADER_NAMES[HEADERS] = {"corr", "users", "x-request-id", "traceparent"};

/* Places in `bytes`, which may move while it grows; NOWHERE: there is none. */
#define NOWHERE SIZE_MAX
struct output {
    size_t key, payload, length, headers[HEADERS];
};

void outputs_init(struct outputs *outputs)
{
    *outputs = (struct outputs){0};
    str_init(&outputs->bytes);
}

void outputs_free(struct outputs *outputs)
{
    str_free(&outputs->bytes);
    free(outputs->items);
    *outputs = (struct outputs){0};
}

static size_t put_text(struct outputs *outputs, const char *text)
{
    if (!text || !*text)
        return NOWHERE;
    const size_t at = outputs->bytes.length;
    str_add_bytes(&outputs->bytes, text, strlen(text) + 1);
    return at;
}

void outputs_add(struct outputs *outputs, const char *market, struct view payload, const char *users,
                 const struct kafka_record *command)
{
    if (outputs->count == outputs->room) {
        outputs->room = outputs->room ? outputs->room * 2 : 64;
        outputs->items = mem_grow(outputs->items, outputs->room, sizeof *outputs->items);
    }
    struct output *output = &outputs->items[outputs->count++];
    const char *const headers[HEADERS] = {command->corr, users, command->request_id, command->traceparent};
    output->key = put_text(outputs, market);
    output->payload = outputs->bytes.length;
    output->length = payload.length;
    str_add_bytes(&outputs->bytes, payload.bytes, payload.length);
    for (int i = 0; i < HEADERS; i++)
        output->headers[i] = put_text(outputs, headers[i]);
}

static void make_headers(const struct outputs *outputs, const struct output *output, struct kafka_header *headers)
{
    size_t count = 0;
    for (int i = 0; i < HEADERS; i++)
        if (output->headers[i] != NOWHERE)
            headers[count++] = (struct kafka_header){HEADER_NAMES[i], outputs->bytes.bytes + output->headers[i]};
    headers[count] = (struct kafka_header){NULL, NULL};
}

bool outputs_send(struct outputs *outputs, struct kafka_producer *producer, const char *topic, int timeout_ms,
                  struct err *err)
{
    if (!outputs->count)
        return true;
    AUTO_FREE struct kafka_message *messages = mem_new(outputs->count, sizeof *messages);
    AUTO_FREE struct kafka_header *headers = mem_new(outputs->count * (HEADERS + 1), sizeof *headers);
    for (size_t i = 0; i < outputs->count; i++) {
        const struct output *output = &outputs->items[i];
        make_headers(outputs, output, &headers[i * (HEADERS + 1)]);
        messages[i] = (struct kafka_message){.topic = topic,
                                             .key = view_of(outputs->bytes.bytes + output->key),
                                             .payload = {outputs->bytes.bytes + output->payload, output->length},
                                             .headers = &headers[i * (HEADERS + 1)]};
    }
    if (!kafka_send_all(producer, messages, outputs->count, timeout_ms, err))
        return false;
    outputs->count = 0;
    str_clear(&outputs->bytes);
    return true;
}
