/* Any bytes as a command or an event of chat (the first byte says which): decoding never crashes, and what is taken is
 * written and taken again, the same. */
#include "../../chat-svc/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static bool same(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static void same_texts(const struct texts *a, const struct texts *b)
{
    must(a->count == b->count);
    for (size_t i = 0; i < a->count; i++)
        must(same(a->items[i], b->items[i]));
}

static void try_command(struct arena *arena, struct view bytes)
{
    struct command first, second;
    struct err err = {0};
    if (!command_decode(arena, bytes, &first, &err)) {
        must(err.problem == &ERR_BAD_INPUT);
        return;
    }
    AUTO_STR out;
    str_init(&out);
    command_encode(&out, &first);
    must(out.length > COMMAND_BYTES_MAX || command_decode(arena, (struct view){out.bytes, out.length}, &second, &err));
    if (out.length > COMMAND_BYTES_MAX)
        return;
    must(first.kind == second.kind && same(first.room_id, second.room_id) && same(first.user_id, second.user_id));
    must(same(first.room_kind, second.room_kind) && same(first.title, second.title) &&
         same(first.target, second.target));
    must(same(first.client_id, second.client_id) && same(first.message_id, second.message_id));
    must(same(first.message_kind, second.message_kind) && same(first.content, second.content));
    must(same(first.file_id, second.file_id) && same(first.emoji, second.emoji));
    must(first.reply_to == second.reply_to && first.seq == second.seq && first.mark_count == second.mark_count);
    for (size_t i = 0; i < first.mark_count; i++)
        must(first.marks[i].seq == second.marks[i].seq && same(first.marks[i].user_id, second.marks[i].user_id));
    same_texts(&first.user_ids, &second.user_ids);
}

static void try_event(struct arena *arena, struct view bytes)
{
    struct chat_event first, second;
    struct err err = {0};
    if (!event_decode(arena, bytes, &first, &err)) {
        must(err.problem == &ERR_BAD_INPUT);
        return;
    }
    AUTO_STR out;
    str_init(&out);
    event_encode(&out, &first);
    if (out.length > EVENT_BYTES_MAX)
        return;
    must(event_decode(arena, (struct view){out.bytes, out.length}, &second, &err));
    must(first.kind == second.kind && same(first.room_id, second.room_id) && same(first.room_kind, second.room_kind));
    must(first.rev == second.rev && first.seq == second.seq && first.last_seq == second.last_seq);
    must(same(first.by, second.by) && same(first.manager, second.manager) && same(first.sender_id, second.sender_id));
    must(same(first.room, second.room) && same(first.message, second.message) && same(first.emoji, second.emoji));
    must(first.status == second.status && first.retry_after_s == second.retry_after_s);
    must(same(first.code, second.code) && same(first.detail, second.detail) && first.read_count == second.read_count);
    for (size_t i = 0; i < first.read_count; i++)
        must(first.reads[i].from == second.reads[i].from && first.reads[i].to == second.reads[i].to &&
             same(first.reads[i].user_id, second.reads[i].user_id));
    same_texts(&first.user_ids, &second.user_ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct arena *arena = arena_open(64 << 20);
    const struct view bytes = {(const char *)data + 1, size - 1};
    (data[0] == 'c' ? try_command : try_event)(arena, bytes);
    arena_release(&arena);
    return 0;
}
