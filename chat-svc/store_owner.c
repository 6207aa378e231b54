#include "store_owner.h"

#include "mem.h"

/* ids are given in the order of the list */
static const struct pg_statement ADD_EVENTS = {
    "owner_add_events",
    "WITH added AS (INSERT INTO events_out (partition, room_id, corr, request_id, traceparent, payload)"
    " SELECT partition, room_id, corr, request_id, traceparent, payload"
    " FROM unnest($1::int[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY"
    " AS n (partition, room_id, corr, request_id, traceparent, payload, place) ORDER BY place RETURNING partition, id)"
    " SELECT partition, max(id) FROM added GROUP BY partition"};
/* How the transaction's other statements are planned: once, and each row by its index. The planner knows neither how
 * long arrays will be nor how fast tables grow; planning anew each time was half of what a small batch cost. */
static const struct pg_statement PLAN_ONCE = {
    "owner_plan_once",
    "SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),"
    " set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"};
static const struct pg_statement DROP_SENT = {
    "owner_drop_sent",
    "DELETE FROM events_out e USING unnest($1::int[], $2::bigint[], $3::bigint[]) AS sent (partition, "
    "above, upto) WHERE e.partition = sent.partition AND e.id > sent.above AND e.id <= sent.upto"};
static const struct pg_statement LIST_EVENTS = {"owner_list_events",
                                                "SELECT id, room_id, corr, request_id, traceparent, payload FROM "
                                                "events_out WHERE partition = $1 ORDER BY id LIMIT $2::bigint"};

static const struct pg_statement CLAIM = {"owner_claim",
                                          "UPDATE applied SET owner = $3 WHERE topic = $1 AND partition = $2"};
static const struct pg_statement ASK = {
    "owner_ask", "SELECT partition FROM applied WHERE topic = $1 AND partition = ANY ($2::int[]) AND owner = $3"};

bool store_owner_claim(struct pg_tx *tx, const char *topic, int32_t partition, const char *owner, struct err *err)
{
    return pg_tx_post(tx, &CLAIM, PARAMS(PG_TEXT(topic), PG_I64(partition), PG_TEXT(owner)), NULL, err);
}

bool store_owner_ask(struct pg_tx *tx, const char *topic, const int64_t *partitions, size_t count, const char *owner,
                     struct pg_result **rows, struct err *err)
{
    return pg_tx_post(tx, &ASK, PARAMS(PG_TEXT(topic), PG_I64S(partitions, count), PG_TEXT(owner)), rows, err);
}

bool store_owner_has(const struct pg_result *rows, int32_t partition)
{
    int row = 0;
    while (row < pg_rows(rows) && pg_i64(rows, row, 0) != partition)
        row++;
    return row < pg_rows(rows);
}

bool store_owner_add_events(struct pg_tx *tx, const struct owner_event *events, size_t count, struct pg_result **rows,
                            struct err *err)
{
    enum { ROOM_ID, CORR, REQUEST_ID, TRACEPARENT, PAYLOAD, COLUMNS };
    if (count == 0)
        return true;
    AUTO_FREE const char **cells = mem_new(count * COLUMNS, sizeof *cells);
    AUTO_FREE int64_t *partitions = mem_new(count, sizeof *partitions);
    for (size_t i = 0; i < count; i++) {
        partitions[i] = events[i].partition;
        cells[ROOM_ID * count + i] = events[i].room_id;
        cells[CORR * count + i] = events[i].corr;
        cells[REQUEST_ID * count + i] = events[i].request_id;
        cells[TRACEPARENT * count + i] = events[i].traceparent;
        cells[PAYLOAD * count + i] = events[i].payload;
    }
    return pg_tx_post(tx, &ADD_EVENTS,
                      PARAMS(PG_I64S(partitions, count), PG_TEXTS(cells + ROOM_ID * count, count),
                             PG_TEXTS(cells + CORR * count, count), PG_TEXTS(cells + REQUEST_ID * count, count),
                             PG_TEXTS(cells + TRACEPARENT * count, count), PG_TEXTS(cells + PAYLOAD * count, count)),
                      rows, err);
}

int64_t store_owner_last_id(const struct pg_result *rows, int32_t partition)
{
    for (int row = 0; rows && row < pg_rows(rows); row++)
        if (pg_i64(rows, row, 0) == partition)
            return pg_i64(rows, row, 1);
    return 0;
}

bool store_owner_begin(struct pg_tx *tx, const int64_t *partitions, const int64_t *above_ids, const int64_t *sent_ids,
                       size_t count, struct err *err)
{
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any = any || sent_ids[i] > above_ids[i];
    return pg_tx_post(tx, &PLAN_ONCE, NO_PARAMS, NULL, err) &&
           (!any || pg_tx_post(tx, &DROP_SENT,
                               PARAMS(PG_I64S(partitions, count), PG_I64S(above_ids, count), PG_I64S(sent_ids, count)),
                               NULL, err));
}

bool store_owner_list_events(struct pg_tx *tx, struct arena *arena, int32_t partition, int limit,
                             struct owner_event **events, size_t *count, struct err *err)
{
    AUTO(pg_result) rows = pg_tx_query(tx, &LIST_EVENTS, PARAMS(PG_I64(partition), PG_I64(limit)), err);
    *count = rows ? (size_t)pg_rows(rows) : 0;
    *events = arena_alloc(arena, (*count + 1) * sizeof **events);
    for (size_t i = 0; i < *count; i++) {
        const char *texts[6] = {NULL};
        for (int column = 1; column < 6; column++)
            texts[column] = pg_is_null(rows, (int)i, column) ? NULL : arena_text(arena, pg_text(rows, (int)i, column));
        (*events)[i] = (struct owner_event){.id = pg_i64(rows, (int)i, 0),
                                            .partition = partition,
                                            .room_id = texts[1],
                                            .corr = texts[2],
                                            .request_id = texts[3],
                                            .traceparent = texts[4],
                                            .payload = texts[5]};
    }
    return rows != NULL;
}
