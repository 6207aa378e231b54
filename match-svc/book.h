/* book.h - the engine of one market: order books of its companies and the accounts that trade in them, in one step.
 *
 * Pure: no I/O, no clock, no randomness, no floating point, no allocation per order once warm. state + command ->
 * events; the same commands give the same events and the same hash, always. Price-time priority: best price first, then
 * the earliest; a trade is made at the resting order's price. It holds each account's available cash and shares, so to
 * check, reserve, match and release is one step and nothing can be spent twice. Conservation: after every command the
 * sum of cash (available + reserved) equals what was seeded and deposited, the sum of shares of a company equals what
 * was deposited, nothing is negative, best bid < best ask. book_check() says so (tests). Layout: price levels in an
 * array by tick, intrusive queues of orders per level, an occupancy bitmap to find the next level, open-addressing
 * indexes (order id, account id, (account, client_order_id)), objects from slabs. Units: won and shares as int64; every
 * product is checked for overflow before it is used. Threads: one. Source of the rules: spec S-19..S-39 and decision
 * 011. */
#ifndef MADANG_MATCH_BOOK_H
#define MADANG_MATCH_BOOK_H

#include "market.h"

struct book;

struct book_limits {
    size_t orders_max, accounts_max; /* of a round, ended orders included; more are refused (OVERFLOW). accounts_max is
                                        at most MARKET_ACCOUNTS_MAX */
};

enum { BOOK_HASH_EVERY = 1000 }; /* commands from one MARKET_HASH event to the next */

struct book *book_open(const struct book_limits *limits);
void book_release(struct book **book);

/* Called for each event, in order; seq grows by one each from book_seq() + 1. The event is lent for the call. */
typedef void (*book_emit_fn)(void *payload, const struct market_event *event);

/* Applies one command that was decoded and is newer than what its source sent before; always succeeds (a refusal is an
 * event). at_ms: the command's time in the log, only passed on. */
void book_apply(struct book *book, const struct market_command *command, int64_t at_ms, book_emit_fn emit,
                void *payload);
/* True when (source, n) was applied before: nothing is done and nothing emitted by book_apply then. */
bool book_seen(const struct book *book, uint64_t source, uint64_t n);

int64_t book_seq(const struct book *book);
/* Of all that book_save writes. A sum of one term per object, brought up to date from the objects that changed since
 * the last MARKET_HASH event, so it costs what those commands touched. Right after a MARKET_HASH event it equals the
 * event's hash. */
uint64_t book_hash(const struct book *book);

/* Depth and figures of a company for feeds: levels best first. */
struct book_level {
    int64_t price, quantity, orders;
};
struct book_depth {
    int64_t last_price, initial_price, volume; /* volume: shares traded */
    int64_t high, low;                         /* of the trades; 0 before the first */
    bool halted;
    size_t bid_count, ask_count;
    struct book_level bids[64], asks[64];
};
void book_depth_of(const struct book *book, int company, size_t levels, struct book_depth *depth);
int book_companies(const struct book *book);
bool book_is_open(const struct book *book);      /* trading */
uint64_t book_commands(const struct book *book); /* applied so far */
size_t book_bytes(const struct book *book);      /* about what book_save writes */
/* False for an account that is not known. */
bool book_is_bot(const struct book *book, const struct uuid *account);
bool book_is_closed(const struct book *book);
const struct uuid *book_market(const struct book *book);
const struct uuid *book_company_id(const struct book *book, int company);
bool book_company_changed(struct book *book, int company); /* since the last call */

/* Snapshots: a byte form with a version and a checksum; restore refuses what is cut short, changed or of another
 * version (ERR_BAD_INPUT). */
void book_save(const struct book *book, struct str *out);
struct book *book_restore(struct view bytes, const struct book_limits *limits, struct err *err);

/* The hash of the byte forms: of snapshots, and of records that are compared. Not for those who have a say in the
 * bytes.
 */
uint64_t hash_bytes(const char *bytes, size_t length);

/* Tests: recomputes everything from the orders and accounts; false with words when anything does not fit. */
bool book_check(const struct book *book, struct err *err);

#endif
