/* applied.h - apply once: the input offset is stored in the transaction of the work it led to.
 *     if (!applied_begin(tx, batch, &first, err)) return false;   // locks the row; records below `first` are done
 * already
 *     ... work on batch->records[first ..] ...
 *     return applied_end(tx, batch, err);
 * The row lock also makes a paused former owner of the partition harmless. */
#ifndef MADANG_APPLIED_H
#define MADANG_APPLIED_H

#include "kafka.h"
#include "pg.h"

bool applied_begin(struct pg_tx *tx, const struct kafka_batch *batch, size_t *first, struct err *err);
/* Posted (pg.h): it leaves with COMMIT. */
bool applied_end(struct pg_tx *tx, const struct kafka_batch *batch, struct err *err);

/* Batches of several partitions of one topic in one transaction. The lock is posted: statements posted behind it run
 * under it. Once *rows are there, applied_firsts says for each batch where to begin; unavailable when one of the
 * partitions was never begun alone. */
bool applied_post_lock(struct pg_tx *tx, const struct kafka_batch *batches, size_t count, struct pg_result **rows,
                       struct err *err);
bool applied_firsts(const struct pg_result *rows, const struct kafka_batch *batches, size_t count, size_t *firsts,
                    struct err *err);

#endif
