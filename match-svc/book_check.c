#include "book_internal.h"

#include "mem.h"

#include <inttypes.h>
#include <stdlib.h>

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return err_set(err, &ERR_INTERNAL, __VA_ARGS__);                                                           \
    } while (0)

/* ---- queues ---- */

static bool check_level(const struct book *book, int company, int side, int32_t at, uint32_t *resting, struct err *err)
{
    const struct level *level = &book->companies[company].levels[at];
    int64_t quantity = 0, priority = 0;
    uint32_t count = 0, before = NONE;
    for (uint32_t ref = level->first; ref != NONE; before = ref, ref = order_at(book, ref)->next) {
        const struct order *order = order_at(book, ref);
        CHECK(ref < book->order_count && count < level->count, "company %d level %d: the queue is longer than it says",
              company, at);
        CHECK(order->reason == REASON_NONE && order->company == company && order->side == side &&
                  order->level == (uint32_t)at && order->price == price_of(book, at) && order->prev == before,
              "company %d level %d: order %" PRIu32 " is in the wrong queue", company, at, ref);
        CHECK(order->priority > priority, "company %d level %d: order %" PRIu32 " is out of its turn", company, at,
              ref);
        priority = order->priority;
        quantity += order_remaining(order);
        count++;
    }
    CHECK(count == level->count && count > 0 && level->last == before && quantity == level->quantity,
          "company %d level %d: %" PRIu32 " orders of %" PRId64 " shares, the level says %" PRIu32 " of %" PRId64,
          company, at, count, quantity, level->count, level->quantity);
    *resting += count;
    return true;
}

static bool check_side(const struct book *book, int company, int side, uint32_t *resting, struct err *err)
{
    const struct company *of = &book->companies[company];
    int64_t quantity = 0;
    int32_t best = -1;
    for (uint32_t at = 0; at < book->level_count; at++) {
        const bool occupied = of->sides[side].words[at / 64] >> (at % 64) & 1;
        CHECK(!of->sides[side].words[at / 64] == !(of->sides[side].summary[at / 4096] >> (at / 64 % 64) & 1),
              "company %d side %d: the summary differs at level %" PRIu32, company, side, at);
        CHECK(!occupied || of->levels[at].count, "company %d side %d: level %" PRIu32 " is empty", company, side, at);
        if (!occupied)
            continue;
        if (!check_level(book, company, side, (int32_t)at, resting, err))
            return false;
        quantity += of->levels[at].quantity;
        if (side == SIDE_BUY || best < 0)
            best = (int32_t)at;
    }
    CHECK(best == of->sides[side].best, "company %d side %d: the best level is %d, not %d", company, side, best,
          of->sides[side].best);
    CHECK(quantity == of->sides[side].quantity, "company %d side %d: %" PRId64 " shares rest, not %" PRId64, company,
          side, quantity, of->sides[side].quantity);
    return true;
}

static bool check_companies(const struct book *book, uint32_t *resting, struct err *err)
{
    for (int i = 0; i < book->company_count; i++) {
        const struct company *company = &book->companies[i];
        const int32_t bid = company->sides[SIDE_BUY].best, ask = company->sides[SIDE_SELL].best;
        uint32_t occupied = 0, levels = 0;
        if (!check_side(book, i, SIDE_BUY, &occupied, err) || !check_side(book, i, SIDE_SELL, &occupied, err))
            return false;
        CHECK(bid < 0 || ask < 0 || bid < ask, "company %d: the book is crossed", i);
        for (uint32_t at = 0; at < book->level_count; at++)
            levels += company->levels[at].count;
        CHECK(levels == occupied, "company %d: %" PRIu32 " orders stand where nothing is occupied", i,
              levels - occupied);
        *resting += occupied;
    }
    return true;
}

/* ---- orders and accounts ---- */

