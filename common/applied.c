#include "applied.h"

static const struct pg_statement LOCK = {
    "applied_lock", "SELECT next_offset FROM applied WHERE topic = $1 AND partition = $2 FOR UPDATE"};
static const struct pg_statement MAKE = {
    "applied_make", "INSERT INTO applied (topic, partition, next_offset) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING"};
/* Never backwards: a batch that is read again brings nothing new. */
static const struct pg_statement MOVE = {
    "applied_move", "UPDATE applied SET next_offset = $3 WHERE topic = $1 AND partition = $2 AND next_offset < $3"};

static const struct pg_statement LOCK_ALL = {
    "applied_lock_all",
    "SELECT partition, next_offset FROM applied WHERE topic = $1 AND partition = ANY ($2::int[]) ORDER BY partition "
    "FOR UPDATE"};

static size_t first_of(const struct kafka_batch *batch, int64_t next_offset)
{
    size_t first = 0;
    while (first < batch->count && batch->records[first].offset < next_offset)
        first++;
    return first;
}

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
    *first = first_of(batch, pg_i64(row, 0, 0));
    return true;
}

bool applied_end(struct pg_tx *tx, const struct kafka_batch *batch, struct err *err)
{
    int64_t next_offset = batch->records[batch->count - 1].offset + 1;
    return pg_tx_post(tx, &MOVE, PARAMS(PG_TEXT(batch->topic), PG_I64(batch->partition), PG_I64(next_offset)), NULL,
                      err);
}

bool applied_post_lock(struct pg_tx *tx, const struct kafka_batch *batches, size_t count, struct pg_result **rows,
                       struct err *err)
{
    AUTO_FREE int64_t *partitions = mem_new(count, sizeof *partitions);
    for (size_t i = 0; i < count; i++)
        partitions[i] = batches[i].partition;
    return pg_tx_post(tx, &LOCK_ALL, PARAMS(PG_TEXT(batches[0].topic), PG_I64S(partitions, count)), rows, err);
}

bool applied_firsts(const struct pg_result *rows, const struct kafka_batch *batches, size_t count, size_t *firsts,
                    struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        int row = 0;
        while (row < pg_rows(rows) && pg_i64(rows, row, 0) != batches[i].partition)
            row++;
        if (row == pg_rows(rows))
            return err_set_internal(err, &ERR_UNAVAILABLE, "partition %d of %s was never begun",
                                    (int)batches[i].partition, batches[i].topic);
        firsts[i] = first_of(&batches[i], pg_i64(rows, row, 1));
    }
    return true;
}
