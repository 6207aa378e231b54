#include "depth_state.h"

enum trades_news trades_add(struct depth_trades *trades, const struct depth_trade *trade)
{
    const int64_t last = trades_last(trades);
    const bool hole = trade->number > last + 1;
    if (trade->number <= last)
        return TRADES_SAME;
    if (hole)
        trades->count = 0;
    if (trades->count == DEPTH_TRADES)
        memmove(&trades->items[0], &trades->items[1], --trades->count * sizeof trades->items[0]);
    trades->items[trades->count++] = *trade;
    return hole ? TRADES_ANOTHER : TRADES_MORE;
}

/* What `other` has from before the first of ours, as far as there is room. */
static void put_before(struct depth_trades *trades, const struct depth_trades *other)
{
    const int64_t first = trades->items[0].number;
    size_t older = 0;
    while (older < other->count && other->items[older].number < first)
        older++;
    const size_t room = DEPTH_TRADES - trades->count, more = older < room ? older : room;
    memmove(&trades->items[more], &trades->items[0], trades->count * sizeof trades->items[0]);
    memcpy(&trades->items[0], &other->items[older - more], more * sizeof trades->items[0]);
    trades->count += more;
}

enum trades_news trades_merge(struct depth_trades *trades, const struct depth_trades *other)
{
    enum trades_news news = TRADES_SAME;
    if (other->count == 0)
        return TRADES_SAME;
    if (trades->count > 0 && trades_last(other) >= trades->items[0].number - 1 &&
        other->items[0].number < trades->items[0].number)
        put_before(trades, other);
    for (size_t i = 0; i < other->count; i++) {
        const enum trades_news one = trades_add(trades, &other->items[i]);
        news = one > news ? one : news;
    }
    return news;
}
