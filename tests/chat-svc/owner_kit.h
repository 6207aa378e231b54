/* owner_kit.h - for the tests of the owner: a schema, a topic for its events, people by events as in life, and batches
 * of commands. Small helpers for tests only. */
#ifndef MADANG_CHAT_OWNER_KIT_H
#define MADANG_CHAT_OWNER_KIT_H

#include "clock.h"
#include "copies.h"
#include "metrics.h"
#include "migrate.h"
#include "owner_internal.h"
#include "presence_copy.h"
#include "test_kafka.h"
#include "test_store.h"
#include "wire.h"

extern const struct migration CHAT_MIGRATIONS[];

enum { KIT_BATCH_MAX = 1000, KIT_PARTITIONS = 3 };

struct kit {
    struct chat_config config;
    struct chat_app app;
    const char *events_topic;
    struct test_reader *events;
    int64_t offset; /* of the next command */
    int64_t now_ms; /* the log's time */
    int32_t partition;
    /* the batch being made */
    struct arena *arena;
    struct arena *ids; /* outlive the batches */
    struct kafka_record records[KIT_BATCH_MAX];
    size_t count;
};

static void kit_stop_at(bool ok, const char *what, const struct err *err)
{
    if (ok)
        return;
    printf("%s: %s %s %s\n", what, err->problem ? err->problem->code : "", err->message, err->detail);
    exit(1);
}

__attribute__((unused)) static struct owner *kit_owner(struct kit *kit)
{
    struct err err = {0};
    struct owner *owner = owner_open(kit->app.producer, &err);
    kit_stop_at(owner != NULL, "owner", &err);
    owner_tell_on(owner, kit->events_topic);
    return owner;
}

/* One for the program: stores are shared, rooms and people are each test's own. */
__attribute__((unused)) static struct kit *kit_open(void)
{
    static struct kit kit;
    if (kit.app.db)
        return &kit;
    struct err err = {0};
    kit.config.friends_only = true;
    kit.app.config = &kit.config;
    kit.app.db = test_pool("chat", 6);
    kit_stop_at(migrate_up(kit.app.db, CHAT_MIGRATIONS, &err), "migrate", &err);
    kit.app.producer = kafka_producer_open(test_env("KAFKA_BROKERS"), "test", &err);
    kit_stop_at(kit.app.producer != NULL, "producer", &err);
    kit.app.presence = presence_open();
    kit.events_topic = test_topic("chat.events", KIT_PARTITIONS, false);
    kit.events = test_reader_open(kit.events_topic, KIT_PARTITIONS);
    kit.app.owner = kit_owner(&kit);
    kit.now_ms = clock_now_ms() + 1000; /* after the room for everybody was made: in a room time never goes backwards */
    kit.arena = arena_open(64 << 20);
    kit.ids = arena_open(64 << 20);
    return &kit;
}

/* ---- people ---- */

static bool kit_copy(struct kit *kit, bool (*apply)(void *, const struct kafka_batch *, struct err *),
                     const char *topic, const char *key, const char *json)
{
    static int64_t offset;
    struct err err = {0};
    const struct kafka_record record = {.offset = offset++, .key = view_of(key), .payload = view_of(json)};
    const struct kafka_batch batch = {.topic = topic, .records = &record, .count = 1};
    return test_check(apply(&kit->app, &batch, &err), __FILE__, __LINE__, "%s: %s %s", topic, err.message, err.detail);
}

__attribute__((unused)) static void kit_account(struct kit *kit, const char *user_id, const char *nickname,
                                                const char *role, const char *locale, bool withdrawn, int version)
{
    const char *json = arena_printf(kit->arena,
                                    "{\"v\":1,\"kind\":\"account\",\"user_id\":\"%s\",\"handle\":\"h\",\"nickname\":\"%"
                                    "s\",\"role\":\"%s\",\"locale\":\"%s\","
                                    "\"withdrawn\":%s,\"version\":%d}",
                                    user_id, nickname, role, locale, withdrawn ? "true" : "false", version);
    (void)kit_copy(kit, copies_accounts, "accounts", user_id, json);
}

__attribute__((unused)) static const char *kit_person(struct kit *kit, const char *nickname)
{
    char id[UUID_TEXT_BYTES];
    uuid_new(id);
    const char *copy = arena_text(kit->ids, id);
    kit_account(kit, copy, nickname, "user", "ko", false, 1);
    return copy;
}

/* friend, and who blocks: NULL, or one of the two. */
__attribute__((unused)) static void kit_relation(struct kit *kit, const char *one, const char *other, bool friends,
                                                 const char *blocker)
{
    static int version;
    const char *a = strcmp(one, other) < 0 ? one : other, *b = a == one ? other : one;
    const char *blocked_by = blocker ? arena_printf(kit->arena, "\"%s\"", blocker) : "";
    const char *json = arena_printf(
        kit->arena,
        "{\"v\":1,\"kind\":\"relation\",\"a\":\"%s\",\"b\":\"%s\",\"friend\":%s,\"blocked_by\":[%s],\"version\":%d}", a,
        b, friends ? "true" : "false", blocked_by, ++version);
    (void)kit_copy(kit, copies_relations, "relations", arena_printf(kit->arena, "%s:%s", a, b), json);
}

