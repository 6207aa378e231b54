#include "fold.h"

#include "mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const FOLD_PHASES[PHASES] = {"set_up", "open", "closed"};
const char *const FOLD_STATUSES[STATUSES] = {"open", "filled", "cancelled", "rejected"};

static const struct uuid NOBODY; /* the issuer; also "cash" */

/* ---- lists ---- */

/* A zeroed item behind the others. */
#define ADD(list)                                                                                                      \
    __extension__({                                                                                                    \
        if ((list).count == (list).room) {                                                                             \
            (list).room = (list).room ? (list).room * 2 : 64;                                                          \
            (list).items = mem_grow((list).items, (list).room, sizeof *(list).items);                                  \
        }                                                                                                              \
        memset(&(list).items[(list).count], 0, sizeof *(list).items);                                                  \
        &(list).items[(list).count++];                                                                                 \
    })

void fold_clear(struct fold *fold)
{
    fold->markets.count = fold->accounts.count = fold->holdings.count = fold->orders.count = 0;
    fold->trades.count = fold->lines.count = fold->candles.count = 0;
    fold->knows_since_ms = 0;
    keymap_clear(&fold->market_map);
    keymap_clear(&fold->account_map);
    keymap_clear(&fold->holding_map);
    keymap_clear(&fold->order_map);
    keymap_clear(&fold->candle_map);
}

void fold_free(struct fold *fold)
{
    free(fold->markets.items);
    free(fold->accounts.items);
    free(fold->holdings.items);
    free(fold->orders.items);
    free(fold->trades.items);
    free(fold->lines.items);
    free(fold->candles.items);
    keymap_free(&fold->market_map);
    keymap_free(&fold->account_map);
    keymap_free(&fold->holding_map);
    keymap_free(&fold->order_map);
    keymap_free(&fold->candle_map);
    *fold = (struct fold){0};
}

/* ---- naming ---- */

uint32_t fold_market_named(struct fold *fold, const struct uuid *market)
{
    const uint32_t place = keymap_put(&fold->market_map, market, 0, (uint32_t)fold->markets.count);
    if (place == fold->markets.count)
        ADD(fold->markets)->id = *market;
    return place;
}

uint32_t fold_account_named(struct fold *fold, uint32_t market, const struct uuid *user)
{
    const uint32_t place = keymap_put(&fold->account_map, user, market, (uint32_t)fold->accounts.count);
    if (place == fold->accounts.count) {
        struct fold_account *account = ADD(fold->accounts);
        account->market = market;
        account->user = *user;
    }
    return place;
}

uint32_t fold_holding_named(struct fold *fold, uint32_t account, uint8_t company)
{
    const uint64_t tag = (uint64_t)account << 8 | company;
    const uint32_t place = keymap_put(&fold->holding_map, &NOBODY, tag, (uint32_t)fold->holdings.count);
    if (place == fold->holdings.count) {
        struct fold_holding *holding = ADD(fold->holdings);
        holding->account = account;
        holding->company = company;
    }
    return place;
}

void fold_note(struct fold *fold, const struct market_events *events)
{
    const uint32_t market = fold_market_named(fold, &events->market);
    for (uint32_t i = 0; i < events->count; i++) {
        const struct market_event *event = &events->events[i];
        if (event->kind == MARKET_ACCEPTED) {
            (void)fold_account_named(fold, market, &event->order.order.account);
        } else if (event->kind == MARKET_TRADE) {
            (void)fold_holding_named(fold, fold_account_named(fold, market, &event->trade.maker), event->trade.company);
            (void)fold_holding_named(fold, fold_account_named(fold, market, &event->trade.taker), event->trade.company);
        } else if (event->kind == MARKET_DEPOSITED) {
            const uint32_t account = fold_account_named(fold, market, &event->deposit.account);
            for (uint8_t company = 0; company < event->deposit.company_count; company++)
                if (event->deposit.shares[company])
                    (void)fold_holding_named(fold, account, company);
        }
    }
}

