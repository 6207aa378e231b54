/* store_kit.h - for the tests of the store: a schema of their own, and people who come by events, as in life.
 * Small helpers for tests only. */
#ifndef MADANG_USER_STORE_KIT_H
#define MADANG_USER_STORE_KIT_H

#include "migrate.h"
#include "store.h"
#include "test_store.h"

extern const struct migration USER_MIGRATIONS[];

__attribute__((unused)) static struct pg_pool *database(void)
{
    static struct pg_pool *pool;
    if (!pool) {
        struct err err = {0};
        pool = test_pool("user", 56);
        if (!migrate_up(pool, USER_MIGRATIONS, &err)) {
            printf("migrate: %s %s\n", err.message, err.detail);
            exit(1);
        }
    }
    return pool;
}

/* ---- people by events, as in life ---- */

static bool apply(const struct account_copy *copies, size_t count, int64_t offset, struct err *err)
{
    struct kafka_record records[64] = {{0}};
    for (size_t i = 0; i < count; i++)
        records[i].offset = offset + (int64_t)i;
    const struct kafka_batch batch = {.topic = "accounts", .partition = 0, .records = records, .count = count};
    AUTO(arena) arena = arena_open(1 << 20);
    return store_apply_accounts(database(), arena, &batch, copies, err);
}

static int64_t next_offset;

__attribute__((unused)) static struct account_copy account(const char *id, const char *name, int64_t version)
{
    return (struct account_copy){.user_id = id,
                                 .handle = name,
                                 .nickname = name,
                                 .email = "",
                                 .role = "user",
                                 .locale = "ko",
                                 .created_at = "2026-01-02T03:04:05.678Z",
                                 .version = version};
}

static bool take(const struct account_copy *copy)
{
    struct err err = {0};
    const bool good = apply(copy, 1, next_offset++, &err);
    return test_check(good, __FILE__, __LINE__, "apply: %s %s", err.message, err.detail);
}

__attribute__((unused)) static struct identity someone(const char *name)
{
    struct identity identity = {.role = ROLE_USER};
    uuid_new(identity.user_id);
    uuid_new(identity.session_id);
    (void)snprintf(identity.handle, sizeof identity.handle, "%s", name);
    (void)snprintf(identity.nickname, sizeof identity.nickname, "%s", name);
    const struct account_copy copy = account(identity.user_id, name, 1);
    (void)take(&copy);
    return identity;
}

/* "" or the code of the refusal. */
__attribute__((unused)) static const char *act_within(const struct identity *caller, enum relation_action action,
                                                      const struct identity *target, int64_t friends_max,
                                                      struct pair_change *out)
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct pair_change change = {
        .caller = caller, .target = target->user_id, .action = action, .friends_max = friends_max, .arena = arena};
    struct err err = {0};
    const bool good = store_change_pair(database(), &change, &err);
    if (out)
        *out = change;
    return good ? "" : err.problem->code;
}

__attribute__((unused)) static const char *act(const struct identity *caller, enum relation_action action,
                                               const struct identity *target, struct pair_change *out)
{
    return act_within(caller, action, target, 0, out);
}

__attribute__((unused)) static int64_t count(const char *format, const char *a, const char *b)
{
    char sql[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(sql, sizeof sql, format, a, b);
#pragma GCC diagnostic pop
    return atoll(test_sql("%s", sql));
}

#endif
