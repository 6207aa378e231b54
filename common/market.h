/* market.h - the forms of the topics market.commands and market.events: what order-svc and game-svc send to a market's
 * owner in match-svc, and what comes back. Shared by three rooms, so it stands here; it knows bytes and bounds, no
 * rules.
 *
 * Both are keyed by the market (a UUID: one running round). Form: little-endian, fixed layout, version 1, at most
 * MARKET_RECORD_MAX bytes; market.c and market_events.c write the fields in the order of these structs. Every record is
 * checked when decoded: lengths, kinds, enums, no bytes left over; fuzzed. Prices are whole won, quantities whole
 * shares, int64. A command carries (source, n): source is its sender's start id, n grows by one per command of that
 * source and market; the owner skips what is not newer. All events of one command are one record: (first_seq, count)
 * without gaps per market. Header corr is passed through from command to events. Ownership: decoded structs point into
 * the record's bytes or the arena. Threads: pure functions. */
#ifndef MADANG_MARKET_H
#define MADANG_MARKET_H

#include "arena.h"
#include "errors.h"
#include "str.h"
#include "uuid.h"

#include <stdint.h>

enum {
    MARKET_VERSION = 1,
    MARKET_COMPANIES_MAX = 16,
    MARKET_RECORD_MAX = 512 * 1024,
    MARKET_CLIENT_ID_MAX = 64,
    MARKET_ACCOUNTS_PER_EVENT = 1000, /* of a close: final accounts come in several events */
    /* So that the events of one command always fit one record: */
    MARKET_FILLS_MAX = 2000,       /* of one order at once; what is left then ends as unfilled */
    MARKET_OPEN_ORDERS_MAX = 5000, /* of one account; one more is refused (overflow) */
    MARKET_ACCOUNTS_MAX = 20000,
    MARKET_LEVELS_MAX = 65536, /* ticks from price_min to price_max */
    MARKET_QUANTITY_MAX = 2147483647,
};

enum market_side { SIDE_BUY, SIDE_SELL };
enum market_type { TYPE_LIMIT, TYPE_MARKET };
enum market_tif { TIF_GTC, TIF_IOC, TIF_FOK };

/* ---- commands ---- */

enum market_command_kind {
    MARKET_OPEN = 1, /* set-up: companies and rules; orders only from the bot until START */
    MARKET_START,    /* trading is open to all */
    MARKET_DEPOSIT,  /* bots only: cash and shares, once per deposit id */
    MARKET_PLACE,
    MARKET_AMEND,
    MARKET_CANCEL,
    MARKET_CANCEL_ALL,
    MARKET_HALT,  /* one company, on or off */
    MARKET_CLOSE, /* the one exact place after which nothing is accepted; cancels what is open, cashes shares at the
                     last price */
    MARKET_COMMANDS
};

struct market_company {
    struct uuid id;
    int64_t initial_price;
};

/* The rules of one market, said once in OPEN and told again in OPENED, so that either topic is enough to follow it. */
struct market_rules {
    int64_t seed_cash; /* of an account at its first command */
    int64_t tick, price_min, price_max;
    bool size_rule; /* S-27: quantity below the opposite side's total */
    uint8_t company_count;
    struct market_company companies[MARKET_COMPANIES_MAX];
};

struct market_order {
    struct uuid order_id, account;
    uint8_t company; /* index in the market's list */
    uint8_t side, type, tif;
    bool post_only, bot;
    int64_t price;               /* limit: a multiple of the tick; market: 0 */
    int64_t quantity;            /* AMEND: the new total, filled included */
    struct view client_order_id; /* empty: none */
};

struct market_command {
    enum market_command_kind kind;
    struct uuid market;
    uint64_t source, n;
    union {
        struct market_rules open;
        struct {
            struct uuid deposit_id, account;
            int64_t cash;
            uint8_t company_count;
            int64_t shares[MARKET_COMPANIES_MAX];
        } deposit;
        struct market_order
            order; /* PLACE; AMEND and CANCEL use order_id, account (and price, quantity; 0: unchanged) */
        struct {
            struct uuid account;
        } cancel_all;
        struct {
            uint8_t company;
            bool on;
        } halt;
    };
};

/* Appends the record's payload. */
void market_command_encode(struct str *out, const struct market_command *command);
/* ERR_BAD_INPUT for what no command can be: lengths, kinds, enums, rules of OPEN that fit no book. What a player may
 * get wrong (price, quantity, company) is taken: the engine answers it. */
