#include "records.h"

#include "clock.h"
#include "uuid.h"

#include <string.h>

enum { ACCOUNT_YOUNG_MS = 60 * 1000 };

static const struct field ACCOUNT_FIELDS[] = {
    FIELD_UUID(struct account_copy, user_id, .required = true),
    FIELD_TEXT(struct account_copy, handle, .nullable = true),
    FIELD_TEXT(struct account_copy, nickname, .nullable = true),
    FIELD_TEXT(struct account_copy, email, .nullable = true),
    FIELD_TEXT(struct account_copy, phone, .nullable = true),
    FIELD_TEXT(struct account_copy, locale, .nullable = true),
    FIELD_TEXT(struct account_copy, role, .nullable = true),
    FIELD_TEXT(struct account_copy, created_at, .nullable = true),
    FIELD_BOOL(struct account_copy, email_verified),
    FIELD_BOOL(struct account_copy, withdrawn),
    FIELD_I64(struct account_copy, version, .required = true, .min = 1, .max = INT64_MAX),
    {0},
};
const struct field RELATION_FIELDS[] = {
    FIELD_UUID(struct relation_copy, a, .required = true),
    FIELD_UUID(struct relation_copy, b, .required = true),
    FIELD_BOOL(struct relation_copy, friend, .required = true),
    FIELD_TEXTS(struct relation_copy, blocked_by, .max = 2, .item_min = 36, .item_max = 36),
    FIELD_I64(struct relation_copy, version, .required = true, .min = 0, .max = INT64_MAX),
    {0},
};
const struct field SESSION_END_FIELDS[] = {
    FIELD_UUID(struct session_end, user_id, .required = true),
    FIELD_UUID(struct session_end, sid, .required = true),
    FIELD_TEXT(struct session_end, reason, .required = true, .max = 64),
    {0},
};

void *records_decode(struct arena *arena, const struct kafka_batch *batch, const struct field *table, size_t size,
                     struct err *err)
{
    char *items = arena_alloc(arena, (batch->count + 1) * size);
    for (size_t i = 0; i < batch->count; i++) {
        const struct view bytes = batch->records[i].payload;
        if (bytes.bytes && !json_decode_lenient(arena, bytes, table, items + i * size, size, err))
            return NULL;
    }
    return items;
}

struct account_copy *accounts_decode(struct arena *arena, const struct kafka_batch *batch, struct err *err)
{
    return records_decode(arena, batch, ACCOUNT_FIELDS, sizeof(struct account_copy), err);
}

struct relation_copy *relations_decode(struct arena *arena, const struct kafka_batch *batch, struct err *err)
{
    struct relation_copy *relations = records_decode(arena, batch, RELATION_FIELDS, sizeof(struct relation_copy), err);
    for (size_t i = 0; relations && i < batch->count; i++)
        if (relations[i].a && strcmp(relations[i].a, relations[i].b) >= 0) {
            err_add_field(err, "/a", "must be the smaller id");
            return NULL;
        }
    return relations;
}

struct session_end *session_ends_decode(struct arena *arena, const struct kafka_batch *batch, struct err *err)
{
    return records_decode(arena, batch, SESSION_END_FIELDS, sizeof(struct session_end), err);
}

bool account_is_young(const char *user_id)
{
    const int64_t age_ms = clock_now_ms() - uuid_time_ms(user_id);
    return age_ms < ACCOUNT_YOUNG_MS && age_ms > -ACCOUNT_YOUNG_MS;
}

bool account_is_superseded(const struct account_copy *copies, size_t count, size_t index)
{
    const struct account_copy *copy = &copies[index];
    for (size_t i = 0; i < count; i++) {
        const struct account_copy *other = &copies[i];
        if (i != index && other->user_id && strcmp(other->user_id, copy->user_id) == 0 &&
            (other->version > copy->version || (other->version == copy->version && i > index)))
            return true;
    }
    return false;
}
