#include "registry_internal.h"

#include "json.h"

#include <string.h>

struct record {
    const char *service, *instance, *address, *version, *state;
    int64_t started, epoch, weight;
};

struct message {
    const char *service, *instance, *state;
    int64_t epoch;
};

static const struct field MESSAGE_FIELDS[] = {
    FIELD_TEXT(struct message, service, .required = true, .max = 31),
    FIELD_TEXT(struct message, instance, .required = true, .max = 63),
    FIELD_TEXT(struct message, state, .required = true, .max = 20),
    FIELD_I64(struct message, epoch, .required = true),
    {0},
};

static const char *const STATES[] = {"up", "draining", NULL};

static const struct field RECORD_FIELDS[] = {
    FIELD_TEXT(struct record, service, .required = true, .min = 1, .max = 31),
    FIELD_TEXT(struct record, instance, .required = true, .min = 1, .max = 63),
    FIELD_TEXT(struct record, address, .required = true, .min = 3, .max = 79),
    FIELD_TEXT(struct record, version, .max = 23),
    FIELD_TEXT(struct record, state, .required = true, .one_of = STATES),
    FIELD_I64(struct record, started),
    FIELD_I64(struct record, epoch, .required = true, .min = 1),
    FIELD_I64(struct record, weight, .max = 1000),
    {0},
};

void registry_record_print(struct str *out, const struct registry_entry *entry)
{
    const struct record record = {.service = entry->service,
                                  .instance = entry->instance,
                                  .address = entry->address,
                                  .version = entry->version,
                                  .state = STATES[entry->state == INSTANCE_DRAINING],
                                  .started = entry->started_ms,
                                  .epoch = entry->epoch,
                                  .weight = entry->weight};
    json_encode(out, RECORD_FIELDS, &record);
}

static bool copy(char *out, size_t room, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    if (length >= room) /* the table counts characters, this bytes */
        return false;
    memcpy(out, text ? text : "", length + 1);
    return true;
}

bool registry_record_parse(struct arena *arena, const char *text, size_t length, struct registry_entry *entry)
{
    struct record record;
    struct err err = {0};
    memset(entry, 0, sizeof *entry); /* padding too: entries are compared as bytes */
    if (!JSON_DECODE_LENIENT(arena, ((struct view){text, length}), RECORD_FIELDS, &record, &err))
        return false;
    entry->started_ms = record.started;
    entry->epoch = record.epoch;
    entry->weight = (int)record.weight;
    entry->state = strcmp(record.state, "draining") == 0 ? INSTANCE_DRAINING : INSTANCE_UP;
    return copy(entry->service, sizeof entry->service, record.service) &&
           copy(entry->instance, sizeof entry->instance, record.instance) &&
           copy(entry->address, sizeof entry->address, record.address) &&
           copy(entry->version, sizeof entry->version, record.version);
}

void registry_message_print(struct str *out, const struct registry_entry *entry, const char *state)
{
    json_encode(out, MESSAGE_FIELDS,
                &(struct message){
                    .service = entry->service, .instance = entry->instance, .state = state, .epoch = entry->epoch});
}

bool registry_message_says_gone(struct arena *arena, const char *text, size_t length, struct registry_entry *entry)
{
    struct message message;
    struct err err = {0};
    memset(entry, 0, sizeof *entry);
    if (!JSON_DECODE_LENIENT(arena, ((struct view){text, length}), MESSAGE_FIELDS, &message, &err))
        return false;
    entry->epoch = message.epoch;
    return strcmp(message.state, "gone") == 0 && copy(entry->service, sizeof entry->service, message.service) &&
           copy(entry->instance, sizeof entry->instance, message.instance);
}
