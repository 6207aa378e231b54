#include "outputs.h"

#include "kafka_bundle.h"
#include "mem.h"

#include <stdlib.h>

enum {
    HEADERS = 5,
    BUNDLE_BYTES = 64 * 1024, /* with keys and headers; a larger record goes alone */
    BUNDLE_RECORDS = 500,
};
static const char *const HEADER_NAMES[HEADERS] = {"corr", "users", "x-request-id", "traceparent", "unfinished"};

/* Places in `bytes`, which may move while it grows; NOWHERE: there is none. */
#define NOWHERE SIZE_MAX
struct output {
    size_t key, payload, length, headers[HEADERS], end;
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
    const char *const headers[HEADERS] = {command->corr, users, command->request_id, command->traceparent,
                                          command->more ? "1" : NULL};
    output->key = put_text(outputs, market);
    output->payload = outputs->bytes.length;
    output->length = payload.length;
    str_add_bytes(&outputs->bytes, payload.bytes, payload.length);
    for (int i = 0; i < HEADERS; i++)
        output->headers[i] = put_text(outputs, headers[i]);
    output->end = outputs->bytes.length;
}

static void make_headers(const struct outputs *outputs, const struct output *output, struct kafka_header *headers)
{
    size_t count = 0;
    for (int i = 0; i < HEADERS; i++)
        if (output->headers[i] != NOWHERE)
            headers[count++] = (struct kafka_header){HEADER_NAMES[i], outputs->bytes.bytes + output->headers[i]};
    headers[count] = (struct kafka_header){NULL, NULL};
}

/* How many from `first` on go into one message: neighbours of one market, within the bounds. */
static size_t together(const struct outputs *outputs, size_t first)
{
    const char *bytes = outputs->bytes.bytes;
    size_t last = first;
    while (last + 1 < outputs->count && last + 1 - first < BUNDLE_RECORDS &&
           outputs->items[last + 1].end - outputs->items[first].key <= BUNDLE_BYTES &&
           strcmp(bytes + outputs->items[last + 1].key, bytes + outputs->items[first].key) == 0)
        last++;
    return last + 1 - first;
}

/* The bundle's room is there already: its bytes stay where they are. */
static struct view make_bundle(struct str *bundles, const struct outputs *outputs, size_t first, size_t count)
{
    const size_t start = bundles->length;
    struct kafka_header headers[HEADERS + 1];
    kafka_bundle_begin(bundles);
    for (size_t i = first; i < first + count; i++) {
        const struct output *output = &outputs->items[i];
        make_headers(outputs, output, headers);
        kafka_bundle_add(bundles, (struct view){outputs->bytes.bytes + output->payload, output->length}, headers);
    }
    return (struct view){bundles->bytes + start, bundles->length - start};
}

bool outputs_send(struct outputs *outputs, const struct outputs_way *way, struct err *err)
{
    if (!outputs->count)
        return true;
    AUTO_FREE struct kafka_message *messages = mem_new(outputs->count, sizeof *messages);
    AUTO_FREE struct kafka_header *headers = mem_new(outputs->count * (HEADERS + 1), sizeof *headers);
    AUTO_STR bundles;
    size_t count = 0;
    str_init(&bundles);
    str_reserve(&bundles,
                outputs->bytes.length + outputs->count * (KAFKA_BUNDLE_RECORD_BYTES + KAFKA_BUNDLE_BEGIN_BYTES));
    for (size_t i = 0, more; i < outputs->count; i += more) {
        const struct output *output = &outputs->items[i];
        struct kafka_message *message = &messages[count];
        more = way->bundles ? together(outputs, i) : 1;
        *message = (struct kafka_message){.topic = way->topic, .key = view_of(outputs->bytes.bytes + output->key)};
        if (more > 1) {
            message->payload = make_bundle(&bundles, outputs, i, more);
        } else {
            message->payload = (struct view){outputs->bytes.bytes + output->payload, output->length};
            message->headers = &headers[count * (HEADERS + 1)];
            make_headers(outputs, output, &headers[count * (HEADERS + 1)]);
        }
        count++;
    }
    if (!kafka_send_all(way->producer, messages, count, way->timeout_ms, err))
        return false;
    outputs->count = 0;
    str_clear(&outputs->bytes);
    return true;
}
