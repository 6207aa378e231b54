#include "model_state.h"

#include "mem.h"

enum { HASH_EVERY = 1000 };

/* ---- what an order takes ---- */

struct plan {
    struct {
        size_t maker;
        int64_t quantity;
    } fills[MARKET_FILLS_MAX];
    int count;
    int64_t quantity, cost;
    bool met_own;
};

static bool agrees(const struct model_order *order, int64_t price)
{
    if (order->type == TYPE_MARKET)
        return true;
    return order->side == SIDE_BUY ? price <= order->price : price >= order->price;
}

static void plan(const struct model *model, const struct model_order *order, struct plan *plan)
{
    const struct side *others = &model->sides[order->company][order->side == SIDE_BUY ? SIDE_SELL : SIDE_BUY];
    plan->count = 0;
    plan->quantity = plan->cost = 0;
    plan->met_own = false;
    for (size_t i = 0; i < others->count && plan->quantity < model_left(order); i++) {
        const struct model_order *maker = &model->orders[others->orders[i]];
        if (!agrees(order, maker->price))
            return;
        plan->met_own = maker->account == order->account;
        if (plan->met_own || plan->count == MARKET_FILLS_MAX)
            return;
        const int64_t wanted = model_left(order) - plan->quantity;
        const int64_t quantity = wanted < model_left(maker) ? wanted : model_left(maker);
        plan->fills[plan->count].maker = others->orders[i];
        plan->fills[plan->count++].quantity = quantity;
        plan->quantity += quantity;
        plan->cost += quantity * maker->price;
    }
}

static void exchange(struct model *model, struct model_order *maker, struct model_order *taker, int64_t quantity)
{
    struct model_account *buyer = &model->accounts[taker->side == SIDE_BUY ? taker->account : maker->account];
    struct model_account *seller = &model->accounts[taker->side == SIDE_BUY ? maker->account : taker->account];
    const int64_t cost = quantity * maker->price;
    buyer->cash -= cost;
    seller->cash += cost;
    buyer->shares[maker->company] += quantity;
    seller->shares[maker->company] -= quantity;
    maker->filled += quantity;
    taker->filled += quantity;
    maker->paid += cost;
    taker->paid += cost;
    model->last[maker->company] = maker->price;
    struct market_event event = {.kind = MARKET_TRADE};
    event.trade.company = (uint8_t)maker->company;
    event.trade.taker_side = (uint8_t)taker->side;
    event.trade.number = ++model->trades[maker->company];
    event.trade.price = maker->price;
    event.trade.quantity = quantity;
    event.trade.maker_order = maker->id;
    event.trade.taker_order = taker->id;
    event.trade.maker = model->accounts[maker->account].id;
    event.trade.taker = model->accounts[taker->account].id;
    event.trade.maker_remaining = model_left(maker);
    event.trade.taker_remaining = model_left(taker);
    model_tell(model, &event);
}

static void work(struct model *model, size_t number)
{
    static struct plan todo;
    struct model_order *order = &model->orders[number];
    plan(model, order, &todo);
    for (int i = 0; i < todo.count; i++) {
        struct model_order *maker = &model->orders[todo.fills[i].maker];
        exchange(model, maker, order, todo.fills[i].quantity);
        if (model_left(maker) == 0) {
            model_unrest(model, todo.fills[i].maker);
            model_finish(model, maker, REASON_FILLED);
        }
    }
    if (model_left(order) == 0)
        model_finish(model, order, REASON_FILLED);
    else if (todo.met_own)
        model_finish(model, order, REASON_SELF_TRADE);
    else if (todo.count == MARKET_FILLS_MAX || order->type == TYPE_MARKET || order->tif != TIF_GTC) {
        plan(model, order, &todo);
        if (todo.quantity > 0 || order->type == TYPE_MARKET || order->tif != TIF_GTC)
            model_finish(model, order, REASON_UNFILLED);
        else
            model_rest(model, number);
    } else
        model_rest(model, number);
}

/* ---- what is refused ---- */

static int64_t resting_against(const struct model *model, const struct model_order *order)
{
    const struct side *others = &model->sides[order->company][order->side == SIDE_BUY ? SIDE_SELL : SIDE_BUY];
    int64_t sum = 0;
    for (size_t i = 0; i < others->count; i++)
        sum += model_left(&model->orders[others->orders[i]]);
    return sum;
}

static enum market_reason bad_form(const struct model *model, const struct model_order *order)
{
    if (order->type == TYPE_MARKET && order->price != 0)
        return REASON_BAD_PRICE;
    if (order->type == TYPE_LIMIT && (order->price < model->least || order->price > model->most))
        return REASON_BAD_PRICE;
    if (order->type == TYPE_LIMIT && order->price % model->tick != 0)
        return REASON_BAD_TICK;
    if (order->quantity < 1 || order->quantity > MARKET_QUANTITY_MAX || order->quantity <= order->filled)
        return REASON_BAD_QUANTITY;
    return (__int128)order->quantity * model->most > INT64_MAX ? REASON_OVERFLOW : REASON_NONE;
}

