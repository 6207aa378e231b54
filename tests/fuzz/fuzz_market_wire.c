/* Any bytes as a command or a record of events of a market (the first byte says which): decoding never crashes, and
 * what is taken is written as the same bytes. */
#include "market.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void same_bytes(struct view in, const struct str *out)
{
    must(in.length == out->length && memcmp(in.bytes, out->bytes, in.length) == 0);
}

static void try_command(struct view bytes)
{
    struct market_command command;
    struct err err = {0};
    if (!market_command_decode(bytes, &command, &err)) {
        must(err.problem == &ERR_BAD_INPUT);
        return;
    }
    AUTO_STR out;
    str_init(&out);
    market_command_encode(&out, &command);
    same_bytes(bytes, &out);
}

static void try_events(struct view bytes)
{
    struct arena *arena = arena_open(64 << 20);
    struct market_events events;
    struct err err = {0};
    if (market_events_decode(arena, bytes, &events, &err)) {
        AUTO_STR out;
        str_init(&out);
        market_events_begin(&out, &events.market, events.command_offset, events.at_ms, events.first_seq);
        for (uint32_t i = 0; i < events.count; i++) {
            must(events.events[i].seq == events.first_seq + i);
            market_events_add(&out, &events.events[i]);
        }
        same_bytes(bytes, &out);
    } else {
        must(err.problem == &ERR_BAD_INPUT);
    }
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct view bytes = {(const char *)data + 1, size - 1};
    (data[0] == 'c' ? try_command : try_events)(bytes);
    return 0;
}