static bool check_orders(const struct book *book, uint32_t resting, struct err *err)
{
    uint32_t open = 0;
    for (uint32_t ref = 0; ref < book->order_count; ref++) {
        const struct order *order = order_at(book, ref);
        CHECK(objects_order_by_id(book, &order->id) == ref, "order %" PRIu32 " is not found by its id", ref);
        CHECK(!order->client_length || objects_order_by_client(book, order->account, order_text(book, order)) == ref,
              "order %" PRIu32 " is not found by its client_order_id", ref);
        CHECK(order->filled >= 0 && order->paid >= 0 && (!order->filled || order->filled <= order->quantity),
              "order %" PRIu32 ": filled %" PRId64 " of %" PRId64, ref, order->filled, order->quantity);
        CHECK((order->reason == REASON_FILLED) == (order->filled > 0 && order->filled == order->quantity),
              "order %" PRIu32 ": filled %" PRId64 " of %" PRId64 ", ended as %s", ref, order->filled, order->quantity,
              market_reason_name(order->reason));
        CHECK(order->priority <= book->priority, "order %" PRIu32 ": a priority that was never given", ref);
        open += order->reason == REASON_NONE;
    }
    CHECK(open == resting, "%" PRIu32 " orders are open, %" PRIu32 " rest in queues", open, resting);
    return true;
}

static bool check_account(const struct book *book, uint32_t ref, struct err *err)
{
    const struct account *account = account_at(book, ref);
    __int128 cash = 0;
    int64_t shares[MARKET_COMPANIES_MAX] = {0}, priority = 0;
    uint32_t count = 0, before = NONE;
    for (uint32_t own = account->own_first; own != NONE; before = own, own = order_at(book, own)->own_next) {
        const struct order *order = order_at(book, own);
        CHECK(count++ < account->own_count && order->account == ref && order->own_prev == before &&
                  order->priority > priority && order->reason == REASON_NONE,
              "account %" PRIu32 ": its list of orders is broken at %" PRIu32, ref, own);
        priority = order->priority;
        if (order->side == SIDE_BUY)
            cash += (__int128)order->price * order_remaining(order);
        else
            shares[order->company] += order_remaining(order);
    }
    CHECK(count == account->own_count && before == account->own_last && count <= MARKET_OPEN_ORDERS_MAX,
          "account %" PRIu32 ": %" PRIu32 " orders in its list, not %" PRIu32, ref, count, account->own_count);
    CHECK(account->cash >= 0 && cash == account->cash_reserved,
          "account %" PRIu32 ": cash %" PRId64 ", reserved %" PRId64 " for orders of %" PRId64, ref, account->cash,
          account->cash_reserved, (int64_t)cash);
    for (int i = 0; i < book->company_count; i++)
        CHECK(account->shares[i].available >= 0 && account->shares[i].reserved == shares[i],
              "account %" PRIu32 ": shares of %d %" PRId64 ", reserved %" PRId64 " for orders of %" PRId64, ref, i,
              account->shares[i].available, account->shares[i].reserved, shares[i]);
    CHECK(accounts_find(book, &account->id) == ref, "account %" PRIu32 " is not found by its id", ref);
    return true;
}

static bool check_sums(const struct book *book, uint32_t resting, struct err *err)
{
    __int128 cash = 0, shares[MARKET_COMPANIES_MAX] = {0};
    uint64_t own = 0;
    for (uint32_t ref = 0; ref < book->account_count; ref++) {
        const struct account *account = account_at(book, ref);
        if (!check_account(book, ref, err))
            return false;
        own += account->own_count;
        cash += (__int128)account->cash + account->cash_reserved;
        for (int i = 0; i < book->company_count; i++)
            shares[i] += (__int128)account->shares[i].available + account->shares[i].reserved;
    }
    CHECK(own == resting, "%" PRIu64 " orders in the accounts' lists, %" PRIu32 " in queues", own, resting);
    CHECK(cash == book->cash, "cash is not conserved: %" PRId64 " was given", book->cash);
    for (int i = 0; i < book->company_count; i++)
        CHECK(shares[i] == book->companies[i].shares, "shares of %d are not conserved: %" PRId64 " were given", i,
              book->companies[i].shares);
    CHECK(accounts_worth_fits(book, 0, NULL), "more money than int64 holds");
    return true;
}

static bool check_hash(const struct book *book, struct err *err)
{
    uint64_t terms = 0;
    for (uint32_t ref = 0; ref < book->order_count; ref++)
        terms += hash_order(ref, order_at(book, ref));
    for (uint32_t ref = 0; ref < book->account_count; ref++)
        terms += hash_account(book, ref, account_at(book, ref));
    CHECK(hash_mix(hash_head(book), terms) == book_hash(book), "the hash is not that of the state");
    return true;
}

bool book_check(const struct book *book, struct err *err)
{
    uint32_t resting = 0;
    return check_companies(book, &resting, err) && check_orders(book, resting, err) && check_sums(book, resting, err) &&
           check_hash(book, err);
}