/* The order is looked at as if it did not rest. */
static enum market_reason refusal(const struct model *model, const struct model_order *order, int64_t *limit)
{
    static struct plan would;
    const enum market_reason form = bad_form(model, order);
    if (form != REASON_NONE)
        return form;
    if (order->post_only && (order->type == TYPE_MARKET || order->tif != TIF_GTC))
        return REASON_WOULD_CROSS;
    plan(model, order, &would);
    const int64_t cost = order->type == TYPE_MARKET ? would.cost : order->price * model_left(order);
    if (order->side == SIDE_BUY && model_free_cash(model, order->account) < cost)
        return REASON_INSUFFICIENT_CASH;
    if (order->side == SIDE_SELL && model_free_shares(model, order->account, order->company) < model_left(order))
        return REASON_INSUFFICIENT_SHARES;
    const int64_t there = resting_against(model, order);
    if (model->size_rule && !order->bot && model_left(order) >= there) {
        *limit = there > 0 ? there - 1 : 0;
        return REASON_TOO_LARGE;
    }
    return order->post_only && (would.count > 0 || would.met_own) ? REASON_WOULD_CROSS : REASON_NONE;
}

/* ---- orders ---- */

static bool find_order(const struct model *model, const struct uuid *id, size_t *found)
{
    for (*found = 0; *found < model->order_count; ++*found)
        if (model_same(&model->orders[*found].id, id))
            return true;
    return false;
}

static bool find_client(const struct model *model, size_t account, struct view text, size_t *found)
{
    for (*found = 0; *found < model->order_count && text.length; ++*found) {
        const struct model_order *order = &model->orders[*found];
        if (order->account == account && order->client_length == text.length &&
            memcmp(order->client, text.bytes, text.length) == 0)
            return true;
    }
    return false;
}

/* The order was there before: tells it as it stands. */
static bool repeats(struct model *model, const struct market_order *wish)
{
    size_t account, known;
    const bool has_account = model_find_account(model, &wish->account, &account);
    if (find_order(model, &wish->order_id, &known)) {
        if (!has_account || model->orders[known].account != account) {
            model_refuse(model, wish, REASON_NOT_FOUND);
            return true;
        }
    } else if (!has_account || !find_client(model, account, wish->client_order_id, &known))
        return false;
    model_tell_order(model, MARKET_REPEATED, &model->orders[known], model->orders[known].reason, false, 0);
    return true;
}

static enum market_reason away(struct model *model, const struct market_order *wish, size_t *account)
{
    if (model->phase == NEW || model->phase == CLOSED || (model->phase == SET_UP && !wish->bot))
        return REASON_MARKET_CLOSED;
    if (wish->company >= model->companies)
        return REASON_UNKNOWN_COMPANY;
    if (model->halted[wish->company])
        return REASON_HALTED;
    if (model->order_count >= model->orders_max || !model_need_account(model, &wish->account, wish->bot, account))
        return REASON_OVERFLOW;
    return model_open_orders(model, *account) >= MARKET_OPEN_ORDERS_MAX ? REASON_OVERFLOW : REASON_NONE;
}

static void place(struct model *model, const struct market_order *wish)
{
    static struct plan would;
    size_t account;
    int64_t limit = 0;
    if (repeats(model, wish))
        return;
    const enum market_reason not_now = away(model, wish, &account);
    if (not_now != REASON_NONE) {
        model_refuse(model, wish, not_now);
        return;
    }
    model->orders = mem_grow(model->orders, model->order_count + 1, sizeof *model->orders);
    struct model_order *order = &model->orders[model->order_count++];
    *order = (struct model_order){.id = wish->order_id,
                                  .account = account,
                                  .company = wish->company,
                                  .side = wish->side,
                                  .type = wish->type,
                                  .tif = wish->tif,
                                  .post_only = wish->post_only,
                                  .bot = wish->bot,
                                  .price = wish->price,
                                  .quantity = wish->quantity,
                                  .client_length = wish->client_order_id.length};
    memcpy(order->client, wish->client_order_id.bytes, order->client_length);
    order->reason = refusal(model, order, &limit);
    if (order->reason != REASON_NONE) {
        model_tell_order(model, MARKET_REJECTED, order, order->reason, false, limit);
        return;
    }
    model_tell_order(model, MARKET_ACCEPTED, order, REASON_NONE, false, 0);
    plan(model, order, &would);
    if (order->tif == TIF_FOK && would.quantity < order->quantity)
        model_finish(model, order, would.met_own ? REASON_SELF_TRADE : REASON_UNFILLED);
    else
        work(model, model->order_count - 1);
}

