#include "audit_log.h"

#include "mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void audit_differ(const struct audit_log *log, const char *format, ...)
{
    char words[300];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(words, sizeof words, format, list);
    va_end(list);
    log->differ(log->payload, words);
}

void audit_log_free(struct audit_log *log)
{
    free(log->accounts);
    free(log->orders);
    free(log->candles);
    for (int i = 0; i < MARKET_COMPANIES_MAX; i++)
        free(log->trades[i]);
    keymap_free(&log->account_map);
    keymap_free(&log->order_map);
    keymap_free(&log->candle_map);
}

/* ---- who and what ---- */

/* One more item behind the others, zeroed. */
#define MORE(items, count, room)                                                                                       \
    __extension__({                                                                                                    \
        if ((count) == (room)) {                                                                                       \
            (room) = (room) ? (room)*2 : 256;                                                                          \
            (items) = mem_grow((items), (room), sizeof *(items));                                                      \
        }                                                                                                              \
        memset(&(items)[(count)], 0, sizeof *(items));                                                                 \
        &(items)[(count)++];                                                                                           \
    })

const struct audit_account *audit_log_account(const struct audit_log *log, const struct uuid *user)
{
    const int64_t place = keymap_find(&log->account_map, user, 0);
    return place == KEYMAP_NONE ? NULL : &log->accounts[place];
}

struct audit_order *audit_log_order(const struct audit_log *log, const struct uuid *id)
{
    const int64_t place = keymap_find(&log->order_map, id, 0);
    return place == KEYMAP_NONE ? NULL : &log->orders[place];
}

static struct uuid company_key(int company)
{
    return (struct uuid){{1, (unsigned char)company}};
}

struct audit_candle *audit_log_candle(const struct audit_log *log, int company, int64_t second)
{
    const struct uuid key = company_key(company);
    const int64_t place = keymap_find(&log->candle_map, &key, (uint64_t)second);
    return place == KEYMAP_NONE ? NULL : &log->candles[place];
}

/* Made with the seed (people) or with nothing (bots). */
static struct audit_account *account(struct audit_log *log, const struct uuid *user, bool bot)
{
    const uint32_t place = keymap_put(&log->account_map, user, 0, (uint32_t)log->account_count);
    if (place == log->account_count) {
        struct audit_account *made = MORE(log->accounts, log->account_count, log->account_room);
        made->user = *user;
        made->bot = bot;
        made->cash = bot ? 0 : log->rules.seed_cash;
    }
    return &log->accounts[place];
}

/* ---- events ---- */

static void take_order(struct audit_log *log, const struct market_event *event, const char *status)
{
    const struct market_order *wish = &event->order.order;
    const uint32_t place = keymap_put(&log->order_map, &wish->order_id, 0, (uint32_t)log->order_count);
    if (place == log->order_count)
        (void)MORE(log->orders, log->order_count, log->order_room);
    else if (strcmp(log->orders[place].status, "rejected") != 0)
        audit_differ(log, "log, event %" PRId64 ": an order is told twice", event->seq);
    log->orders[place] = (struct audit_order){
        .id = wish->order_id,
        .user = wish->account,
        .company = wish->company < log->rules.company_count ? wish->company : -1,
        .side = wish->side,
        .type = wish->type,
        .price = wish->price,
        .quantity = wish->quantity,
        .status = status,
        .reason = event->order.reason,
    };
}

static struct audit_order *open_order(const struct audit_log *log, const struct uuid *id, int64_t seq)
{
    struct audit_order *order = audit_log_order(log, id);
    if (order && strcmp(order->status, "open") == 0)
        return order;
    audit_differ(log, "log, event %" PRId64 ": no such open order", seq);
    return NULL;
}

