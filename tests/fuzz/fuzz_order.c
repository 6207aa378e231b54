/* Any bytes as a header Prefer, a time of a query, or the body of an order or an amend (the first byte says which):
 * nothing crashes, and what is taken keeps within its bounds. */
#include "../../order-svc/codec.h"
#include "../../order-svc/entry.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void try_prefer(const char *text)
{
    const struct entry_wish wish = entry_wish(text);
    must(wish.wait_ms >= 0 && wish.wait_ms <= ENTRY_WAIT_MAX_MS && (wish.wait_ms > 0 || wish.async));
}

static void try_time(const char *text)
{
    int64_t at_ms;
    must(!codec_time(text, &at_ms) || (at_ms >= 0 && at_ms < INT64_C(253402300800000))); /* the year 10000 */
}

static void try_order(struct arena *arena, struct view body)
{
    struct order_wish wish;
    struct market_order order;
    struct err err = {0};
    if (!codec_order_wish(arena, body, &wish, &order, &err)) {
        must(err.problem == &ERR_BAD_INPUT);
        return;
    }
    must(order.quantity >= 1 && order.quantity <= MARKET_QUANTITY_MAX && order.side <= SIDE_SELL);
    must(order.type == TYPE_MARKET ? order.price == 0 && order.tif != TIF_GTC : order.price != 0);
    must(order.client_order_id.length <= MARKET_CLIENT_ID_MAX && !order.bot);
    /* What was taken is what a command can carry. */
    struct market_command command = {.kind = MARKET_PLACE, .order = order}, read;
    AUTO_STR bytes;
    str_init(&bytes);
    market_command_encode(&bytes, &command);
    must(market_command_decode((struct view){bytes.bytes, bytes.length}, &read, &err));
}

static void try_amend(struct arena *arena, struct view body)
{
    struct amend_wish wish;
    struct err err = {0};
    if (codec_amend_wish(arena, body, &wish, &err))
        must(wish.price >= 0 && wish.quantity >= 0 && wish.quantity <= MARKET_QUANTITY_MAX &&
             (wish.price || wish.quantity));
    else
        must(err.problem == &ERR_BAD_INPUT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct arena *arena = arena_open(64 << 20);
    const char *text = arena_bytes(arena, data + 1, size - 1);
    const struct view body = {text, size - 1};
    switch (data[0]) {
    case 'p':
        try_prefer(text);
        break;
    case 't':
        try_time(text);
        break;
    case 'o':
        try_order(arena, body);
        break;
    default:
        try_amend(arena, body);
    }
    arena_release(&arena);
    return 0;
}