/* The account's own order that rests. */
static struct model_order *mine(struct model *model, const struct market_order *wish)
{
    size_t account, number;
    if (model->phase == NEW || model->phase == CLOSED)
        model_refuse(model, wish, REASON_MARKET_CLOSED);
    else if (!model_find_account(model, &wish->account, &account) || !find_order(model, &wish->order_id, &number) ||
             model->orders[number].account != account)
        model_refuse(model, wish, REASON_NOT_FOUND);
    else if (model->orders[number].reason != REASON_NONE)
        model_tell_order(model, MARKET_REJECTED, &model->orders[number], REASON_ORDER_DONE, false, 0);
    else
        return &model->orders[number];
    return NULL;
}

static void amend(struct model *model, const struct market_order *wish)
{
    struct model_order *order = mine(model, wish);
    if (!order)
        return;
    const size_t number = (size_t)(order - model->orders);
    const struct model_order before = *order;
    struct model_order after = before;
    int64_t limit = 0;
    if (wish->price)
        after.price = wish->price;
    if (wish->quantity)
        after.quantity = wish->quantity;
    const bool keeps = after.price == before.price && after.quantity <= before.quantity;
    enum market_reason reason = REASON_HALTED;
    if (!model->halted[order->company] && keeps)
        reason = bad_form(model, &after);
    else if (!model->halted[order->company]) {
        model_unrest(model, number);
        reason = refusal(model, &after, &limit);
        if (reason != REASON_NONE)
            model_insert(model, number);
    }
    if (reason != REASON_NONE) {
        model_tell_order(model, MARKET_REJECTED, order, reason, false, limit);
        return;
    }
    order->price = after.price;
    order->quantity = after.quantity;
    model_tell_order(model, MARKET_AMENDED, order, REASON_NONE, keeps, 0);
    if (!keeps)
        work(model, number);
}

static void cancel(struct model *model, const struct market_order *wish)
{
    struct model_order *order = mine(model, wish);
    if (!order)
        return;
    model_unrest(model, (size_t)(order - model->orders));
    model_finish(model, order, REASON_CANCELLED);
}

static void cancel_all(struct model *model, const struct uuid *id)
{
    size_t account;
    struct market_event event = {.kind = MARKET_CANCELLED_ALL, .cancelled_all = {.account = *id}};
    while (model_find_account(model, id, &account)) {
        struct model_order *oldest = NULL;
        for (size_t i = 0; i < model->order_count; i++) {
            struct model_order *order = &model->orders[i];
            if (order->account == account && order->reason == REASON_NONE && (!oldest || order->turn < oldest->turn))
                oldest = order;
        }
        if (!oldest)
            break;
        model_unrest(model, (size_t)(oldest - model->orders));
        model_finish(model, oldest, REASON_CANCELLED);
        event.cancelled_all.count++;
    }
    model_tell(model, &event);
}

/* ---- the market ---- */

static void open_market(struct model *model, const struct market_command *command)
{
    if (model->phase != NEW)
        return;
    model->phase = SET_UP;
    model->seed = command->open.seed_cash;
    model->tick = command->open.tick;
    model->least = command->open.price_min;
    model->most = command->open.price_max;
    model->size_rule = command->open.size_rule;
    model->companies = command->open.company_count;
    for (int i = 0; i < model->companies; i++)
        model->last[i] = command->open.companies[i].initial_price;
    model_tell(model, &(struct market_event){.kind = MARKET_OPENED, .opened = command->open});
}

static enum market_reason no_deposit(struct model *model, const struct market_command *command, size_t *account)
{
    int64_t shares[MARKET_COMPANIES_MAX] = {0};
    if (model->phase == NEW || model->phase == CLOSED)
        return REASON_MARKET_CLOSED;
    if (command->deposit.company_count > model->companies)
        return REASON_UNKNOWN_COMPANY;
    if (command->deposit.cash < 0)
        return REASON_BAD_QUANTITY;
    for (int i = 0; i < command->deposit.company_count; i++)
        if ((shares[i] = command->deposit.shares[i]) < 0)
            return REASON_BAD_QUANTITY;
    if (model_find_account(model, &command->deposit.account, account) && !model->accounts[*account].bot)
        return REASON_NOT_FOUND;
    if (!model_fits(model, command->deposit.cash, shares))
        return REASON_OVERFLOW;
    return model_need_account(model, &command->deposit.account, true, account) ? REASON_NONE : REASON_OVERFLOW;
}

