/* upkeep.h - what comes around: open orders of the withdrawn, the audit of rounds that closed, rounds that are old
 * enough to go. Every instance runs it; the rows decide who does what (SKIP LOCKED), so nothing is done twice. */
#ifndef MADANG_ORDER_UPKEEP_H
#define MADANG_ORDER_UPKEEP_H

#include "errors.h"
#include "pg.h"

enum { UPKEEP_EVERY_MS = 5000 };

/* payload: struct order_app */
void upkeep_round(void *payload, unsigned round);

/* The parts. Deletes up to `portions` portions of one round that closed (or was opened and forgotten) more than
 * kept_days ago; *deleted: rows. */
bool upkeep_sweep(struct pg_pool *db, int64_t kept_days, int portions, int64_t *deleted, struct err *err);
/* Audits one round that closed at least a while ago; *audited: there was one, *differences: what it found. */
bool upkeep_audit(struct pg_pool *db, const char *brokers, int64_t after_seconds, bool *audited, int64_t *differences,
                  struct err *err);

#endif