bool market_command_decode(struct view bytes, struct market_command *command, struct err *err);

/* ---- events ---- */

enum market_reason {
    REASON_NONE,
    REASON_MARKET_CLOSED,
    REASON_HALTED,
    REASON_UNKNOWN_COMPANY,
    REASON_BAD_TICK,
    REASON_BAD_PRICE,
    REASON_BAD_QUANTITY,
    REASON_INSUFFICIENT_CASH,
    REASON_INSUFFICIENT_SHARES,
    REASON_TOO_LARGE,
    REASON_WOULD_CROSS,
    REASON_NOT_FOUND,  /* amend, cancel: no such order of this account */
    REASON_ORDER_DONE, /* it ended before */
    REASON_FILLED,
    REASON_CANCELLED,
    REASON_UNFILLED,
    REASON_SELF_TRADE,
    REASON_ROUND_CLOSED,
    REASON_OVERFLOW,
    REASONS
};
const char *market_reason_name(enum market_reason reason); /* "insufficient_cash", ... */

enum market_event_kind {
    MARKET_OPENED = 1,
    MARKET_STARTED,
    MARKET_DEPOSITED,
    MARKET_ACCEPTED, /* order: rests or is about to match; what follows in the same record tells what became of it */
    MARKET_REPEATED, /* a client_order_id again: the order as it stands */
    MARKET_REJECTED, /* order and reason; `limit` says the most that would have been taken (TOO_LARGE). Of a DEPOSIT:
                        order_id is the deposit's */
    MARKET_TRADE,
    MARKET_AMENDED,
    MARKET_DONE, /* an order left the book: filled, cancelled, unfilled, self_trade, round_closed */
    MARKET_HALTED,
    MARKET_CANCELLED_ALL, /* how many */
    MARKET_CLOSED,        /* last prices */
    MARKET_ACCOUNTS,      /* final accounts, sorted by id */
    MARKET_HASH,          /* of the state after every N commands: replays are compared by it */
    MARKET_EVENTS
};

struct market_account {
    struct uuid account;
    bool bot;
    int64_t cash; /* after the shares were sold at the last price */
};

struct market_event {
    enum market_event_kind kind;
    int64_t seq;
    union {
        struct market_rules opened;
        struct {                       /* ACCEPTED, REPEATED, REJECTED, AMENDED, DONE */
            struct market_order order; /* quantity: the total; client_order_id only in ACCEPTED, REPEATED, REJECTED */
            int64_t remaining, filled,
                paid;        /* remaining: quantity - filled; paid: sum of price x quantity of its fills */
            uint8_t command; /* the kind of command that this comes from: REJECTED of an AMEND or CANCEL leaves the
                                order as it stands */
            uint8_t reason;
            bool kept_priority;
            int64_t limit;
        } order;
        struct {
            uint8_t company, taker_side;
            int64_t number; /* per company, without holes */
            int64_t price, quantity;
            struct uuid maker_order, taker_order, maker, taker;
            int64_t maker_remaining, taker_remaining;
        } trade;
        struct {
            struct uuid deposit_id, account;
            int64_t cash;
            uint8_t company_count;
            int64_t shares[MARKET_COMPANIES_MAX];
        } deposit;
        struct {
            uint8_t company;
            bool on;
        } halt;
        struct {
            struct uuid account;
            int64_t count;
        } cancelled_all;
        struct {
            uint8_t company_count;
            int64_t last_prices[MARKET_COMPANIES_MAX];
        } closed;
        struct {
            uint32_t count;
            const struct market_account *accounts;
        } accounts;
        struct {
            uint64_t commands, hash;
        } hash;
    };
};

struct market_events {
    struct uuid market;
    int64_t command_offset, at_ms; /* of the command's record; the broker's time */
    int64_t first_seq;
    uint32_t count;
    struct market_event *events;
};

/* A record is begun in an empty `out`; each add counts itself in the record's head. */
void market_events_begin(struct str *out, const struct uuid *market, int64_t command_offset, int64_t at_ms,
                         int64_t first_seq);
void market_events_add(struct str *out,
                       const struct market_event *event); /* seq is not written: it follows from first_seq */
/* ERR_BAD_INPUT for what no record can be, or for more than the arena's limit. */
bool market_events_decode(struct arena *arena, struct view bytes, struct market_events *events, struct err *err);
/* The head alone: `events` without its events, and the kind of the first one (0: none). For those who look at every
 * record and decode few. False for what has no such head. */
bool market_events_head(struct view bytes, struct market_events *events, int *first_kind);

#endif