static void take_change(struct audit_log *log, const struct market_event *event)
{
    struct audit_order *order = open_order(log, &event->order.order.order_id, event->seq);
    if (!order)
        return;
    if (event->kind == MARKET_AMENDED) {
        order->price = event->order.order.price;
        order->quantity = event->order.order.quantity;
    } else {
        order->status = event->order.reason == REASON_FILLED ? "filled" : "cancelled";
        order->reason = event->order.reason;
    }
    if (order->filled != event->order.filled || order->paid != event->order.paid)
        audit_differ(
            log, "log, event %" PRId64 ": filled %" PRId64 " for %" PRId64 ", its trades say %" PRId64 " for %" PRId64,
            event->seq, event->order.filled, event->order.paid, order->filled, order->paid);
}

static void take_fill(struct audit_log *log, const struct market_event *event, const struct uuid *id, bool maker)
{
    struct audit_order *order = open_order(log, id, event->seq);
    if (!order)
        return;
    order->filled += event->trade.quantity;
    order->paid += event->trade.quantity * event->trade.price;
    const int64_t left = maker ? event->trade.maker_remaining : event->trade.taker_remaining;
    if (order->quantity - order->filled != left)
        audit_differ(log, "log, event %" PRId64 ": %" PRId64 " remain, told are %" PRId64, event->seq,
                     order->quantity - order->filled, left);
    if (maker && order->price != event->trade.price)
        audit_differ(log, "log, event %" PRId64 ": not at the resting order's price", event->seq);
}

static void take_shares(struct audit_log *log, const struct market_event *event, const struct uuid *user,
                        int64_t shares, int64_t cash)
{
    struct audit_account *who = account(log, user, false);
    const int company = event->trade.company;
    if (shares > 0)
        who->cost[company] -= cash;
    else if (who->shares[company] > 0)
        who->cost[company] -=
            (int64_t)((__int128)who->cost[company] * -shares / who->shares[company]); /* the average stays */
    who->shares[company] += shares;
    who->cash += cash;
    if (who->cash < 0 || who->shares[company] < 0)
        audit_differ(log, "log, event %" PRId64 ": somebody has less than nothing", event->seq);
}

static void take_candle(struct audit_log *log, const struct market_event *event, int64_t at_ms)
{
    const struct uuid key = company_key(event->trade.company);
    const int64_t price = event->trade.price, second = at_ms / 1000;
    const uint32_t place = keymap_put(&log->candle_map, &key, (uint64_t)second, (uint32_t)log->candle_count);
    if (place == log->candle_count) {
        struct audit_candle *made = MORE(log->candles, log->candle_count, log->candle_room);
        *made = (struct audit_candle){event->trade.company, second, price, price, price, price, 0, false};
    }
    struct audit_candle *candle = &log->candles[place];
    candle->high = candle->high > price ? candle->high : price;
    candle->low = candle->low < price ? candle->low : price;
    candle->close = price;
    candle->volume += event->trade.quantity;
}

static void take_trade(struct audit_log *log, const struct market_event *event, int64_t at_ms)
{
    const int company = event->trade.company;
    const int64_t cash = event->trade.price * event->trade.quantity;
    struct audit_trade *trade = MORE(log->trades[company], log->trade_count[company], log->trade_room[company]);
    *trade = (struct audit_trade){event->trade.number,
                                  event->seq,
                                  event->trade.price,
                                  event->trade.quantity,
                                  at_ms,
                                  event->trade.maker_order,
                                  event->trade.taker_order,
                                  event->trade.maker,
                                  event->trade.taker,
                                  event->trade.taker_side};
    if (event->trade.number != (int64_t)log->trade_count[company])
        audit_differ(log, "log, event %" PRId64 ": trade %" PRId64 " is the %zuth", event->seq, event->trade.number,
                     log->trade_count[company]);
    const bool takes = event->trade.taker_side == SIDE_BUY;
    take_shares(log, event, takes ? &event->trade.taker : &event->trade.maker, event->trade.quantity, -cash);
    take_shares(log, event, takes ? &event->trade.maker : &event->trade.taker, -event->trade.quantity, cash);
    take_fill(log, event, &event->trade.maker_order, true);
    take_fill(log, event, &event->trade.taker_order, false);
    take_candle(log, event, at_ms);
    log->last_price[company] = event->trade.price;
    log->volume[company] += event->trade.quantity;
    if (event->trade.price > log->high[company])
        log->high[company] = event->trade.price;
    if (!log->low[company] || event->trade.price < log->low[company])
        log->low[company] = event->trade.price;
}