static void deposit(struct model *model, const struct market_command *command)
{
    size_t account;
    for (size_t i = 0; i < model->deposit_count; i++)
        if (model_same(&model->deposits[i], &command->deposit.deposit_id))
            return;
    const enum market_reason reason = no_deposit(model, command, &account);
    if (reason != REASON_NONE) {
        model_refuse(model,
                     &(struct market_order){.order_id = command->deposit.deposit_id,
                                            .account = command->deposit.account,
                                            .bot = true,
                                            .client_order_id = {"", 0}},
                     reason);
        return;
    }
    model->deposits = mem_grow(model->deposits, model->deposit_count + 1, sizeof *model->deposits);
    model->deposits[model->deposit_count++] = command->deposit.deposit_id;
    struct market_event event = {.kind = MARKET_DEPOSITED};
    event.deposit.deposit_id = command->deposit.deposit_id;
    event.deposit.account = command->deposit.account;
    event.deposit.cash = command->deposit.cash;
    event.deposit.company_count = command->deposit.company_count;
    model->accounts[account].cash += command->deposit.cash;
    for (int i = 0; i < command->deposit.company_count; i++) {
        event.deposit.shares[i] = command->deposit.shares[i];
        model->accounts[account].shares[i] += command->deposit.shares[i];
    }
    model_tell(model, &event);
}

static void halt(struct model *model, int company, bool on)
{
    if (model->phase == NEW || model->phase == CLOSED || company >= model->companies || model->halted[company] == on)
        return;
    model->halted[company] = on;
    model_tell(model, &(struct market_event){.kind = MARKET_HALTED, .halt = {(uint8_t)company, on}});
}

static void close_market(struct model *model)
{
    if (model->phase == NEW || model->phase == CLOSED)
        return;
    model->phase = CLOSED;
    struct market_event event = {.kind = MARKET_CLOSED, .closed = {.company_count = (uint8_t)model->companies}};
    memcpy(event.closed.last_prices, model->last, sizeof model->last);
    model_tell(model, &event);
    for (size_t i = 0; i < model->order_count; i++)
        if (model->orders[i].reason == REASON_NONE)
            model->orders[i].reason = REASON_ROUND_CLOSED;
    AUTO_FREE struct market_account *finals = mem_new(model->account_count, sizeof *finals);
    size_t count = 0;
    for (size_t i = 0; i < model->account_count; i++) {
        struct model_account *account = &model->accounts[i];
        size_t at = count++;
        for (int company = 0; company < model->companies; company++) {
            model->sides[company][SIDE_BUY].count = model->sides[company][SIDE_SELL].count = 0;
            account->cash += account->shares[company] * model->last[company];
            account->shares[company] = 0;
        }
        for (; at > 0 && memcmp(&account->id, &finals[at - 1].account, sizeof account->id) < 0; at--)
            finals[at] = finals[at - 1];
        finals[at] = (struct market_account){account->id, account->bot, account->cash};
    }
    for (size_t at = 0; at < count; at += MARKET_ACCOUNTS_PER_EVENT) {
        const size_t more = count - at < MARKET_ACCOUNTS_PER_EVENT ? count - at : MARKET_ACCOUNTS_PER_EVENT;
        model_tell(model, &(struct market_event){.kind = MARKET_ACCOUNTS, .accounts = {(uint32_t)more, finals + at}});
    }
}

static bool is_new(struct model *model, uint64_t source, uint64_t n)
{
    for (size_t i = 0; i < model->sender_count; i++)
        if (model->senders[i].source == source) {
            const bool newer = n > model->senders[i].n;
            if (newer)
                model->senders[i].n = n;
            return newer;
        }
    model->senders = mem_grow(model->senders, model->sender_count + 1, sizeof *model->senders);
    model->senders[model->sender_count].source = source;
    model->senders[model->sender_count++].n = n;
    return true;
}

void model_apply(struct model *model, const struct market_command *command, model_emit_fn emit, void *payload)
{
    if (!is_new(model, command->source, command->n))
        return;
    model->emit = emit;
    model->payload = payload;
    model->kind = command->kind;
    switch (command->kind) {
    case MARKET_OPEN:
        open_market(model, command);
        break;
    case MARKET_START:
        if (model->phase == SET_UP) {
            model->phase = TRADING;
            model_tell(model, &(struct market_event){.kind = MARKET_STARTED});
        }
        break;
    case MARKET_DEPOSIT:
        deposit(model, command);
        break;
    case MARKET_PLACE:
        place(model, &command->order);
        break;
    case MARKET_AMEND:
        amend(model, &command->order);
        break;
    case MARKET_CANCEL:
        cancel(model, &command->order);
        break;
    case MARKET_CANCEL_ALL:
        cancel_all(model, &command->cancel_all.account);
        break;
    case MARKET_HALT:
        halt(model, command->halt.company, command->halt.on);
        break;
    case MARKET_CLOSE:
        close_market(model);
        break;
    case MARKET_COMMANDS:
        break;
    }
    if (++model->commands % HASH_EVERY == 0)
        model_tell(model, &(struct market_event){.kind = MARKET_HASH, .hash = {.commands = model->commands}});
}
