/* Any bytes as a message: it is one record, or as many as were counted, all within the message, with headers that end
 * there; what is put together again from them is read as the same. */
#include "kafka_bundle.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void must_be_within(struct view whole, const char *from, size_t length)
{
    must(from >= whole.bytes && from + length <= whole.bytes + whole.length);
}

static const char *const *headers_of(const struct kafka_record *record, const char *values[6])
{
    values[0] = record->request_id, values[1] = record->traceparent, values[2] = record->corr;
    values[3] = record->users, values[4] = record->given, values[5] = record->unfinished;
    return values;
}

static void write_again(struct str *out, const struct kafka_record *record)
{
    const char *values[6];
    (void)headers_of(record, values);
    const struct kafka_header headers[] = {
        {"x-request-id", values[0]}, {"traceparent", values[1]}, {"corr", values[2]}, {"users", values[3]},
        {"given", values[4]},        {"unfinished", values[5]},  {NULL, NULL}};
    kafka_bundle_add(out, record->payload, headers);
}

static void must_be_same(const struct kafka_record *a, const struct kafka_record *b)
{
    const char *ours[6], *theirs[6];
    (void)headers_of(a, ours);
    (void)headers_of(b, theirs);
    must(view_equals(a->payload, b->payload));
    for (int i = 0; i < 6; i++) /* an empty one is none */
        must((!ours[i] || !*ours[i]) ? !theirs[i] : (theirs[i] && strcmp(ours[i], theirs[i]) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kafka_record records[KAFKA_BUNDLE_RECORDS_MAX], again[KAFKA_BUNDLE_RECORDS_MAX];
    const struct view bytes = {(const char *)data, size};
    const struct kafka_record whole = {.offset = 3, .payload = bytes};
    const size_t count = kafka_bundle_count(bytes);
    must(count >= 1 && count <= KAFKA_BUNDLE_RECORDS_MAX);
    if (!kafka_bundle_open(&whole, false, records))
        return 0;
    AUTO_STR out;
    str_init(&out);
    kafka_bundle_begin(&out);
    for (size_t i = 0; i < count; i++) {
        const char *values[6];
        must(records[i].offset == 3 && records[i].place == i && records[i].more == count - 1 - i);
        must_be_within(bytes, records[i].payload.bytes, records[i].payload.length);
        for (const char *const *value = headers_of(&records[i], values); value < values + 6; value++)
            if (*value)
                must_be_within(bytes, *value, strlen(*value) + 1);
        write_again(&out, &records[i]);
    }
    const struct kafka_record second = {.offset = 3, .payload = {out.bytes, out.length}};
    must(kafka_bundle_count(second.payload) == count && kafka_bundle_open(&second, false, again));
    for (size_t i = 0; i < count; i++)
        must_be_same(&records[i], &again[i]);
    return 0;
}
