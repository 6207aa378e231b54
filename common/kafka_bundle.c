#include "kafka_bundle.h"

#include "kafka_conf.h"

#include <endian.h>
#include <string.h>

static const unsigned char MAGIC[KAFKA_BUNDLE_BEGIN_BYTES] = {0, 'M', 'B', 1};

/* ---- writing ---- */

static void put_u32(char *at, size_t value)
{
    const uint32_t number = htole32((uint32_t)value);
    memcpy(at, &number, sizeof number);
}

void kafka_bundle_begin(struct str *out)
{
    str_add_bytes(out, MAGIC, sizeof MAGIC);
}

void kafka_bundle_add(struct str *out, struct view payload, const struct kafka_header *headers)
{
    const size_t start = out->length;
    char number[4];
    str_add_bytes(out, "\0\0\0\0", 4); /* known at the end */
    put_u32(number, payload.length);
    str_add_bytes(out, number, sizeof number);
    str_add_bytes(out, payload.bytes, payload.length);
    for (; headers && headers->name; headers++) {
        const int name = kafka_record_header(headers->name);
        if (!name || !headers->value)
            continue;
        const size_t length = strlen(headers->value);
        str_add_char(out, (char)name);
        put_u32(number, length);
        str_add_bytes(out, number, sizeof number);
        str_add_bytes(out, headers->value, length + 1);
    }
    put_u32(out->bytes + start, out->length - start - 4);
}

/* ---- reading ---- */

/* A number, or a stretch of so many bytes, off what is left; false: there is less, and it is no bundle. */
static bool take_u32(struct view *left, size_t *value)
{
    uint32_t number;
    if (left->length < sizeof number)
        return false;
    memcpy(&number, left->bytes, sizeof number);
    *value = le32toh(number);
    *left = (struct view){left->bytes + sizeof number, left->length - sizeof number};
    return true;
}

static bool take_stretch(struct view *left, struct view *stretch)
{
    size_t length;
    if (!take_u32(left, &length) || length > left->length)
        return false;
    *stretch = (struct view){left->bytes, length};
    *left = (struct view){left->bytes + length, left->length - length};
    return true;
}

/* `left`: what stands behind the magic; at least one record, or it is no bundle. */
static bool begins(struct view payload, struct view *left)
{
    if (payload.length <= sizeof MAGIC || memcmp(payload.bytes, MAGIC, sizeof MAGIC) != 0)
        return false;
    *left = (struct view){payload.bytes + sizeof MAGIC, payload.length - sizeof MAGIC};
    return true;
}

size_t kafka_bundle_count(struct view payload)
{
    size_t count = 0;
    struct view left, record;
    if (!begins(payload, &left))
        return 1;
    for (; left.length; count++)
        if (count == KAFKA_BUNDLE_RECORDS_MAX || !take_stretch(&left, &record))
            return 1;
    return count;
}

static bool take_header(struct view *left, struct kafka_record *record)
{
    const unsigned char name = (unsigned char)*left->bytes;
    struct view value;
    *left = (struct view){left->bytes + 1, left->length - 1};
    if (!take_stretch(left, &value) || !left->length || *left->bytes) /* the 00 that ends it */
        return false;
    *left = (struct view){left->bytes + 1, left->length - 1};
    kafka_record_set_header(record, name, value.length ? value.bytes : NULL);
    return true;
}

static bool open_record(struct view stretch, bool bare, struct kafka_record *record)
{
    if (!take_stretch(&stretch, &record->payload))
        return false;
    while (!bare && stretch.length)
        if (!take_header(&stretch, record))
            return false;
    return true;
}

bool kafka_bundle_open(const struct kafka_record *whole, bool bare, struct kafka_record *records)
{
    struct view left, stretch;
    uint32_t count = 0;
    if (!begins(whole->payload, &left))
        return false;
    for (; left.length; count++) {
        if (count == KAFKA_BUNDLE_RECORDS_MAX || !take_stretch(&left, &stretch))
            return false;
        records[count] = (struct kafka_record){
            .offset = whole->offset, .place = count, .timestamp_ms = whole->timestamp_ms, .key = whole->key};
        if (!open_record(stretch, bare, &records[count]))
            return false;
    }
    for (uint32_t i = 0; i < count; i++)
        records[i].more = count - 1 - i;
    return true;
}
