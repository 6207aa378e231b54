#include "book_internal.h"

/* ---- queue and account's list ---- */

void book_link(struct book *book, uint32_t ref)
{
    struct order *order = order_at(book, ref);
    struct account *account = account_at(book, order->account);
    order->level = level_of(book, order->price);
    levels_add(book, order, ref);
    order->own_next = NONE;
    order->own_prev = account->own_last;
    if (account->own_last == NONE)
        account->own_first = ref;
    else
        order_at(book, account->own_last)->own_next = ref;
    account->own_last = ref;
    account->own_count++;
}

void book_unlink(struct book *book, uint32_t ref)
{
    struct order *order = order_at(book, ref);
    struct account *account = account_at(book, order->account);
    levels_remove(book, order);
    if (order->own_prev == NONE)
        account->own_first = order->own_next;
    else
        order_at(book, order->own_prev)->own_next = order->own_next;
    if (order->own_next == NONE)
        account->own_last = order->own_prev;
    else
        order_at(book, order->own_next)->own_prev = order->own_prev;
    account->own_count--;
}

/* ---- what is checked, for a new order and for one that changes ---- */

static enum market_reason price_refusal(const struct book *book, const struct order *order)
{
    if (order->type == TYPE_MARKET)
        return order->price == 0 ? REASON_NONE : REASON_BAD_PRICE;
    if (order->price < book->price_min || order->price > book->price_max)
        return REASON_BAD_PRICE;
    return order->price % book->tick ? REASON_BAD_TICK : REASON_NONE;
}

/* A product with the highest price that fits means that no sum over the order's fills can overflow. */
static enum market_reason quantity_refusal(const struct book *book, const struct order *order)
{
    int64_t most;
    if (order->quantity < 1 || order->quantity > MARKET_QUANTITY_MAX || order->quantity <= order->filled)
        return REASON_BAD_QUANTITY;
    return __builtin_mul_overflow(order->quantity, book->price_max, &most) ? REASON_OVERFLOW : REASON_NONE;
}

/* freed: what the order has reserved so far and would give back (cash or shares). */
static enum market_reason funds_refusal(const struct book *book, const struct order *order, int64_t freed)
{
    const struct account *account = account_at(book, order->account);
    if (order->side == SIDE_SELL)
        return account->shares[order->company].available + freed < order_remaining(order) ? REASON_INSUFFICIENT_SHARES
                                                                                          : REASON_NONE;
    const int64_t need =
        order->type == TYPE_MARKET ? book_probe(book, order).cost : order->price * order_remaining(order);
    return account->cash + freed < need ? REASON_INSUFFICIENT_CASH : REASON_NONE;
}

static bool too_large(const struct book *book, const struct order *order, int64_t *limit)
{
    const int64_t there = book->companies[order->company].sides[!order->side].quantity;
    if (!book->size_rule || order->bot || order_remaining(order) < there)
        return false;
    *limit = there > 0 ? there - 1 : 0;
    return true;
}

static bool never_rests(const struct order *order)
{
    return order->type == TYPE_MARKET || order->tif != TIF_GTC;
}

static enum market_reason refusal_of(const struct book *book, const struct order *order, int64_t freed, int64_t *limit)
{
    const enum market_reason price = price_refusal(book, order);
    if (price != REASON_NONE)
        return price;
    const enum market_reason quantity = quantity_refusal(book, order);
    if (quantity != REASON_NONE)
        return quantity;
    if (order->post_only && never_rests(order))
        return REASON_WOULD_CROSS;
    const enum market_reason funds = funds_refusal(book, order, freed);
    if (funds != REASON_NONE)
        return funds;
    if (too_large(book, order, limit))
        return REASON_TOO_LARGE;
    return order->post_only && book_crosses(book, order) ? REASON_WOULD_CROSS : REASON_NONE;
}

/* ---- place ---- */

static void end(struct book *book, struct order *order, enum market_reason reason)
{
    order->reason = (uint8_t)reason;
    book_tell_order(book, MARKET_DONE, order, (struct tale){.reason = reason});
}

/* What the order takes at once, and then its end or its rest. */
static void work(struct book *book, uint32_t ref)
{
    struct order *order = order_at(book, ref);
    const enum market_reason reason = book_match(book, ref);
    if (reason != REASON_NONE) {
        end(book, order, reason);
        return;
    }
    order->priority = ++book->priority;
    accounts_reserve(book, order, order_remaining(order));
    book_link(book, ref);
}

/* The order, or an order by the same client_order_id, is known. */
static bool repeated(struct book *book, const struct market_order *wish, uint32_t account)
{
    uint32_t known = objects_order_by_id(book, &wish->order_id);
    if (known != NONE && order_at(book, known)->account != account) {
        book_tell_refusal(book, wish, REASON_NOT_FOUND);
        return true;
    }
    if (known == NONE && account != NONE && wish->client_order_id.length)
        known = objects_order_by_client(book, account, wish->client_order_id);
    if (known == NONE)
        return false;
    const struct order *order = order_at(book, known);
    book_tell_order(book, MARKET_REPEATED, order, (struct tale){.reason = order->reason});
    return true;
}

/* Refusals that the market is the cause of, not the order: they are forgotten, and the same order may come again. */
static enum market_reason turned_away(struct book *book, const struct market_order *wish, uint32_t *account)
{
    if (book->phase != BOOK_TRADING && !(book->phase == BOOK_SET_UP && wish->bot))
        return REASON_MARKET_CLOSED;
    if (wish->company >= book->company_count)
        return REASON_UNKNOWN_COMPANY;
    if (book->companies[wish->company].halted)
        return REASON_HALTED;
    if (book->order_count >= book->limits.orders_max)
        return REASON_OVERFLOW;
    if (*account == NONE)
        *account = accounts_get(book, &wish->account, wish->bot);
    return *account == NONE || account_at(book, *account)->own_count >= MARKET_OPEN_ORDERS_MAX ? REASON_OVERFLOW
                                                                                               : REASON_NONE;
}

