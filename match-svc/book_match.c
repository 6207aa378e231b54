#include "book_internal.h"

static bool reaches(const struct order *order, int64_t price)
{
    return order->type == TYPE_MARKET || (order->side == SIDE_BUY ? price <= order->price : price >= order->price);
}

bool book_crosses(const struct book *book, const struct order *order)
{
    const int32_t best = book->companies[order->company].sides[!order->side].best;
    return best >= 0 && reaches(order, price_of(book, best));
}

struct probe book_probe(const struct book *book, const struct order *order)
{
    const struct company *company = &book->companies[order->company];
    struct probe probe = {0};
    int64_t left = order_remaining(order);
    int fills = 0;
    for (int32_t at = company->sides[!order->side].best; at >= 0 && left > 0 && reaches(order, price_of(book, at));
         at = levels_next(book, company, !order->side, at)) {
        for (uint32_t ref = company->levels[at].first; ref != NONE && left > 0; ref = order_at(book, ref)->next) {
            const struct order *maker = order_at(book, ref);
            probe.met_own = maker->account == order->account;
            if (probe.met_own || fills++ == MARKET_FILLS_MAX)
                return probe;
            const int64_t quantity = left < order_remaining(maker) ? left : order_remaining(maker);
            left -= quantity;
            probe.quantity += quantity;
            probe.cost += quantity * price_of(book, at);
        }
    }
    return probe;
}

/* Cash one way, shares the other. What the maker gives was reserved, what the taker gives is available: it was checked
 * for the taker's whole quantity. */
static void exchange(struct book *book, const struct order *maker, const struct order *taker, int64_t quantity,
                     int64_t cost)
{
    struct account *rester = account_at(book, maker->account), *newcomer = account_at(book, taker->account);
    const int company = maker->company;
    if (maker->side == SIDE_BUY) {
        rester->cash_reserved -= cost;
        rester->shares[company].available += quantity;
        newcomer->shares[company].available -= quantity;
        newcomer->cash += cost;
    } else {
        rester->shares[company].reserved -= quantity;
        rester->cash += cost;
        newcomer->cash -= cost;
        newcomer->shares[company].available += quantity;
    }
    account_changed(book, rester, maker->account);
    account_changed(book, newcomer, taker->account);
}

static void tell_trade(struct book *book, const struct order *maker, const struct order *taker, int64_t quantity)
{
    const struct company *company = &book->companies[maker->company];
    struct market_event event;
    event.kind = MARKET_TRADE;
    event.trade.company = maker->company;
    event.trade.taker_side = taker->side;
    event.trade.number = company->trades;
    event.trade.price = maker->price;
    event.trade.quantity = quantity;
    event.trade.maker_order = maker->id;
    event.trade.taker_order = taker->id;
    event.trade.maker = account_at(book, maker->account)->id;
    event.trade.taker = account_at(book, taker->account)->id;
    event.trade.maker_remaining = order_remaining(maker);
    event.trade.taker_remaining = order_remaining(taker);
    book_tell(book, &event);
}

static void trade(struct book *book, uint32_t maker_ref, struct order *taker)
{
    struct order *maker = order_at(book, maker_ref);
    struct company *company = &book->companies[maker->company];
    const int64_t price = maker->price;
    const int64_t quantity =
        order_remaining(maker) < order_remaining(taker) ? order_remaining(maker) : order_remaining(taker);
    const int64_t cost = quantity * price;
    const bool whole = quantity == order_remaining(maker);
    if (whole)
        book_unlink(book, maker_ref);
    else
        levels_reduce(book, maker, quantity);
    exchange(book, maker, taker, quantity, cost);
    maker->filled += quantity;
    taker->filled += quantity;
    maker->paid += cost;
    taker->paid += cost;
    company->last_price = price;
    company->volume += quantity;
    if (!company->trades || price > company->high)
        company->high = price;
    if (!company->trades || price < company->low)
        company->low = price;
    company->trades++;
    order_changed(book, maker, maker_ref);
    tell_trade(book, maker, taker, quantity);
    if (whole) {
        maker->reason = REASON_FILLED;
        book_tell_order(book, MARKET_DONE, maker, (struct tale){.reason = REASON_FILLED});
    }
}

enum market_reason book_match(struct book *book, uint32_t ref)
{
    struct order *taker = order_at(book, ref);
    struct company *company = &book->companies[taker->company];
    const struct occupancy *side = &company->sides[!taker->side];
    for (int fills = 0; order_remaining(taker) > 0 && side->best >= 0; fills++) {
        if (!reaches(taker, price_of(book, side->best)))
            break;
        const uint32_t maker = company->levels[side->best].first;
        if (order_at(book, maker)->account == taker->account)
            return REASON_SELF_TRADE;
        if (fills == MARKET_FILLS_MAX)
            return REASON_UNFILLED;
        trade(book, maker, taker);
    }
    if (order_remaining(taker) == 0)
        return REASON_FILLED;
    return taker->type == TYPE_LIMIT && taker->tif == TIF_GTC ? REASON_NONE : REASON_UNFILLED;
}
