/* audit_log.h - a market's log replayed event by event, as plainly as can be: no batches, no knowledge of the schema,
 * nothing shared with fold.c but the map. What contradicts itself in the log is a difference, too. */
#ifndef MADANG_ORDER_AUDIT_LOG_H
#define MADANG_ORDER_AUDIT_LOG_H

#include "keymap.h"
#include "market.h"

struct audit_account {
    struct uuid user;
    bool bot, took_part, has_final;
    int64_t cash, final;
    int64_t shares[MARKET_COMPANIES_MAX], cost[MARKET_COMPANIES_MAX];
};

struct audit_order {
    struct uuid id, user;
    int company; /* -1: unknown */
    uint8_t side, type;
    int64_t price, quantity, filled, paid;
    const char *status;
    uint8_t reason;
    bool seen; /* in the schema */
};

struct audit_trade {
    int64_t number, seq, price, quantity, at_ms;
    struct uuid maker_order, taker_order, maker, taker;
    uint8_t taker_side;
};

struct audit_candle {
    int company;
    int64_t second, open, high, low, close, volume;
    bool seen;
};

struct audit_log {
    struct uuid market;
    int64_t until_seq; /* events after it are left alone */
    int64_t seq;
    bool opened, closed;
    struct market_rules rules;
    int64_t last_price[MARKET_COMPANIES_MAX], volume[MARKET_COMPANIES_MAX], high[MARKET_COMPANIES_MAX],
        low[MARKET_COMPANIES_MAX];
    bool halted[MARKET_COMPANIES_MAX];
    struct audit_account *accounts;
    struct audit_order *orders;
    struct audit_candle *candles;
    size_t account_count, account_room, order_count, order_room, candle_count, candle_room;
    struct audit_trade *trades[MARKET_COMPANIES_MAX];
    size_t trade_count[MARKET_COMPANIES_MAX], trade_room[MARKET_COMPANIES_MAX];
    struct keymap account_map, order_map, candle_map;
    void (*differ)(void *payload, const char *words);
    void *payload;
};

/* One record; of other markets and doubles are passed over. False: the log is cut off (err). */
bool audit_log_take(struct audit_log *log, const struct market_events *events, struct err *err);
void audit_log_free(struct audit_log *log);

const struct audit_account *audit_log_account(const struct audit_log *log, const struct uuid *user);
struct audit_order *audit_log_order(const struct audit_log *log, const struct uuid *id);
struct audit_candle *audit_log_candle(const struct audit_log *log, int company, int64_t second);

__attribute__((format(printf, 2, 3))) void audit_differ(const struct audit_log *log, const char *format, ...);

#endif
