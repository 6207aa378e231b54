#include "book_internal.h"

#include "mem.h"

#include <stdlib.h>

/* ---- making them ---- */

bool accounts_worth_fits(const struct book *book, int64_t cash, const int64_t *shares)
{
    __int128 worth = (__int128)book->cash + cash;
    for (int i = 0; i < book->company_count; i++)
        worth += ((__int128)book->companies[i].shares + (shares ? shares[i] : 0)) * book->price_max;
    return worth <= INT64_MAX;
}

uint32_t accounts_add(struct book *book, const struct uuid *id, bool bot)
{
    uint32_t ref;
    struct account *account = objects_add_account(book, id, &ref);
    account->bot = bot;
    account_changed(book, account, ref);
    return ref;
}

uint32_t accounts_get(struct book *book, const struct uuid *id, bool bot)
{
    uint32_t ref = accounts_find(book, id);
    const int64_t seed = bot ? 0 : book->seed_cash;
    if (ref != NONE)
        return ref;
    if (book->account_count >= book->limits.accounts_max || !accounts_worth_fits(book, seed, NULL))
        return NONE;
    ref = accounts_add(book, id, bot);
    account_at(book, ref)->cash = seed;
    book->cash += seed;
    return ref;
}

static void refuse_deposit(struct book *book, const struct market_command *command, enum market_reason reason)
{
    const struct market_order order = {.order_id = command->deposit.deposit_id,
                                       .account = command->deposit.account,
                                       .bot = true,
                                       .client_order_id = {"", 0}};
    book_tell_refusal(book, &order, reason);
}

static enum market_reason deposit_refusal(const struct book *book, const struct market_command *command)
{
    int64_t shares[MARKET_COMPANIES_MAX] = {0};
    if (book->phase != BOOK_SET_UP && book->phase != BOOK_TRADING)
        return REASON_MARKET_CLOSED;
    if (command->deposit.company_count > book->company_count)
        return REASON_UNKNOWN_COMPANY;
    if (command->deposit.cash < 0)
        return REASON_BAD_QUANTITY;
    for (int i = 0; i < command->deposit.company_count; i++)
        if ((shares[i] = command->deposit.shares[i]) < 0)
            return REASON_BAD_QUANTITY;
    const uint32_t known = accounts_find(book, &command->deposit.account);
    if (known != NONE && !account_at(book, known)->bot)
        return REASON_NOT_FOUND; /* people are given nothing */
    if (!accounts_worth_fits(book, command->deposit.cash, shares))
        return REASON_OVERFLOW;
    return known == NONE && book->account_count >= book->limits.accounts_max ? REASON_OVERFLOW : REASON_NONE;
}

void book_deposit(struct book *book, const struct market_command *command)
{
    if (objects_deposit_known(book, &command->deposit.deposit_id))
        return;
    const enum market_reason refusal = deposit_refusal(book, command);
    if (refusal != REASON_NONE) {
        refuse_deposit(book, command, refusal);
        return;
    }
    const uint32_t ref = accounts_get(book, &command->deposit.account, true);
    struct account *account = account_at(book, ref);
    struct market_event event = {.kind = MARKET_DEPOSITED,
                                 .deposit = {.deposit_id = command->deposit.deposit_id,
                                             .account = account->id,
                                             .cash = command->deposit.cash,
                                             .company_count = command->deposit.company_count}};
    objects_add_deposit(book, &command->deposit.deposit_id);
    account->cash += command->deposit.cash;
    book->cash += command->deposit.cash;
    for (int i = 0; i < command->deposit.company_count; i++) {
        event.deposit.shares[i] = command->deposit.shares[i];
        account->shares[i].available += command->deposit.shares[i];
        book->companies[i].shares += command->deposit.shares[i];
    }
    account_changed(book, account, ref);
    book_tell(book, &event);
}

/* ---- reserves ---- */

static void move(struct book *book, const struct order *order, int64_t quantity)
{
    struct account *account = account_at(book, order->account);
    if (order->side == SIDE_BUY) {
        account->cash -= quantity * order->price;
        account->cash_reserved += quantity * order->price;
    } else {
        account->shares[order->company].available -= quantity;
        account->shares[order->company].reserved += quantity;
    }
    account_changed(book, account, order->account);
}

void accounts_reserve(struct book *book, const struct order *order, int64_t quantity)
{
    move(book, order, quantity);
}

void accounts_unreserve(struct book *book, const struct order *order, int64_t quantity)
{
    move(book, order, -quantity);
}

/* ---- the end ---- */

/* Orders end with the round: what they had reserved is available again, and shares become cash at the last price. */
static void cash_out(struct book *book, uint32_t ref)
{
    struct account *account = account_at(book, ref);
    while (account->own_first != NONE) {
        const uint32_t own = account->own_first;
        struct order *order = order_at(book, own);
        accounts_unreserve(book, order, order_remaining(order));
        book_unlink(book, own);
        order->reason = REASON_ROUND_CLOSED;
        order_changed(book, order, own);
    }
    for (int i = 0; i < book->company_count; i++) {
        account->cash += account->shares[i].available * book->companies[i].last_price;
        account->shares[i].available = 0;
    }
    account_changed(book, account, ref);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct market_account *)a)->account.bytes, ((const struct market_account *)b)->account.bytes,
                  sizeof(struct uuid));
}

void accounts_close(struct book *book)
{
    AUTO_FREE struct market_account *all = mem_new(book->account_count, sizeof *all);
    for (uint32_t ref = 0; ref < book->account_count; ref++) {
        const struct account *account = account_at(book, ref);
        cash_out(book, ref);
        all[ref] = (struct market_account){account->id, account->bot, account->cash};
    }
    for (int i = 0; i < book->company_count; i++) {
        book->cash += book->companies[i].shares * book->companies[i].last_price;
        book->companies[i].shares = 0;
    }
    qsort(all, book->account_count, sizeof *all, by_id);
    for (uint32_t at = 0; at < book->account_count; at += MARKET_ACCOUNTS_PER_EVENT) {
        const uint32_t left = book->account_count - at;
        struct market_event event = {
            .kind = MARKET_ACCOUNTS,
            .accounts = {left < MARKET_ACCOUNTS_PER_EVENT ? left : MARKET_ACCOUNTS_PER_EVENT, all + at}};
        book_tell(book, &event);
    }
}