int64_t fold_closes(const struct market_events *events)
{
    for (uint32_t i = 0; i < events->count; i++)
        if (events->events[i].kind == MARKET_CLOSED)
            return events->first_seq + i;
    return 0;
}

/* ---- one event at a time ---- */

/* What an event's handler works with. */
struct scene {
    struct fold *fold;
    uint32_t market_place;
    int64_t at_ms, seq;
    int32_t lines; /* of this event so far */
    struct err *err;
};

static struct fold_market *market_of(const struct scene *scene)
{
    return &scene->fold->markets.items[scene->market_place];
}

__attribute__((format(printf, 2, 3), cold)) static bool wrong(const struct scene *scene, const char *format, ...)
{
    char words[120], market[UUID_TEXT_BYTES];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(words, sizeof words, format, list);
    va_end(list);
    uuid_format(&market_of(scene)->id, market);
    return err_set_internal(scene->err, &ERR_INTERNAL, "market %s, event %" PRId64 ": %s", market, scene->seq, words);
}

static void line(struct scene *scene, const struct uuid *user, const struct uuid *company, int64_t amount)
{
    struct fold_line *item = ADD(scene->fold->lines);
    *item = (struct fold_line){scene->market_place, scene->seq, scene->lines++, *user, *company, amount};
}

/* From the issuer to somebody. */
static void issue(struct scene *scene, const struct uuid *user, const struct uuid *company, int64_t amount)
{
    if (!amount)
        return;
    line(scene, &NOBODY, company, -amount);
    line(scene, user, company, amount);
}

static struct fold_account *account_of(struct scene *scene, const struct uuid *user, uint32_t *place)
{
    *place = fold_account_named(scene->fold, scene->market_place, user);
    return &scene->fold->accounts.items[*place];
}

/* Of the account's first order, or of its first deposit. */
static void make_account(struct scene *scene, struct fold_account *account, bool bot)
{
    if (account->known)
        return;
    account->known = account->changed = true;
    account->bot = bot;
    account->cash = bot ? 0 : market_of(scene)->rules.seed_cash;
    issue(scene, &account->user, &NOBODY, account->cash);
}

static struct fold_company *company_of(struct scene *scene, uint8_t index)
{
    struct fold_market *market = market_of(scene);
    if (index < market->rules.company_count)
        return &market->companies[index];
    (void)wrong(scene, "no company %d", index);
    return NULL;
}

/* ---- the market ---- */

static bool opened(struct scene *scene, const struct market_event *event)
{
    struct fold_market *market = market_of(scene);
    if (market->known)
        return wrong(scene, "opened twice");
    market->known = market->made = true;
    market->phase = PHASE_SET_UP;
    market->rules = event->opened;
    market->opened_ms = scene->at_ms;
    for (int i = 0; i < event->opened.company_count; i++) {
        const struct market_company *company = &event->opened.companies[i];
        market->companies[i] = (struct fold_company){
            .id = company->id, .initial_price = company->initial_price, .last_price = company->initial_price};
    }
    return true;
}

static bool started(struct scene *scene, const struct market_event *event)
{
    (void)event;
    market_of(scene)->phase = PHASE_OPEN;
    market_of(scene)->started_ms = scene->at_ms;
    return true;
}

static bool closed(struct scene *scene, const struct market_event *event)
{
    struct fold_market *market = market_of(scene);
    if (event->closed.company_count != market->rules.company_count)
        return wrong(scene, "closed with %d companies", event->closed.company_count);
    for (int i = 0; i < event->closed.company_count; i++)
        if (event->closed.last_prices[i] != market->companies[i].last_price)
            return wrong(scene, "another last price of company %d", i);
    market->phase = PHASE_CLOSED;
    market->closed_ms = scene->at_ms;
    return true;
}

static bool halted(struct scene *scene, const struct market_event *event)
{
    struct fold_company *company = company_of(scene, event->halt.company);
    if (!company)
        return false;
    company->halted = event->halt.on;
    return company->changed = true;
}