static uint32_t record(struct book *book, const struct market_order *wish, uint32_t account)
{
    const uint32_t ref = objects_add_order(book, &wish->order_id, account, wish->client_order_id);
    struct order *order = order_at(book, ref);
    order->company = wish->company;
    order->side = wish->side;
    order->type = wish->type;
    order->tif = wish->tif;
    order->post_only = wish->post_only;
    order->bot = wish->bot;
    order->price = wish->price;
    order->quantity = wish->quantity;
    order_changed(book, order, ref);
    return ref;
}

void book_place(struct book *book, const struct market_order *wish)
{
    uint32_t account = accounts_find(book, &wish->account);
    if (repeated(book, wish, account))
        return;
    const enum market_reason away = turned_away(book, wish, &account);
    if (away != REASON_NONE) {
        book_tell_refusal(book, wish, away);
        return;
    }
    const uint32_t ref = record(book, wish, account);
    struct order *order = order_at(book, ref);
    int64_t limit = 0;
    const enum market_reason refusal = refusal_of(book, order, 0, &limit);
    if (refusal != REASON_NONE) {
        order->reason = (uint8_t)refusal;
        book_tell_order(book, MARKET_REJECTED, order, (struct tale){.reason = refusal, .limit = limit});
        return;
    }
    book_tell_order(book, MARKET_ACCEPTED, order, (struct tale){0});
    if (order->tif == TIF_FOK) {
        const struct probe probe = book_probe(book, order);
        if (probe.quantity < order->quantity) {
            end(book, order, probe.met_own ? REASON_SELF_TRADE : REASON_UNFILLED);
            return;
        }
    }
    work(book, ref);
}

/* ---- amend, cancel ---- */

/* An order of this account that rests; NONE after telling why there is none. */
static uint32_t resting(struct book *book, const struct market_order *wish)
{
    const uint32_t ref = objects_order_by_id(book, &wish->order_id);
    if (book->phase != BOOK_TRADING && book->phase != BOOK_SET_UP) {
        book_tell_refusal(book, wish, REASON_MARKET_CLOSED);
        return NONE;
    }
    if (ref == NONE ||
        memcmp(&account_at(book, order_at(book, ref)->account)->id, &wish->account, sizeof wish->account) != 0) {
        book_tell_refusal(book, wish, REASON_NOT_FOUND);
        return NONE;
    }
    const struct order *order = order_at(book, ref);
    if (order->reason == REASON_NONE)
        return ref;
    book_tell_order(book, MARKET_REJECTED, order, (struct tale){.reason = REASON_ORDER_DONE});
    return NONE;
}

/* Less at the same price: the place in the queue stays. */
static void shrink(struct book *book, struct order *order, int64_t quantity)
{
    const int64_t less = order->quantity - quantity;
    levels_reduce(book, order, less);
    accounts_unreserve(book, order, less);
    order->quantity = quantity;
    book_tell_order(book, MARKET_AMENDED, order, (struct tale){.kept_priority = true});
}

/* Out of the book with its old form, into it as the newest with the new one. */
static void renew(struct book *book, uint32_t ref, int64_t price, int64_t quantity)
{
    struct order *order = order_at(book, ref);
    accounts_unreserve(book, order, order_remaining(order));
    book_unlink(book, ref);
    order->price = price;
    order->quantity = quantity;
    book_tell_order(book, MARKET_AMENDED, order, (struct tale){0});
    work(book, ref);
}

void book_amend(struct book *book, const struct market_order *wish)
{
    const uint32_t ref = resting(book, wish);
    if (ref == NONE)
        return;
    struct order *order = order_at(book, ref);
    struct order wanted = *order;
    wanted.price = wish->price ? wish->price : order->price;
    wanted.quantity = wish->quantity ? wish->quantity : order->quantity;
    const bool less = wanted.price == order->price && wanted.quantity <= order->quantity;
    const int64_t freed = order->side == SIDE_BUY ? order->price * order_remaining(order) : order_remaining(order);
    int64_t limit = 0;
    enum market_reason refusal = REASON_HALTED;
    if (!book->companies[order->company].halted)
        refusal = less ? quantity_refusal(book, &wanted) : refusal_of(book, &wanted, freed, &limit);
    if (refusal != REASON_NONE) {
        book_tell_order(book, MARKET_REJECTED, order, (struct tale){.reason = refusal, .limit = limit});
        return;
    }
    order_changed(book, order, ref);
    if (less)
        shrink(book, order, wanted.quantity);
    else
        renew(book, ref, wanted.price, wanted.quantity);
}

static void withdraw(struct book *book, uint32_t ref)
{
    struct order *order = order_at(book, ref);
    accounts_unreserve(book, order, order_remaining(order));
    book_unlink(book, ref);
    order_changed(book, order, ref);
    end(book, order, REASON_CANCELLED);
}

void book_cancel(struct book *book, const struct market_order *wish)
{
    const uint32_t ref = resting(book, wish);
    if (ref != NONE)
        withdraw(book, ref);
}

void book_cancel_all(struct book *book, const struct uuid *id)
{
    const uint32_t ref = accounts_find(book, id);
    struct market_event event = {.kind = MARKET_CANCELLED_ALL, .cancelled_all = {.account = *id}};
    while (ref != NONE && account_at(book, ref)->own_first != NONE) {
        withdraw(book, account_at(book, ref)->own_first);
        event.cancelled_all.count++;
    }
    book_tell(book, &event);
}
