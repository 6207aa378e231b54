#include "arena.h"
#include "store.h"

#include <stdlib.h>

static const char *const STEP_NAMES[STEPS] = {
    [STEP_START] = "start",   [STEP_COUNTDOWN] = "countdown", [STEP_NEWS] = "news", [STEP_BOT_ORDER] = "bot_order",
    [STEP_REFILL] = "refill", [STEP_CLOSE] = "close",         [STEP_RANK] = "rank", [STEP_NEXT] = "next",
};

static const struct pg_statement DUE = {
    "step_due",
    "SELECT s.round_id, s.kind, s.number FROM steps s JOIN rounds r ON r.id = s.round_id WHERE s.at <= now() "
    "ORDER BY s.at, s.kind LIMIT 1 FOR NO KEY UPDATE OF r SKIP LOCKED"};
/* Whether the step is still there, and still due, is known only once the round's row is ours. */
static const struct pg_statement TAKE = {
    "step_take", "DELETE FROM steps WHERE round_id = $1::uuid AND kind = $2 AND number = $3 AND at <= "
                 "clock_timestamp() RETURNING " SQL_MS("at") ", " SQL_MS("clock_timestamp()")};
static const struct pg_statement ADD = {
    "step_add", "INSERT INTO steps (round_id, kind, number, at) SELECT $1::uuid, kind, number, to_timestamp(at / "
                "1000.0) FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS step (kind, number, at) "
                "ON CONFLICT (round_id, kind, number) DO UPDATE SET at = excluded.at"};
static const struct pg_statement POSTPONE = {
    "step_postpone", "UPDATE steps SET at = clock_timestamp() + $4 * interval '1 millisecond' WHERE round_id = "
                     "$1::uuid AND kind = $2 AND number = $3"};
static const struct pg_statement DROP = {
    "step_drop", "DELETE FROM steps WHERE round_id = $1::uuid AND kind NOT IN ('rank', 'next')"};
static const struct pg_statement WAIT = {
    "step_wait", "SELECT least($1, greatest(0, ceil(extract(epoch FROM min(at) - clock_timestamp()) * "
                 "1000)))::bigint FROM steps"};

const char *step_name(enum step_kind kind)
{
    return STEP_NAMES[kind];
}

static bool kind_of(const char *name, enum step_kind *kind)
{
    for (*kind = 0; *kind < STEPS; ++*kind)
        if (strcmp(STEP_NAMES[*kind], name) == 0)
            return true;
    return false;
}

bool store_step_take(struct pg_tx *tx, struct step *step, struct uuid *round_id, int64_t *now_ms, bool *found,
                     struct err *err)
{
    *found = false;
    AUTO(pg_result) due = pg_tx_query(tx, &DUE, NO_PARAMS, err);
    if (!due || !pg_rows(due))
        return due != NULL;
    if (!kind_of(pg_text(due, 0, 1), &step->kind) || !uuid_parse(pg_text(due, 0, 0), round_id))
        return err_set_internal(err, &ERR_INTERNAL, "a step of unknown kind: %s", pg_text(due, 0, 1));
    step->number = pg_i64(due, 0, 2);
    AUTO(pg_result)
    taken = pg_tx_query(tx, &TAKE,
                        PARAMS(PG_TEXT(pg_text(due, 0, 0)), PG_TEXT(pg_text(due, 0, 1)), PG_I64(step->number)), err);
    if (!taken || !pg_rows(taken))
        return taken != NULL; /* another instance has just done it */
    step->at_ms = pg_i64(taken, 0, 0);
    *now_ms = pg_i64(taken, 0, 1);
    *found = true;
    return true;
}

bool store_steps_add(struct pg_tx *tx, const struct round *round, const struct step *steps, size_t count,
                     struct err *err)
{
    if (!count)
        return true;
    AUTO_FREE const char **kinds = mem_new(count, sizeof *kinds);
    AUTO_FREE int64_t *numbers = mem_new(count, sizeof *numbers);
    AUTO_FREE int64_t *times = mem_new(count, sizeof *times);
    for (size_t i = 0; i < count; i++) {
        kinds[i] = step_name(steps[i].kind);
        numbers[i] = steps[i].number;
        times[i] = steps[i].at_ms;
    }
    return pg_tx_exec(
        tx, &ADD,
        PARAMS(PG_TEXT(round->id_text), PG_TEXTS(kinds, count), PG_I64S(numbers, count), PG_I64S(times, count)), NULL,
        err);
}

bool store_steps_drop_running(struct pg_tx *tx, const struct round *round, struct err *err)
{
    return pg_tx_exec(tx, &DROP, PARAMS(PG_TEXT(round->id_text)), NULL, err);
}

bool store_step_postpone(struct pg_pool *db, const struct uuid *round_id, const struct step *step, int64_t wait_ms,
                         struct err *err)
{
    char id[UUID_TEXT_BYTES];
    uuid_format(round_id, id);
    return pg_exec(db, &POSTPONE,
                   PARAMS(PG_TEXT(id), PG_TEXT(step_name(step->kind)), PG_I64(step->number), PG_I64(wait_ms)), NULL,
                   err);
}

bool store_steps_wait(struct pg_pool *db, int64_t most_ms, int64_t *wait_ms, struct err *err)
{
    AUTO(pg_result) row = pg_query(db, &WAIT, PARAMS(PG_I64(most_ms)), err);
    if (row)
        *wait_ms = pg_is_null(row, 0, 0) ? most_ms : pg_i64(row, 0, 0);
    return row != NULL;
}