static bool deposited(struct scene *scene, const struct market_event *event)
{
    uint32_t place;
    struct fold_account *account = account_of(scene, &event->deposit.account, &place);
    make_account(scene, account, true);
    account->changed = true;
    account->cash += event->deposit.cash;
    issue(scene, &account->user, &NOBODY, event->deposit.cash);
    for (uint8_t i = 0; i < event->deposit.company_count; i++) {
        const struct fold_company *company = company_of(scene, i);
        if (!company)
            return false;
        if (!event->deposit.shares[i])
            continue;
        struct fold_holding *holding = &scene->fold->holdings.items[fold_holding_named(scene->fold, place, i)];
        holding->quantity += event->deposit.shares[i]; /* given: they cost nothing */
        holding->changed = true;
        issue(scene, &event->deposit.account, &company->id, event->deposit.shares[i]);
    }
    return true;
}

/* ---- orders ---- */

/* The order's place in this portion; *fresh: it is named for the first time. */
static struct fold_order *order_of(struct scene *scene, const struct uuid *id, bool *fresh)
{
    struct fold *fold = scene->fold;
    const uint32_t place = keymap_put(&fold->order_map, id, 0, (uint32_t)fold->orders.count);
    *fresh = place == fold->orders.count;
    if (*fresh) {
        struct fold_order *order = ADD(fold->orders);
        order->market = scene->market_place;
        order->wish.order_id = *id;
    }
    return &fold->orders.items[place];
}

static struct fold_order *touch(struct scene *scene, const struct uuid *id)
{
    bool fresh;
    struct fold_order *order = order_of(scene, id, &fresh);
    order->touched = true;
    order->seq = scene->seq;
    order->updated_ms = scene->at_ms;
    return order;
}

/* The order as the event tells it; one that was refused before may have come again. */
static bool tell_order(struct scene *scene, const struct market_event *event, enum fold_status status)
{
    bool fresh;
    struct fold_order *order = order_of(scene, &event->order.order.order_id, &fresh);
    if (!fresh && (!order->made || order->status != STATUS_REJECTED))
        return wrong(scene, "an order is told twice");
    *order = (struct fold_order){
        .market = scene->market_place,
        .made = true,
        .touched = true,
        .company_known = event->order.order.company < market_of(scene)->rules.company_count,
        .wish = event->order.order,
        .status = status,
        .reason = event->order.reason,
        .seq = scene->seq,
        .created_ms = scene->at_ms,
        .updated_ms = scene->at_ms,
    };
    return true;
}

static bool accepted(struct scene *scene, const struct market_event *event)
{
    uint32_t place;
    make_account(scene, account_of(scene, &event->order.order.account, &place), event->order.order.bot);
    return company_of(scene, event->order.order.company) && tell_order(scene, event, STATUS_OPEN);
}

/* Of an amend or cancel: the order stays as it stands. NOT_FOUND: the id is somebody else's order. */
static bool rejected(struct scene *scene, const struct market_event *event)
{
    if (event->order.command != MARKET_PLACE || event->order.reason == REASON_NOT_FOUND)
        return true;
    return tell_order(scene, event, STATUS_REJECTED);
}

static bool amended(struct scene *scene, const struct market_event *event)
{
    struct fold_order *order = touch(scene, &event->order.order.order_id);
    order->amended = true;
    order->wish.price = event->order.order.price;
    order->wish.quantity = event->order.order.quantity;
    return true;
}

static bool done(struct scene *scene, const struct market_event *event)
{
    struct fold_order *order = touch(scene, &event->order.order.order_id);
    if (order->status != STATUS_OPEN)
        return wrong(scene, "an order ends twice");
    if (order->made && (order->filled != event->order.filled || order->paid != event->order.paid))
        return wrong(scene, "an order ends with other fills than its trades");
    order->status = event->order.reason == REASON_FILLED ? STATUS_FILLED : STATUS_CANCELLED;
    order->reason = event->order.reason;
    return true;
}

