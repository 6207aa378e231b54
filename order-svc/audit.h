/* audit.h - a round recomputed from its log in another, simple way (audit_log.c), and compared with what was settled.
 *
 * Every account, holding, order, trade, candle and company of the schema is compared, the ledger's sums, what open
 * orders reserve with what is owned, the engine's final cash, and the ranking that the game told. A round that is still
 * going on is compared as far as it was settled when the audit began (one snapshot). Each difference is told in words;
 * after AUDIT_WORDS_MAX they are only counted. Memory: about 200 bytes per order and trade of the round. */
#ifndef MADANG_ORDER_AUDIT_H
#define MADANG_ORDER_AUDIT_H

#include "errors.h"
#include "pg.h"

enum { AUDIT_WORDS_MAX = 100 };

struct audit_report {
    int64_t differences;
    int64_t seq, accounts, orders, trades; /* what was compared */
    bool closed, ranked;                   /* ranked: the game had told a ranking */
};

struct audit_source {
    const char *brokers;
    const char *events_topic, *game_topic; /* NULL: market.events, game.events */
};

/* False when the audit could not be made: no such market, stores that do not answer, a log that is cut off. `tell` may
 * be NULL. */
bool audit_market(struct pg_pool *db, const struct audit_source *source, const char *market,
                  void (*tell)(void *payload, const char *words), void *payload, struct audit_report *report,
                  struct err *err);

#endif