static void take_deposit(struct audit_log *log, const struct market_event *event)
{
    struct audit_account *bot = account(log, &event->deposit.account, true);
    bot->cash += event->deposit.cash;
    for (int i = 0; i < event->deposit.company_count; i++)
        bot->shares[i] += event->deposit.shares[i];
}

static void take_opened(struct audit_log *log, const struct market_event *event)
{
    log->opened = true;
    log->rules = event->opened;
    for (int i = 0; i < event->opened.company_count; i++)
        log->last_price[i] = event->opened.companies[i].initial_price;
}

static void take_closed(struct audit_log *log, const struct market_event *event)
{
    log->closed = true;
    for (size_t i = 0; i < log->order_count; i++) {
        if (strcmp(log->orders[i].status, "open") != 0)
            continue;
        log->orders[i].status = "cancelled";
        log->orders[i].reason = REASON_ROUND_CLOSED;
    }
    for (int c = 0; c < log->rules.company_count; c++) {
        if (log->last_price[c] != event->closed.last_prices[c])
            audit_differ(log, "log, event %" PRId64 ": closes at another last price", event->seq);
        for (size_t i = 0; i < log->account_count; i++) {
            log->accounts[i].cash += log->accounts[i].shares[c] * log->last_price[c];
            log->accounts[i].shares[c] = log->accounts[i].cost[c] = 0;
        }
    }
}

/* The engine's own word about final cash. Who was only ever refused is told here for the first time. */
static void take_accounts(struct audit_log *log, const struct market_event *event)
{
    for (uint32_t i = 0; i < event->accounts.count; i++) {
        const struct market_account *told = &event->accounts.accounts[i];
        struct audit_account *who = account(log, &told->account, told->bot);
        char id[UUID_TEXT_BYTES];
        uuid_format(&told->account, id);
        who->has_final = true;
        who->final = told->cash;
        if (who->cash != told->cash)
            audit_differ(log, "account %s: final cash of the engine %" PRId64 ", by its trades %" PRId64, id,
                         told->cash, who->cash);
    }
}

static void take_event(struct audit_log *log, const struct market_event *event, int64_t at_ms)
{
    switch (event->kind) {
    case MARKET_OPENED:
        take_opened(log, event);
        break;
    case MARKET_DEPOSITED:
        take_deposit(log, event);
        break;
    case MARKET_ACCEPTED:
        account(log, &event->order.order.account, event->order.order.bot)->took_part = true;
        take_order(log, event, "open");
        break;
    case MARKET_REJECTED:
        if (event->order.command == MARKET_PLACE && event->order.reason != REASON_NOT_FOUND)
            take_order(log, event, "rejected");
        break;
    case MARKET_AMENDED:
    case MARKET_DONE:
        take_change(log, event);
        break;
    case MARKET_TRADE:
        take_trade(log, event, at_ms);
        break;
    case MARKET_HALTED:
        log->halted[event->halt.company] = event->halt.on;
        break;
    case MARKET_CLOSED:
        take_closed(log, event);
        break;
    case MARKET_ACCOUNTS:
        take_accounts(log, event);
        break;
    default:
        break;
    }
}

bool audit_log_take(struct audit_log *log, const struct market_events *events, struct err *err)
{
    if (memcmp(&events->market, &log->market, sizeof log->market) != 0 || events->first_seq <= log->seq)
        return true;
    if (log->seq >= log->until_seq)
        return true;
    if (events->first_seq != log->seq + 1 && (log->opened || events->events[0].kind != MARKET_OPENED))
        return err_set(err, &ERR_NOT_FOUND, "the log of this market is cut off: event %" PRId64 " follows %" PRId64,
                       events->first_seq, log->seq);
    for (uint32_t i = 0; i < events->count; i++) {
        struct market_event event = events->events[i];
        event.seq = events->first_seq + i;
        take_event(log, &event, events->at_ms);
    }
    log->seq = events->first_seq + events->count - 1;
    return true;
}
