#include "applied.h"

static const struct pg_statement LOCK = {
    "applied_lock", "SELECT next_offset FROM applied WHERE topic = $1 AND partition = $2 FOR UPDATE"};
static const struct pg_statement MAKE = {
    "applied_make", "INSERT INTO applied (topic, partition, next_offset) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING"};
/* Never backwards: a batch that is read again brings nothing new. */
static const struct pg_statement MOVE = {
    "applied_move", "UPDATE applied SET next_offset = $3 WHERE topic = $1 AND partition = $2 AND next_offset < $3"};

bool applied_begin(struct pg_tx *tx, const struct kafka_batch *batch, size_t *first, struct err *err)
{
    struct pg_params where = PARAMS(PG_TEXT(batch->topic), PG_I64(batch->partition));
    AUTO(pg_result) row = pg_tx_query(tx, &LOCK, where, err);
    if (row && !pg_rows(row)) { /* the first batch of this partition */
        pg_result_release(&row);
        if (!pg_tx_exec(tx, &MAKE, where, NULL, err))
            return false;
        row = pg_tx_query(tx, &LOCK, where, err);
    }
    if (!row)
        return false;
    int64_t next_offset = pg_i64(row, 0, 0);
    *first = 0;
    while (*first < batch->count && batch->records[*first].offset < next_offset)
        ++*first;
    return true;
}

bool applied_end(struct pg_tx *tx, const struct kafka_batch *batch, struct err *err)
{
    int64_t next_offset = batch->records[batch->count - 1].offset + 1;
    return pg_tx_exec(tx, &MOVE, PARAMS(PG_TEXT(batch->topic), PG_I64(batch->partition), PG_I64(next_offset)), NULL,
                      err);
}