__attribute__((unused)) static void kit_all_friends(struct kit *kit, const char *const *people, int count)
{
    for (int i = 0; i < count; i++)
        for (int j = i + 1; j < count; j++)
            kit_relation(kit, people[i], people[j], true, NULL);
}

/* From now on, as presence.changes tells it. */
__attribute__((unused)) static void kit_online(struct kit *kit, const char *user_id)
{
    const char *json = arena_printf(kit->arena,
                                    "{\"v\":1,\"id\":\"%s\",\"at\":\"2026-01-31T23:59:59.123Z\",\"kind\":\"presence\","
                                    "\"user_id\":\"%s\",\"online\":true,"
                                    "\"visible\":true,\"show_last_seen\":true,\"last_seen\":null,\"n\":1}",
                                    user_id, user_id);
    const struct kafka_record record = {.key = view_of(user_id), .payload = view_of(json)};
    char heard[UUID_TEXT_BYTES];
    struct presence_state now;
    EXPECT(presence_take(kit->app.presence, &record, heard, NULL, &now) && now.online);
}

__attribute__((unused)) static const char *kit_id(struct kit *kit)
{
    char id[UUID_TEXT_BYTES];
    uuid_new(id);
    return arena_text(kit->ids, id);
}

/* ---- commands ---- */

/* Into the batch; the corr is "c<offset>". */
__attribute__((unused)) static const char *kit_add(struct kit *kit, const struct command *command)
{
    AUTO_STR payload;
    str_init(&payload);
    command_encode(&payload, command);
    struct kafka_record *record = &kit->records[kit->count++];
    *record = (struct kafka_record){
        .offset = kit->offset,
        .timestamp_ms = kit->now_ms,
        .key = view_of(command->room_id),
        .payload = {arena_bytes(kit->arena, payload.bytes, payload.length), payload.length},
        .request_id = "req-1",
        .corr = arena_printf(kit->arena, "c%lld", (long long)kit->offset),
    };
    kit->offset++;
    return record->corr;
}

__attribute__((unused)) static struct kafka_batch kit_batch(const struct kit *kit)
{
    return (struct kafka_batch){
        .topic = "chat.inbound", .partition = kit->partition, .records = kit->records, .count = kit->count};
}

__attribute__((unused)) static bool kit_apply(struct kit *kit)
{
    struct err err = {0};
    const struct kafka_batch batch = kit_batch(kit);
    const bool done = owner_apply(&kit->app, &batch, &err);
    kit->count = 0;
    return test_check(done, __FILE__, __LINE__, "apply: %s %s %s", err.problem ? err.problem->code : "", err.message,
                      err.detail);
}

/* The event that answers this corr; NULL within some seconds means that there is none. */
__attribute__((unused)) static bool kit_answer(struct kit *kit, const char *corr, struct chat_event *out)
{
    const int64_t until_ms = test_now_ms() + 10000;
    const char *wanted = arena_printf(kit->arena, "corr=%s\n", corr);
    size_t seen = 0;
    do {
        const size_t there = test_reader_count(kit->events);
        for (; seen < there; seen++) {
            const struct test_record *record = test_reader_at(kit->events, seen);
            struct err err = {0};
            if (strstr(record->headers, wanted))
                return event_decode(kit->arena, view_of(record->payload), out, &err);
        }
    } while (test_now_ms() < until_ms);
    *out = (struct chat_event){0};
    return test_check(false, __FILE__, __LINE__, "no answer to %s", corr);
}

/* One command, applied at once; "" or the code of the refusal. */
__attribute__((unused)) static const char *kit_do(struct kit *kit, const struct command *command,
                                                  struct chat_event *out)
{
    struct chat_event mine, *event = out ? out : &mine;
    const char *corr = kit_add(kit, command);
    if (!kit_apply(kit) || !kit_answer(kit, corr, event))
        return "(none)";
    return event->code ? event->code : "";
}

__attribute__((unused)) static const char *kit_group(struct kit *kit, const char *const *people, int count)
{
    const char *room = kit_id(kit), *others[GROUP_MEMBERS_MAX];
    for (int i = 1; i < count; i++)
        others[i - 1] = people[i];
    const struct command command = {.kind = COMMAND_CREATE,
                                    .room_id = room,
                                    .user_id = people[0],
                                    .room_kind = "group",
                                    .user_ids = {others, (size_t)count - 1}};
    EXPECT_TEXT("", kit_do(kit, &command, NULL));
    return room;
}

__attribute__((unused)) static struct command kit_send(struct kit *kit, const char *room, const char *user,
                                                       const char *content)
{
    static int number;
    return (struct command){.kind = COMMAND_SEND,
                            .room_id = room,
                            .user_id = user,
                            .client_id = arena_printf(kit->arena, "k%d", ++number),
                            .message_id = kit_id(kit),
                            .message_kind = "text",
                            .content = content};
}

/* Round trips of this process to PostgreSQL. */
__attribute__((unused)) static int64_t kit_trips(void)
{
    AUTO_STR out;
    str_init(&out);
    metrics_print(&out);
    const char *line = strstr(out.bytes, "madang_pg_query_seconds_count ");
    return line ? atoll(line + strlen("madang_pg_query_seconds_count ")) : -1;
}

__attribute__((unused)) static int64_t kit_number(const char *sql, const char *a, const char *b)
{
    char text[1024];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(text, sizeof text, sql, a, b);
#pragma GCC diagnostic pop
    return atoll(test_sql("%s", text));
}

#endif
