#include "model_state.h"

#include "mem.h"

#include <stdlib.h>

struct model *model_open(size_t orders_max, size_t accounts_max)
{
    struct model *model = MEM_NEW(model);
    model->orders_max = orders_max;
    model->accounts_max = accounts_max;
    return model;
}

void model_release(struct model **held)
{
    struct model *model = *held;
    if (!model)
        return;
    for (int company = 0; company < MARKET_COMPANIES_MAX; company++)
        for (int side = 0; side < 2; side++)
            free(model->sides[company][side].orders);
    free(model->orders);
    free(model->accounts);
    free(model->deposits);
    free(model->senders);
    free(model);
    *held = NULL;
}

bool model_same(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* ---- what rests ---- */

static bool better(const struct model_order *a, const struct model_order *b)
{
    if (a->price != b->price)
        return a->side == SIDE_BUY ? a->price > b->price : a->price < b->price;
    return a->turn < b->turn;
}

/* By price and turn. */
void model_insert(struct model *model, size_t number)
{
    struct model_order *order = &model->orders[number];
    struct side *side = &model->sides[order->company][order->side];
    side->orders = mem_grow(side->orders, side->count + 1, sizeof *side->orders);
    size_t at = side->count++;
    for (; at > 0 && better(order, &model->orders[side->orders[at - 1]]); at--)
        side->orders[at] = side->orders[at - 1];
    side->orders[at] = number;
}

void model_rest(struct model *model, size_t number)
{
    model->orders[number].turn = ++model->turn;
    model_insert(model, number);
}

void model_unrest(struct model *model, size_t number)
{
    struct side *side = &model->sides[model->orders[number].company][model->orders[number].side];
    size_t kept = 0;
    for (size_t i = 0; i < side->count; i++)
        if (side->orders[i] != number)
            side->orders[kept++] = side->orders[i];
    side->count = kept;
}

int64_t model_left(const struct model_order *order)
{
    return order->quantity - order->filled;
}

/* ---- what an account has ---- */

int64_t model_free_cash(const struct model *model, size_t account)
{
    int64_t cash = model->accounts[account].cash;
    for (int company = 0; company < model->companies; company++) {
        const struct side *side = &model->sides[company][SIDE_BUY];
        for (size_t i = 0; i < side->count; i++)
            if (model->orders[side->orders[i]].account == account)
                cash -= model->orders[side->orders[i]].price * model_left(&model->orders[side->orders[i]]);
    }
    return cash;
}

int64_t model_free_shares(const struct model *model, size_t account, int company)
{
    int64_t shares = model->accounts[account].shares[company];
    const struct side *side = &model->sides[company][SIDE_SELL];
    for (size_t i = 0; i < side->count; i++)
        if (model->orders[side->orders[i]].account == account)
            shares -= model_left(&model->orders[side->orders[i]]);
    return shares;
}

size_t model_open_orders(const struct model *model, size_t account)
{
    size_t count = 0;
    for (int company = 0; company < model->companies; company++)
        for (int s = 0; s < 2; s++)
            for (size_t i = 0; i < model->sides[company][s].count; i++)
                count += model->orders[model->sides[company][s].orders[i]].account == account;
    return count;
}

bool model_find_account(const struct model *model, const struct uuid *id, size_t *found)
{
    for (*found = 0; *found < model->account_count; ++*found)
        if (model_same(&model->accounts[*found].id, id))
            return true;
    return false;
}

/* All money and all shares at the highest price, and this on top, can be told in 63 bits. */
bool model_fits(const struct model *model, int64_t cash, const int64_t *shares)
{
    __int128 worth = cash;
    for (size_t i = 0; i < model->account_count; i++) {
        worth += model->accounts[i].cash;
        for (int company = 0; company < model->companies; company++)
            worth += (__int128)model->accounts[i].shares[company] * model->most;
    }
    for (int company = 0; shares && company < model->companies; company++)
        worth += (__int128)shares[company] * model->most;
    return worth <= INT64_MAX;
}

bool model_need_account(struct model *model, const struct uuid *id, bool bot, size_t *account)
{
    if (model_find_account(model, id, account))
        return true;
    const int64_t seed = bot ? 0 : model->seed;
    if (model->account_count >= model->accounts_max || !model_fits(model, seed, NULL))
        return false;
    model->accounts = mem_grow(model->accounts, model->account_count + 1, sizeof *model->accounts);
    model->accounts[model->account_count++] = (struct model_account){.id = *id, .bot = bot, .cash = seed};
    return true;
}

/* ---- telling ---- */

void model_tell(struct model *model, struct market_event *event)
{
    event->seq = ++model->seq;
    model->emit(model->payload, event);
}

void model_tell_order(struct model *model, enum market_event_kind kind, const struct model_order *order,
                      enum market_reason reason, bool kept, int64_t limit)
{
    struct market_event event = {.kind = kind};
    event.order.order = (struct market_order){.order_id = order->id,
                                              .account = model->accounts[order->account].id,
                                              .company = (uint8_t)order->company,
                                              .side = (uint8_t)order->side,
                                              .type = (uint8_t)order->type,
                                              .tif = (uint8_t)order->tif,
                                              .post_only = order->post_only,
                                              .bot = order->bot,
                                              .price = order->price,
                                              .quantity = order->quantity,
                                              .client_order_id = {"", 0}};
    if (kind == MARKET_ACCEPTED || kind == MARKET_REPEATED || kind == MARKET_REJECTED)
        event.order.order.client_order_id = (struct view){order->client, order->client_length};
    event.order.remaining = model_left(order);
    event.order.filled = order->filled;
    event.order.paid = order->paid;
    event.order.command = (uint8_t)model->kind;
    event.order.reason = (uint8_t)reason;
    event.order.kept_priority = kept;
    event.order.limit = limit;
    model_tell(model, &event);
}

void model_refuse(struct model *model, const struct market_order *order, enum market_reason reason)
{
    struct market_event event = {.kind = MARKET_REJECTED};
    event.order.order = *order;
    event.order.remaining = order->quantity;
    event.order.command = (uint8_t)model->kind;
    event.order.reason = (uint8_t)reason;
    model_tell(model, &event);
}

void model_finish(struct model *model, struct model_order *order, enum market_reason reason)
{
    order->reason = reason;
    model_tell_order(model, MARKET_DONE, order, reason, false, 0);
}
