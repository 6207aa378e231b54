/* codec.h - Order and Company of the API as JSON, and what bodies and queries may hold.
 * Money is whole won, quantities are whole shares; averages and percentages as in ratio.h. Threads: pure functions. */
#ifndef MADANG_ORDER_CODEC_H
#define MADANG_ORDER_CODEC_H

#include "json.h"
#include "market.h"

/* ---- orders ---- */

enum order_status {
    ORDER_ACCEPTED, /* stored, not decided yet */
    ORDER_OPEN,
    ORDER_PARTIAL,
    ORDER_FILLED,
    ORDER_CANCELLED,
    ORDER_REJECTED,
    ORDER_STATUSES
};
extern const char *const ORDER_STATUS_NAMES[ORDER_STATUSES + 1]; /* ended by NULL */
extern const char *const SIDE_NAMES[];                           /* by enum market_side, ended by NULL */
extern const char *const TYPE_NAMES[];
extern const char *const TIF_NAMES[];
/* The place of a name in one of these lists; -1 for another name. */
int name_index(const char *const *names, const char *name);

struct order {
    const char *id;
    const char *company_id;      /* NULL: it named none that exists */
    const char *client_order_id; /* NULL: none */
    int side, type, tif;
    bool post_only;
    int64_t price; /* 0: a market order */
    int64_t quantity, remaining, filled, paid;
    enum order_status status;
    const char *reason; /* NULL: none */
    int64_t created_ms, updated_ms;
};
void codec_order(struct str *out, const char *name, const struct order *order);
/* Of one that waits for the market: {id, status: "accepted"}; {} for a NULL id. */
void codec_accepted(struct str *out, const char *order_id);

/* ---- companies ---- */

struct company {
    const char *id, *name; /* name NULL: not told yet */
    int64_t price, initial_price;
    bool halted;
};
void codec_company(struct str *out, const char *name, const struct company *company);

/* ---- bodies of requests ---- */

struct order_wish {
    const char *company_id, *side, *type, *time_in_force, *client_order_id;
    int64_t quantity, price;
    bool post_only, price_seen;
};
/* Fills `order` (all but ids and company) from a body; all that is wrong about it is told at once. */
bool codec_order_wish(struct arena *arena, struct view body, struct order_wish *wish, struct market_order *order,
                      struct err *err);

/* PATCH: the new price and the new total; 0: as it is. */
struct amend_wish {
    int64_t price, quantity;
};
bool codec_amend_wish(struct arena *arena, struct view body, struct amend_wish *wish, struct err *err);

/* The price is within the market's limits; 0 passes (none is given). */
bool codec_price_fits(int64_t price, const struct market_rules *rules, struct err *err);

/* RFC 3339 in UTC (2026-01-31T23:59:59Z, with up to 9 decimals); false for what is none. */
bool codec_time(const char *text, int64_t *at_ms);

#endif
