/* book_internal.h - what the parts of the engine share. Nobody else includes it.
 *   book.c           commands of the market itself, what others may look at
 *   book_orders.c    place, amend, cancel, cancel-all: the checks, in one order
 *   book_match.c     taking from the other side; asking beforehand what would be taken
 *   book_levels.c    one company's ladder: levels, queues, the occupancy bitmaps
 *   book_accounts.c  accounts and deposits: available and reserved
 *   book_objects.c   slabs of orders, texts, the indexes
 *   book_hash.c      the state's hash       book_save.c  its byte form       book_check.c  all of it, recomputed
 * Orders and accounts are known by their number (a ref: the order in which they were made); NONE is none. No object of
 * a round is ever given back: an ended order answers repeats until the market is released. */
#ifndef MADANG_MATCH_BOOK_INTERNAL_H
#define MADANG_MATCH_BOOK_INTERNAL_H

#include "book.h"

#include <stddef.h>

#define NONE UINT32_MAX

enum {
    ORDER_CHUNK_BITS = 8,
    ORDER_CHUNK = 1 << ORDER_CHUNK_BITS,
    ACCOUNT_CHUNK_BITS = 6,
    ACCOUNT_CHUNK = 1 << ACCOUNT_CHUNK_BITS,
    TEXT_CHUNK_BITS = 16,
    TEXT_CHUNK = 1 << TEXT_CHUNK_BITS,
    WORDS_MAX = MARKET_LEVELS_MAX / 64,
    SUMMARY_WORDS = WORDS_MAX / 64,
};

/* The first line of the cache is what matching touches. */
struct order {
    struct uuid id;
    uint32_t account, level;
    uint32_t next, prev; /* in the level's queue; only while it rests */
    int64_t price, quantity, filled;
    int64_t paid;
    int64_t priority;            /* grows with each order that comes to rest: the queue's order */
    uint64_t term;               /* of this order in the hash as it was last summed */
    uint64_t client_hash;        /* 0: no client_order_id */
    uint32_t own_next, own_prev; /* the account's resting orders, by priority */
    uint32_t client_at;          /* its client_order_id in the texts */
    uint8_t client_length;
    uint8_t company, side, type, tif,
        reason;                   /* reason: why it ended; REASON_NONE: it rests (or is at work in this command) */
    bool post_only, bot, changed; /* changed: stands in the list of what the hash has not seen */
} __attribute__((aligned(64)));

struct account {
    struct uuid id;
    int64_t cash, cash_reserved; /* cash: available */
    uint64_t term;
    uint32_t own_first, own_last, own_count; /* resting orders */
    bool bot, changed;
    struct {
        int64_t available, reserved;
    } shares[MARKET_COMPANIES_MAX];
};

struct level {
    int64_t quantity;
    uint32_t first, last, count;
};

/* Which levels of one side are occupied: a bit per level, and a bit per word of those. */
struct occupancy {
    uint64_t *words;
    uint64_t summary[SUMMARY_WORDS];
    int64_t quantity; /* of all levels: the size rule */
    int32_t best;     /* level; -1: empty */
};

struct company {
    struct uuid id;
    int64_t initial_price, last_price, volume, high, low, trades, shares; /* shares: deposited in all */
    bool halted, changed;
    struct level *levels; /* both sides: no price has bids and asks */
    struct occupancy sides[2];
};

/* Open addressing, nothing is ever taken out (book_objects.c): tag is of the key's hash, ref what it leads to (plus
 * one; 0: free). */
struct slot {
    uint32_t tag, ref;
};
struct index {
    struct slot *slots;
    uint32_t mask, count;
};

struct source {
    uint64_t id, n;
};

struct refs {
    uint32_t *items;
    size_t count, capacity;
};

enum book_phase { BOOK_NEW, BOOK_SET_UP, BOOK_TRADING, BOOK_CLOSED };

struct book {
    struct book_limits limits;
    struct uuid market;
    enum book_phase phase;
    int64_t seed_cash, tick, price_min, price_max;
    bool size_rule;
    uint8_t company_count;
    uint32_t level_count;
    int64_t seq, priority;
    uint64_t commands;
    int64_t cash; /* seeded and deposited in all */
    struct company companies[MARKET_COMPANIES_MAX];

    struct order **order_chunks;
    uint32_t order_count;
    struct account **account_chunks;
    uint32_t account_count;
    char **texts;
    uint32_t text_chunks, text_used; /* used: of the last chunk */
    struct index by_id, by_client, by_account, by_deposit;
    struct uuid *deposits;
    uint32_t deposit_count, deposit_capacity;
    struct source *sources;
    size_t source_count, source_capacity, source_last; /* last: found last time */

    uint64_t terms; /* the sum of all orders' and accounts' terms */
    struct refs changed_orders, changed_accounts;

    /* of the command at work */
    book_emit_fn emit;
    void *payload;
    enum market_command_kind command;
};

/* ---- book.c ---- */

/* Sets the event's seq and tells it. */
void book_tell(struct book *book, struct market_event *event);
/* The order as it stands. */
struct tale {
    enum market_reason reason;
    bool kept_priority;
    int64_t limit;
};
void book_tell_order(struct book *book, enum market_event_kind kind, const struct order *order, struct tale tale);
/* A refusal that leaves no order behind: `order` as it was asked. */
void book_tell_refusal(struct book *book, const struct market_order *order, enum market_reason reason);
/* The ladders of all companies, empty. */
void book_make_ladders(struct book *book);

