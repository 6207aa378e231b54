/* registry_table.h - the table of instances and how a fresh reading changes it. Plain data, no clock of its own, no
 * I/O: the rules of the registry can be tested without Redis.
 *
 * - What the reading has, counts.
 * - What was draining and is gone, is gone.
 * - What vanished otherwise is suspect: used last, and dropped after 10 s.
 * - When more than half of the instances vanish at once, the reading is what is suspect (Redis was wiped): then a
 *   service that would be left with nobody keeps its instances for up to 5 minutes, until one of them is read again. */
#ifndef MADANG_REGISTRY_TABLE_H
#define MADANG_REGISTRY_TABLE_H

#include "registry.h"

enum { REGISTRY_ENTRIES_MAX = 4096, REGISTRY_SUSPECT_MS = 10000, REGISTRY_KEPT_MS = 300000 };

struct registry_row {
    struct registry_entry entry;
    int64_t gone_ms; /* since when it is not read any more; 0: it is */
    bool kept;       /* against Redis' word */
};

struct registry_table { /* zeroed: empty */
    size_t count, room;
    struct registry_row *rows; /* by service, then instance */
    size_t kept;               /* rows that are kept */
};

/* Adds one that was read; of two with one id the newer epoch stays. */
void registry_table_add(struct registry_table *table, const struct registry_entry *entry);
/* Makes `table` what it is after reading `fresh`, which is used up. True when an entry came, went or changed. */
bool registry_table_merge(struct registry_table *table, struct registry_table *fresh, int64_t now_ms);
/* This instance has said good-bye: the next reading that lacks it drops it at once. */
void registry_table_note_gone(struct registry_table *table, const struct registry_entry *gone);
/* The turn-th instance that is up, else draining, else suspect; NULL when there is none. */
const struct registry_entry *registry_table_pick(const struct registry_table *table, const char *service,
                                                 unsigned turn);
void registry_table_free(struct registry_table *table);

#endif
