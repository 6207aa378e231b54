/* fold.h - what the events of a market do to its accounts, holdings, orders, prices and ledger: pure, in memory.
 *
 *     fold_note(fold, &events) for each record      // says what must be known: names accounts and holdings
 *     ... the caller fills in what the schema knows of them (store_settle.c) ...
 *     fold_apply(fold, &events, err) for each       // does it
 *     ... the caller writes what is `made` or `changed` ...
 *
 * It trusts nothing: a gap, an account that must be there and is not, a balance below zero or a trade out of turn is a
 * failure (ERR_INTERNAL, in words), and nothing of the portion may be written then. Doubles are passed over. CLOSED
 * ends a portion (fold_closes): what it does to orders and holdings, the caller does in the schema. Ledger: the lines
 * of one event sum to zero per asset; user of zeros: the issuer; company of zeros: cash; those of a trade follow from
 * the trade, and are not told here. Threads: one. */
#ifndef MADANG_ORDER_FOLD_H
#define MADANG_ORDER_FOLD_H

#include "keymap.h"
#include "market.h"

#define FOLD_LIST(type)                                                                                                \
    struct {                                                                                                           \
        type *items;                                                                                                   \
        size_t count, room;                                                                                            \
    }

enum fold_phase { PHASE_SET_UP, PHASE_OPEN, PHASE_CLOSED, PHASES };
extern const char *const FOLD_PHASES[PHASES];

struct fold_company {
    struct uuid id;
    int64_t initial_price, last_price, volume, high, low, trades;
    bool halted, changed;
};

struct fold_market {
    struct uuid id;
    bool known;    /* by the schema, or by OPENED in this portion */
    bool made;     /* by this portion */
    bool given_up; /* its events are passed over */
    enum fold_phase phase;
    struct market_rules rules; /* price_min, price_max, size_rule: only where made */
    struct fold_company companies[MARKET_COMPANIES_MAX];
    int64_t seq, first_offset;
    int64_t opened_ms, started_ms, closed_ms; /* 0: not by this portion */
};

struct fold_account {
    uint32_t market;
    struct uuid user;
    bool bot, known, changed;
    int64_t cash;
};

struct fold_holding {
    uint32_t account;
    uint8_t company;
    bool changed;
    int64_t quantity, cost;
};

enum fold_status { STATUS_OPEN, STATUS_FILLED, STATUS_CANCELLED, STATUS_REJECTED, STATUSES };
extern const char *const FOLD_STATUSES[STATUSES];

struct fold_order {
    uint32_t market;
    bool made;                /* told whole by this portion; else only what follows is known of it */
    bool company_known;       /* else it was rejected for that */
    bool amended;             /* wish.price and wish.quantity are new */
    bool touched;             /* an event or a fill of this portion changed it */
    struct market_order wish; /* where made; order_id always */
    int64_t filled, paid;     /* by this portion */
    enum fold_status status;  /* STATUS_OPEN of one that is not made: as it was */
    uint8_t reason;
    int64_t seq, created_ms, updated_ms;
};

struct fold_trade {
    uint32_t market;
    int64_t seq, at_ms;
    uint8_t company, taker_side;
    bool maker_bot, taker_bot;
    int64_t number, price, quantity;
    struct uuid maker_order, taker_order, maker, taker;
};

struct fold_line {
    uint32_t market;
    int64_t seq;
    int32_t line;
    struct uuid user, company; /* zeros: the issuer; cash */
    int64_t amount;
};

struct fold_candle {
    struct uuid company;
    int64_t second;
    int64_t open, high, low, close, volume;
};

struct fold {
    FOLD_LIST(struct fold_market) markets;
    FOLD_LIST(struct fold_account) accounts;
    FOLD_LIST(struct fold_holding) holdings;
    FOLD_LIST(struct fold_order) orders;
    FOLD_LIST(struct fold_trade) trades;
    FOLD_LIST(struct fold_line) lines;
    FOLD_LIST(struct fold_candle) candles;
    struct keymap market_map, account_map, holding_map, order_map, candle_map;
    int64_t knows_since_ms; /* when the oldest market that the schema knows was opened; 0: it knows none */
};

void fold_clear(struct fold *fold); /* for the next portion; keeps its memory */
void fold_free(struct fold *fold);

/* The market's place in the list; named when it is new. */
uint32_t fold_market_named(struct fold *fold, const struct uuid *market);
uint32_t fold_account_named(struct fold *fold, uint32_t market, const struct uuid *user);
uint32_t fold_holding_named(struct fold *fold, uint32_t account, uint8_t company);

/* Names everything that the record touches. */
void fold_note(struct fold *fold, const struct market_events *events);
/* The seq of the record's CLOSED, 0 when there is none. Nothing else may stand in its portion. */
int64_t fold_closes(const struct market_events *events);

enum fold_verdict {
    FOLD_DONE,
    FOLD_DOUBLE,  /* settled before, or given up, or of a market that was never opened: nothing was done */
    FOLD_UNKNOWN, /* of a market that was opened before the schema began (or swept since): nothing was done */
    FOLD_GAP,     /* events are missing before it; err says which */
    FOLD_WRONG,   /* it contradicts what is known; err says how */
};
/* Whether the record comes next in its market, which must be filled in. */
enum fold_verdict fold_turn(const struct fold *fold, const struct market_events *events, struct err *err);
/* Does a record. CLOSED only sets the phase; ACCOUNTS, HASH, REPEATED, CANCELLED_ALL do nothing. */
enum fold_verdict fold_apply(struct fold *fold, const struct market_events *events, int64_t offset, struct err *err);

/* What remains of the cost of `owned` shares after `sold` of them left: the average price stays, rounded up. */
int64_t fold_cost_left(int64_t cost, int64_t owned, int64_t sold);

#endif
