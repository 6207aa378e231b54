/* market_wire.h - how market.c and market_events.c (and match-svc in its snapshots) put numbers into bytes and take
 * them out, checked. */
#ifndef MADANG_MARKET_WIRE_H
#define MADANG_MARKET_WIRE_H

#include "market.h"

/* What is left to read. Reading past the end or a value that can't be makes it bad, and stays so; the values read then
 * are 0. */
struct wire {
    const unsigned char *at, *end;
    bool bad;
};

uint64_t wire_take(struct wire *wire, unsigned size); /* little-endian, 1 to 8 bytes */
static inline int64_t wire_i64(struct wire *wire)
{
    return (int64_t)wire_take(wire, 8);
}
/* 0 to below `count`. */
uint8_t wire_enum(struct wire *wire, unsigned count);
bool wire_bool(struct wire *wire);
int64_t wire_count(struct wire *wire); /* int64 that is not negative */
struct uuid wire_uuid(struct wire *wire);
struct view wire_text(struct wire *wire); /* a client_order_id */
uint8_t wire_shares(struct wire *wire, int64_t shares[MARKET_COMPANIES_MAX]);

void wire_put(struct str *out, uint64_t value, unsigned size);
void wire_put_uuid(struct str *out, const struct uuid *uuid);
void wire_put_shares(struct str *out, uint8_t count, const int64_t *shares);

/* An order in full, as PLACE and all order events carry it. */
void wire_put_order(struct str *out, const struct market_order *order);
void wire_order(struct wire *wire, struct market_order *order);

/* The rules of a market, as OPEN and OPENED carry them; rules that no book can follow are bad. */
void wire_put_rules(struct str *out, const struct market_rules *rules);
void wire_rules(struct wire *wire, struct market_rules *rules);

#endif
