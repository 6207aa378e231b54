/* catalog.h - the markets that an instance knows: which market and which place in it a company has, so that an order
 * finds its way without the database.
 *
 * It learns from market.events as they come (catalog_hear), and from the schema what it has missed (catalog_learn).
 * What it says of a market is true of every later moment: companies and rules never change, a phase only goes on.
 * An order's id carries two bytes of its market (entry.h), so the market of an order is found here too.
 * Bounded: the newest CATALOG_MARKETS_MAX markets. Threads: all functions are thread-safe. */
#ifndef MADANG_ORDER_CATALOG_H
#define MADANG_ORDER_CATALOG_H

#include "kafka.h"
#include "market.h"

enum {
    CATALOG_MARKETS_MAX = 64,
    CATALOG_TAG_AT = 14, /* the bytes from here on are the same in a market's id and in its orders' */
};

enum market_phase { PHASE_SET_UP, PHASE_OPEN, PHASE_CLOSED };

struct catalog_market {
    struct uuid id;
    char id_text[UUID_TEXT_BYTES];
    int32_t partition; /* of market.commands and market.events alike */
    enum market_phase phase;
    int64_t opened_ms, started_ms, closed_ms; /* by the log; 0: not yet, or not known yet */
    struct market_rules rules;
};

struct catalog;
struct catalog *catalog_open(void);
void catalog_release(struct catalog **catalog);

/* A record of market.events: only those that open, start or close a market matter, all others cost a look at their
 * head. */
void catalog_hear(struct catalog *catalog, int32_t partition, struct view record);
/* A market as the schema has it; what is known already only gains. */
void catalog_learn(struct catalog *catalog, const struct catalog_market *market);

/* All copy to *market. `index` (may be NULL): the company's place in the market's list. */
bool catalog_of_company(struct catalog *catalog, const struct uuid *company, struct catalog_market *market, int *index);
bool catalog_company_index(const struct catalog_market *market, const struct uuid *company, int *index);
bool catalog_of_id(struct catalog *catalog, const struct uuid *id, struct catalog_market *market);
/* The one market whose id ends as this order's id does; false when there is none, or more than one. */
bool catalog_of_order(struct catalog *catalog, const struct uuid *order, struct catalog_market *market);
/* The newest: rounds follow each other, so it is the running one, or the last. */
bool catalog_current(struct catalog *catalog, struct catalog_market *market);

/* Those that are not closed, newest first, up to `room`. One at a time is the rule; a round that was given up by the
 * game without a close is the exception. */
size_t catalog_unclosed(struct catalog *catalog, struct catalog_market *markets, size_t room);

/* True for one caller in CATALOG_LOOK_MS: the one who shall look at the schema for markets that were not heard. */
enum { CATALOG_LOOK_MS = 1000 };
bool catalog_shall_look(struct catalog *catalog);

#endif
