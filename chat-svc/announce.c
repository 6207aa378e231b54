#include "announce.h"

#include "app.h"
#include "applied.h"
#include "mem.h"
#include "outbox.h"
#include "store_game.h"

enum { ARENA_BYTES = 64 * 1024 * 1024 };

struct announcing {
    const struct kafka_batch *batch;
    struct game_event *events; /* one per record */
    struct outbox_event *lines;
    size_t *from; /* lines of record i: from[i] to below from[i + 1] */
};

static bool write_all(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct announcing *work = payload;
    const size_t count = work->batch->count;
    size_t first;
    if (!applied_begin(tx, work->batch, &first, err))
        return false;
    for (size_t i = first; i < count; i++) {
        const struct game_event *event = &work->events[i];
        if (!store_game_add_companies(tx, event->market, event->companies, event->company_count, err))
            return false;
    }
    return outbox_add_all(tx, work->lines + work->from[first], work->from[count] - work->from[first], err) &&
           applied_end(tx, work->batch, err);
}

static struct outbox_event line_of(struct arena *arena, const struct command *command,
                                   const struct kafka_record *record)
{
    AUTO_STR payload;
    str_init(&payload);
    command_encode(&payload, command);
    return (struct outbox_event){
        .topic = TOPIC_CHAT_INBOUND,
        .key = command->room_id,
        .payload = arena_bytes(arena, payload.bytes, payload.length),
        .request_id = record->request_id,
        .traceparent = record->traceparent,
    };
}

bool announce_apply(void *payload, const struct kafka_batch *batch, struct err *err)
{
    const struct chat_app *app = payload;
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    const size_t lines_max = batch->count * ARRAY_LENGTH(((struct commands *)NULL)->items);
    struct announcing work = {
        .batch = batch,
        .events = arena_alloc(arena, (batch->count + 1) * sizeof *work.events),
        .lines = arena_alloc(arena, (lines_max + 1) * sizeof *work.lines),
        .from = arena_alloc(arena, (batch->count + 1) * sizeof *work.from),
    };
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct kafka_record *record = &batch->records[i];
        struct commands commands = {.count = 0};
        work.from[i] = count;
        if (!record->payload.bytes)
            continue;
        if (!game_event_decode(arena, record->payload, &work.events[i], err))
            return false;
        game_event_commands(arena, &work.events[i], &commands);
        for (size_t j = 0; j < commands.count; j++)
            work.lines[count++] = line_of(arena, &commands.items[j], record);
    }
    work.from[batch->count] = count;
    return pg_transaction(app->db, write_all, &work, err);
}
