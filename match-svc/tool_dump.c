#include "describe.h"
#include "kafka.h"
#include "log.h"
#include "mem.h"
#include "tools.h"
#include "topics.h"

#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { READ_MS = 10000, ARENA_BYTES = 64 << 20 };

struct dump_config {
    const char *brokers;
};

static const struct setting DUMP_SETTINGS[] = {
    SETTING_TEXT(struct dump_config, brokers, "KAFKA_BROKERS", "127.0.0.1:9092", "Kafka brokers, host:port,..."),
    {0},
};

static void print_head(const struct kafka_record *record)
{
    printf("{\"offset\":%" PRId64 ",\"at_ms\":%" PRId64, record->offset, record->timestamp_ms);
    if (record->corr)
        printf(",\"corr\":\"%s\"", record->corr);
    if (record->users)
        printf(",\"users\":\"%s\"", record->users);
}

static void print_unreadable(const struct kafka_record *record, const struct err *err)
{
    print_head(record);
    printf(",\"unreadable\":\"%s\"}\n", err->message);
}

static bool dump_commands(void *payload, const struct kafka_batch *batch, struct err *err)
{
    struct str *line = payload;
    (void)err;
    for (size_t i = 0; i < batch->count; i++) {
        struct market_command command;
        struct err why = {0};
        if (!market_command_decode(batch->records[i].payload, &command, &why)) {
            print_unreadable(&batch->records[i], &why);
            continue;
        }
        str_clear(line);
        describe_command(line, &command);
        print_head(&batch->records[i]);
        printf(",\"command\":%s}\n", line->bytes);
    }
    return true;
}

static void dump_record(const struct kafka_record *record, const struct market_events *events, struct str *line)
{
    char market[UUID_TEXT_BYTES];
    uuid_format(&events->market, market);
    for (uint32_t i = 0; i < events->count; i++) {
        str_clear(line);
        describe_event(line, &events->events[i]);
        print_head(record);
        printf(",\"market\":\"%s\",\"command_offset\":%" PRId64 ",\"event\":%s}\n", market, events->command_offset,
               line->bytes);
    }
}

static bool dump_events(void *payload, const struct kafka_batch *batch, struct err *err)
{
    (void)err;
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    for (size_t i = 0; i < batch->count; i++) {
        struct market_events events;
        struct err why = {0};
        arena_reset(arena);
        if (market_events_decode(arena, batch->records[i].payload, &events, &why))
            dump_record(&batch->records[i], &events, payload);
        else
            print_unreadable(&batch->records[i], &why);
    }
    return true;
}

static bool parse_number(const char *text, int64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return !errno && *text && !*end && *number >= 0;
}

int tool_dump(const char *topic, const char *partition, const char *from, const char *to)
{
    struct dump_config config;
    struct err err = {0};
    int64_t part, first = 0, end = INT64_MAX;
    const bool commands = strcmp(topic, TOPIC_MARKET_COMMANDS) == 0;
    if ((!commands && strcmp(topic, TOPIC_MARKET_EVENTS) != 0) || !parse_number(partition, &part) || part > INT32_MAX ||
        (from && !parse_number(from, &first)) || (to && !parse_number(to, &end))) {
        (void)fprintf(stderr, "usage: match-svc --dump market.commands|market.events <partition> [from [to]]\n");
        return 2;
    }
    AUTO_STR line = {0};
    str_init(&line);
    if (config_load(DUMP_SETTINGS, &config, &err) &&
        kafka_read(config.brokers, topic, (int32_t)part, first, end, READ_MS, commands ? dump_commands : dump_events,
                   &line, &err))
        return 0;
    (void)fprintf(stderr, "match-svc: %s %s\n", err.message, err.detail);
    return 1;
}
