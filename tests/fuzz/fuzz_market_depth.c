/* Any bytes as a record of market.depth. What is taken is a state that viewers can be shown: both sides in order,
 * trades without holes; and it travels unchanged. */
#include "depth_state.h"
#include "feed_tell.h"
#include "json_check.h"
#include "market.h"
#include "mem.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_side(const struct depth_side *side, bool falling)
{
    must(side->count <= DEPTH_LEVELS);
    for (size_t i = 0; i < side->count; i++) {
        const struct depth_level *level = &side->levels[i];
        must(level->price > 0 && level->quantity > 0);
        must(i == 0 || (falling ? level->price < level[-1].price : level->price > level[-1].price));
    }
}

static void check_state(const struct depth_state *state)
{
    check_side(&state->bids, true);
    check_side(&state->asks, false);
    must(state->trades.count <= DEPTH_TRADES && state->seq > 0 && state->initial_price > 0 &&
         state->phase < DEPTH_PHASES && state->index >= 0 && state->index < MARKET_COMPANIES_MAX);
    for (size_t i = 0; i < state->trades.count; i++)
        must(state->trades.items[i].taker_side <= SIDE_SELL &&
             (i == 0 || state->trades.items[i].number == state->trades.items[i - 1].number + 1));
}

static void check_frames(const struct depth_state *state)
{
    static const struct depth_state nothing;
    AUTO_STR text = {0};
    struct json_top top;
    struct err err = {0};
    tell_book_snapshot(&text, state, state->seq);
    must(json_check((struct view){text.bytes, text.length}, &top, &err));
    str_clear(&text);
    if (tell_book_delta(&text, &nothing, 1, state))
        must(json_check((struct view){text.bytes, text.length}, &top, &err));
    str_clear(&text);
    tell_ticker(&text, state, true);
    must(json_check((struct view){text.bytes, text.length}, &top, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct depth_state state = {.seq = 0}, again = {.seq = 0};
    struct err err = {0};
    if (!depth_decode((struct view){(const char *)data, size}, &state, &err)) {
        must(err_is(&err, &ERR_BAD_INPUT));
        return 0;
    }
    AUTO_STR first = {0}, second = {0};
    check_state(&state);
    check_frames(&state);
    depth_encode(&first, &state);
    must(depth_decode((struct view){first.bytes, first.length}, &again, &err));
    again.trades = state.trades;
    depth_encode(&second, &again);
    must(first.length == second.length);
    return 0;
}
