/* audit_internal.h - what the parts of the audit share: audit.c reads, audit_compare.c compares with the schema,
 * audit_ranking.c with what the game told. */
#ifndef MADANG_ORDER_AUDIT_INTERNAL_H
#define MADANG_ORDER_AUDIT_INTERNAL_H

#include "audit.h"
#include "audit_log.h"

struct audit {
    struct audit_source source;
    const char *market;
    void (*tell)(void *payload, const char *words);
    void *payload;
    struct audit_report *report;
    struct pg_tx *tx; /* one snapshot of the schema */
    int32_t partition;
    int64_t first_offset, until_offset;
    struct audit_log log;
};

bool audit_compare(struct audit *audit, struct err *err);
bool audit_ranking(struct audit *audit, struct pg_pool *db, struct err *err);

#endif