/* ---- trades ---- */

int64_t fold_cost_left(int64_t cost, int64_t owned, int64_t sold)
{
    return owned <= 0 ? 0 : cost - (int64_t)((__int128)cost * sold / owned);
}

/* Shares one way, cash the other. False: he had not enough. */
static bool move(struct scene *scene, const struct uuid *user, uint8_t company, int64_t shares, int64_t cash, bool *bot)
{
    uint32_t place;
    struct fold_account *account = account_of(scene, user, &place);
    struct fold_holding *holding = &scene->fold->holdings.items[fold_holding_named(scene->fold, place, company)];
    if (!account->known)
        return wrong(scene, "a trade of somebody without an account");
    if (account->cash + cash < 0 || holding->quantity + shares < 0)
        return wrong(scene, "a trade leaves less than nothing");
    holding->cost = shares > 0 ? holding->cost - cash : fold_cost_left(holding->cost, holding->quantity, -shares);
    holding->quantity += shares;
    account->cash += cash;
    account->changed = holding->changed = true;
    *bot = account->bot;
    return true;
}

static void fill(struct scene *scene, const struct uuid *id, int64_t quantity, int64_t price)
{
    struct fold_order *order = touch(scene, id);
    order->filled += quantity;
    order->paid += quantity * price;
}

static void draw(struct scene *scene, const struct fold_company *company, int64_t price, int64_t quantity)
{
    struct fold *fold = scene->fold;
    const int64_t second = scene->at_ms / 1000;
    const uint32_t place = keymap_put(&fold->candle_map, &company->id, (uint64_t)second, (uint32_t)fold->candles.count);
    if (place == fold->candles.count)
        *ADD(fold->candles) = (struct fold_candle){company->id, second, price, price, price, price, 0};
    struct fold_candle *candle = &fold->candles.items[place];
    candle->high = price > candle->high ? price : candle->high;
    candle->low = price < candle->low ? price : candle->low;
    candle->close = price;
    candle->volume += quantity;
}

static bool traded(struct scene *scene, const struct market_event *event)
{
    const int64_t price = event->trade.price, quantity = event->trade.quantity;
    struct fold_company *company = company_of(scene, event->trade.company);
    int64_t cash;
    if (!company)
        return false;
    if (event->trade.number != company->trades + 1)
        return wrong(scene, "trade %" PRId64 " after %" PRId64, event->trade.number, company->trades);
    if (price < 1 || quantity < 1 || __builtin_mul_overflow(price, quantity, &cash))
        return wrong(scene, "a trade of %" PRId64 " at %" PRId64, quantity, price);
    const bool takes = event->trade.taker_side == SIDE_BUY;
    const struct uuid *buyer = takes ? &event->trade.taker : &event->trade.maker;
    const struct uuid *seller = takes ? &event->trade.maker : &event->trade.taker;
    bool buyer_bot, seller_bot;
    if (!move(scene, buyer, event->trade.company, quantity, -cash, &buyer_bot) ||
        !move(scene, seller, event->trade.company, -quantity, cash, &seller_bot))
        return false;
    fill(scene, &event->trade.maker_order, quantity, price);
    fill(scene, &event->trade.taker_order, quantity, price);
    draw(scene, company, price, quantity);
    company->high = price > company->high ? price : company->high;
    company->low = company->low == 0 || price < company->low ? price : company->low;
    company->last_price = price;
    company->volume += quantity;
    company->trades++;
    company->changed = true;
    *ADD(scene->fold->trades) = (struct fold_trade){
        .market = scene->market_place,
        .seq = scene->seq,
        .at_ms = scene->at_ms,
        .company = event->trade.company,
        .taker_side = event->trade.taker_side,
        .maker_bot = takes ? seller_bot : buyer_bot,
        .taker_bot = takes ? buyer_bot : seller_bot,
        .number = event->trade.number,
        .price = price,
        .quantity = quantity,
        .maker_order = event->trade.maker_order,
        .taker_order = event->trade.taker_order,
        .maker = event->trade.maker,
        .taker = event->trade.taker,
    };
    return true;
}

