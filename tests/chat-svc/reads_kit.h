/* reads_kit.h - for the tests of what is read: a schema of its own, and rooms as the owner leaves them, written here by
 * SQL. Small helpers for tests only. */
#ifndef MADANG_CHAT_READS_KIT_H
#define MADANG_CHAT_READS_KIT_H

#include "migrate.h"
#include "store_live.h"
#include "store_messages.h"
#include "store_rooms.h"
#include "store_search.h"
#include "test_store.h"
#include "tokens.h"

#include <inttypes.h>

extern const struct migration CHAT_MIGRATIONS[];

struct id {
    char text[UUID_TEXT_BYTES];
};

__attribute__((unused)) static struct pg_pool *database(void)
{
    static struct pg_pool *pool;
    if (!pool) {
        struct err err = {0};
        pool = test_pool("chat_reads", 4);
        if (!migrate_up(pool, CHAT_MIGRATIONS, &err)) {
            printf("migrate: %s %s\n", err.message, err.detail);
            exit(1);
        }
    }
    return pool;
}

__attribute__((unused)) static struct id new_id(void)
{
    struct id id;
    uuid_new(id.text);
    return id;
}

__attribute__((unused)) static struct id person(const char *nickname)
{
    const struct id id = new_id();
    (void)database();
    (void)test_sql(
        "INSERT INTO people (user_id, handle, nickname, role, account_version) VALUES ('%s', '%s', '%s', 'user', 1)",
        id.text, nickname, nickname);
    return id;
}

__attribute__((unused)) static struct id room(const char *kind)
{
    const struct id id = new_id();
    (void)database();
    (void)test_sql(
        "INSERT INTO rooms (id, kind, created_at, active_at) VALUES ('%s', '%s', clock_timestamp(), clock_timestamp())",
        id.text, kind);
    return id;
}

/* A member who has read up to `read_seq`. */
__attribute__((unused)) static void join(const struct id *in, const struct id *who, int64_t read_seq)
{
    (void)test_sql(
        "INSERT INTO members (room_id, user_id, joined_at, read_seq) VALUES ('%s', '%s', clock_timestamp(), %" PRId64
        ");"
        "UPDATE rooms SET member_count = member_count + 1 WHERE id = '%s'",
        in->text, who->text, read_seq, in->text);
}

/* The next message of the room, with its search tokens; its sequence. */
__attribute__((unused)) static int64_t say(const struct id *in, const struct id *who, const char *content)
{
    const struct id id = new_id();
    const int64_t seq = atoll(test_sql(
        "UPDATE rooms SET last_seq = last_seq + 1, rev = rev + 1, active_at = clock_timestamp() WHERE id = '%s'"
        " RETURNING last_seq",
        in->text));
    (void)test_sql(
        "INSERT INTO messages (room_id, seq, rev, id, client_id, sender_id, kind, content, at)"
        " SELECT id, last_seq, rev, '%s', '%s', '%s', 'text', '%s', clock_timestamp() FROM rooms WHERE id = '%s'",
        id.text, id.text, who->text, content, in->text);
    AUTO(arena) arena = arena_open(1 << 20);
    size_t count;
    const int64_t *tokens = tokens_of(arena, in->text, content, &count);
    AUTO_STR list;
    str_init(&list);
    for (size_t i = 0; i < count; i++)
        str_printf(&list, "%s%" PRId64, i ? "," : "", tokens[i]);
    (void)test_sql("INSERT INTO message_search VALUES ('%s', %" PRId64 ", '{%s}')", in->text, seq,
                   list.length ? list.bytes : "");
    return seq;
}

/* An edit, as the owner leaves it. */
__attribute__((unused)) static void edit(const struct id *in, int64_t seq, const char *content)
{
    (void)test_sql("UPDATE rooms SET rev = rev + 1 WHERE id = '%s'", in->text);
    (void)test_sql(
        "UPDATE messages SET content = '%s', edited_at = now(), rev = (SELECT rev FROM rooms WHERE id = '%s')"
        " WHERE room_id = '%s' AND seq = %" PRId64,
        content, in->text, in->text, seq);
}

#endif