/* ---- book_orders.c ---- */

void book_place(struct book *book, const struct market_order *wish);
void book_amend(struct book *book, const struct market_order *wish);
void book_cancel(struct book *book, const struct market_order *wish);
void book_cancel_all(struct book *book, const struct uuid *account);
/* Into its level's queue and its account's list, last in both, and out of them; what is reserved for it is not touched.
 */
void book_link(struct book *book, uint32_t ref);
void book_unlink(struct book *book, uint32_t ref);

/* ---- book_match.c ---- */

struct probe {
    int64_t quantity, cost; /* what would be taken, and for how much */
    bool met_own;           /* it ends at an order of the same account */
};
/* What `remaining` of the order would take up to its price. */
struct probe book_probe(const struct book *book, const struct order *order);
/* Takes it; returns why it ended, or REASON_NONE when what is left may rest. */
enum market_reason book_match(struct book *book, uint32_t ref);
bool book_crosses(const struct book *book, const struct order *order);

/* ---- book_levels.c ---- */

void levels_add(struct book *book, struct order *order, uint32_t ref);
void levels_remove(struct book *book, struct order *order);
void levels_reduce(struct book *book, const struct order *order, int64_t quantity); /* the queue's total */
/* The next occupied level, worse than `level` of that side; -1: none. */
int32_t levels_next(const struct book *book, const struct company *company, int side, int32_t level);
/* Level of a price on the ladder and back. */
static inline uint32_t level_of(const struct book *book, int64_t price)
{
    return (uint32_t)((price - book->price_min) / book->tick);
}
static inline int64_t price_of(const struct book *book, int32_t level)
{
    return book->price_min + level * book->tick;
}

/* ---- book_accounts.c ---- */

/* NONE: no such account. */
uint32_t accounts_find(const struct book *book, const struct uuid *id);
/* Found or made; NONE: one more can't be. */
uint32_t accounts_get(struct book *book, const struct uuid *id, bool bot);
uint32_t accounts_add(struct book *book, const struct uuid *id, bool bot); /* no questions asked */
void book_deposit(struct book *book, const struct market_command *command);
/* Moves what that much of the order's quantity needs from available to reserved, and back. */
void accounts_reserve(struct book *book, const struct order *order, int64_t quantity);
void accounts_unreserve(struct book *book, const struct order *order, int64_t quantity);
/* Sells all shares at the last prices; tells all accounts by id. */
void accounts_close(struct book *book);
/* Could the market's money and all shares at the highest price still be told in int64 with this much more? */
bool accounts_worth_fits(const struct book *book, int64_t cash, const int64_t *shares);

/* ---- book_objects.c ---- */

static inline struct order *order_at(const struct book *book, uint32_t ref)
{
    return &book->order_chunks[ref >> ORDER_CHUNK_BITS][ref & (ORDER_CHUNK - 1)];
}
static inline struct account *account_at(const struct book *book, uint32_t ref)
{
    return &book->account_chunks[ref >> ACCOUNT_CHUNK_BITS][ref & (ACCOUNT_CHUNK - 1)];
}
static inline const char *text_at(const struct book *book, uint32_t at)
{
    return &book->texts[at >> TEXT_CHUNK_BITS][at & (TEXT_CHUNK - 1)];
}
static inline struct view order_text(const struct book *book, const struct order *order)
{
    return (struct view){order->client_length ? text_at(book, order->client_at) : "", order->client_length};
}
static inline int64_t order_remaining(const struct order *order)
{
    return order->quantity - order->filled;
}

uint32_t objects_order_by_id(const struct book *book, const struct uuid *id);
uint32_t objects_order_by_client(const struct book *book, uint32_t account, struct view client_order_id);
/* A new order, zeroed but for id, account and client_order_id, and found by them. */
uint32_t objects_add_order(struct book *book, const struct uuid *id, uint32_t account, struct view client_order_id);
struct account *objects_add_account(struct book *book, const struct uuid *id, uint32_t *ref);
bool objects_deposit_known(const struct book *book, const struct uuid *id);
void objects_add_deposit(struct book *book, const struct uuid *id);
struct source *objects_source(const struct book *book, uint64_t id); /* NULL: unknown */
struct source *objects_add_source(struct book *book, uint64_t id);
void refs_add(struct refs *refs, uint32_t ref);
void objects_release(struct book *book);

/* ---- book_hash.c ---- */

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
    const unsigned __int128 product =
        (unsigned __int128)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b ^ UINT64_C(0xd1b54a32d192ed03));
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
static inline uint64_t hash_uuid(const struct uuid *uuid)
{
    uint64_t halves[2];
    memcpy(halves, uuid->bytes, sizeof halves);
    return hash_mix(halves[0], halves[1]);
}
uint64_t hash_order(uint32_t ref, const struct order *order);
uint64_t hash_account(const struct book *book, uint32_t ref, const struct account *account);
/* Brings the sum of terms up to date and forgets what had changed. */
void hash_settle(struct book *book);
uint64_t hash_head(const struct book *book); /* everything but orders and accounts */

static inline void order_changed(struct book *book, struct order *order, uint32_t ref)
{
    if (!order->changed) {
        order->changed = true;
        refs_add(&book->changed_orders, ref);
    }
}
static inline void account_changed(struct book *book, struct account *account, uint32_t ref)
{
    if (!account->changed) {
        account->changed = true;
        refs_add(&book->changed_accounts, ref);
    }
}

#endif