/* ---- a record ---- */

static bool nothing(struct scene *scene, const struct market_event *event)
{
    (void)scene;
    (void)event;
    return true;
}

static bool (*const APPLY[MARKET_EVENTS])(struct scene *scene, const struct market_event *event) = {
    [MARKET_OPENED] = opened,     [MARKET_STARTED] = started,       [MARKET_DEPOSITED] = deposited,
    [MARKET_ACCEPTED] = accepted, [MARKET_REPEATED] = nothing,      [MARKET_REJECTED] = rejected,
    [MARKET_TRADE] = traded,      [MARKET_AMENDED] = amended,       [MARKET_DONE] = done,
    [MARKET_HALTED] = halted,     [MARKET_CANCELLED_ALL] = nothing, [MARKET_CLOSED] = closed,
    [MARKET_ACCOUNTS] = nothing,  [MARKET_HASH] = nothing,
};

/* What a market that was never opened answers: nothing that could be settled. */
static bool is_stray(const struct market_events *events)
{
    for (uint32_t i = 0; i < events->count; i++) {
        const struct market_event *event = &events->events[i];
        const bool refusal = event->kind == MARKET_REJECTED &&
                             (event->order.reason == REASON_MARKET_CLOSED || event->order.reason == REASON_NOT_FOUND);
        if (!refusal && event->kind != MARKET_CANCELLED_ALL && event->kind != MARKET_HASH)
            return false;
    }
    return true;
}

enum fold_verdict fold_turn(const struct fold *fold, const struct market_events *events, struct err *err)
{
    const int64_t place = keymap_find(&fold->market_map, &events->market, 0);
    const struct fold_market *market = place == KEYMAP_NONE ? NULL : &fold->markets.items[place];
    const int64_t last = events->first_seq + events->count - 1;
    int64_t seq = 0;
    char id[UUID_TEXT_BYTES];
    if (market && market->known) {
        seq = market->seq;
        if (market->given_up || last <= seq)
            return FOLD_DOUBLE;
    } else if (events->events[0].kind == MARKET_OPENED) {
        return FOLD_DONE;
    } else if (is_stray(events)) {
        return FOLD_DOUBLE;
    }
    uuid_format(&events->market, id);
    if (!seq && (!fold->knows_since_ms || uuid_time_ms(id) < fold->knows_since_ms))
        return FOLD_UNKNOWN;
    if (events->first_seq > seq + 1) {
        (void)err_set_internal(err, &ERR_INTERNAL, "market %s: events %" PRId64 " to %" PRId64 " are missing", id,
                               seq + 1, events->first_seq - 1);
        return FOLD_GAP;
    }
    if (events->first_seq != seq + 1 || !seq) {
        (void)err_set_internal(err, &ERR_INTERNAL, "market %s: a record from %" PRId64 " does not go on after %" PRId64,
                               id, events->first_seq, seq);
        return FOLD_WRONG;
    }
    return FOLD_DONE;
}

enum fold_verdict fold_apply(struct fold *fold, const struct market_events *events, int64_t offset, struct err *err)
{
    const enum fold_verdict verdict = fold_turn(fold, events, err);
    if (verdict != FOLD_DONE)
        return verdict;
    struct scene scene = {
        .fold = fold, .market_place = fold_market_named(fold, &events->market), .at_ms = events->at_ms, .err = err};
    for (uint32_t i = 0; i < events->count; i++) {
        const struct market_event *event = &events->events[i];
        scene.seq = events->first_seq + i;
        scene.lines = 0;
        if (!APPLY[event->kind](&scene, event))
            return FOLD_WRONG;
        if (event->kind == MARKET_OPENED)
            market_of(&scene)->first_offset = offset;
    }
    market_of(&scene)->seq = scene.seq;
    return FOLD_DONE;
}
