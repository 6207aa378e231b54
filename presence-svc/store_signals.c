#include "store.h"

#include "applied.h"
#include "outbox.h"

#include <stdlib.h>

/* A close can only shorten; after it nothing counts. */
static const struct pg_statement KEEP_CONNECTIONS = {
    "keep_connections",
    "INSERT INTO connections AS c (connection_id, user_id, n, seen_at, until, closed)"
    " SELECT s.connection_id, s.user_id, s.n, to_timestamp(s.seen / 1000.0), to_timestamp(s.until / 1000.0), s.closed"
    " FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[])"
    "      AS s (connection_id, user_id, n, seen, until, closed)"
    " ON CONFLICT (connection_id) DO UPDATE SET n = excluded.n, seen_at = greatest(c.seen_at, excluded.seen_at),"
    "    until = CASE WHEN excluded.closed THEN least(c.until, excluded.seen_at + $7::bigint * interval '1 "
    "millisecond')"
    "                 ELSE greatest(c.until, excluded.until) END,"
    "    closed = excluded.closed"
    " WHERE c.n < excluded.n AND NOT c.closed AND c.user_id = excluded.user_id"};
static const struct pg_statement MAKE_PEOPLE = {
    "make_people", "INSERT INTO people AS p (user_id, partition) SELECT u, $2 FROM unnest($1::uuid[]) AS u ORDER BY u"
                   " ON CONFLICT (user_id) DO UPDATE SET partition = excluded.partition"
                   " WHERE p.partition <> excluded.partition"};
/* Locked in one order. What their connections say is read with them: only who holds the partition's row in `applied`
 * writes connections. */
static const struct pg_statement LOOK_AT_PEOPLE = {
    "look_at_people",
    "SELECT " SQL_PRESENCE("p") ", " SQL_MS("c.until") ", " SQL_MS("c.seen") ", " SQL_MS(
        "now()") " FROM people p LEFT JOIN LATERAL"
                 "   (SELECT max(until + CASE WHEN closed THEN 0 ELSE $2::bigint END * interval '1 millisecond') AS "
                 "until,"
                 "           max(seen_at) AS seen FROM connections WHERE user_id = p.user_id) AS c ON true"
                 " WHERE p.user_id = ANY ($1::uuid[]) ORDER BY p.user_id FOR NO KEY UPDATE OF p"};
enum { UNTIL = PRESENCE_COLUMNS, SEEN, NOW };
static const struct pg_statement WRITE_PEOPLE = {
    "write_people", "UPDATE people p SET online = u.online, look_at = " SQL_TIME("u.look") ", last_seen = " SQL_TIME(
                        "u.seen") ", n = u.n"
                                  " FROM unnest($1::uuid[], $2::boolean[], $3::bigint[], $4::bigint[], $5::bigint[]) "
                                  "AS u (user_id, online, look, seen, n)"
                                  " WHERE p.user_id = u.user_id"};
static const struct pg_statement FIND_DUE = {
    "find_due",
    "SELECT partition, " SQL_MS("now()") " FROM people WHERE online AND look_at <= now() GROUP BY partition LIMIT $1"};
static const struct pg_statement LOCK_PARTITION = {
    "lock_partition", "SELECT next_offset FROM applied WHERE topic = $1 AND partition = $2 FOR UPDATE"};
static const struct pg_statement TAKE_DUE = {
    "take_due",
    "SELECT user_id FROM people WHERE online AND look_at <= " SQL_TIME("$2::bigint") " AND partition = $1"
                                                                                     " ORDER BY look_at LIMIT $3"};
static const struct pg_statement FORGET_CONNECTIONS = {
    "forget_connections", "DELETE FROM connections WHERE until < now() - $1::bigint * interval '1 millisecond'"};

static const char *bool_text(bool value)
{
    return value ? "true" : "false";
}

/* ---- telling ---- */

bool store_tx_tell(struct pg_tx *tx, struct arena *arena, const struct presence *changed, size_t count, struct err *err)
{
    if (!count)
        return true;
    struct outbox_event *events = arena_alloc(arena, count * sizeof *events);
    for (size_t i = 0; i < count; i++) {
        AUTO_STR payload = {0};
        codec_change(&payload, &changed[i]);
        events[i] = (struct outbox_event){.topic = TOPIC_PRESENCE_CHANGES,
                                          .key = changed[i].user_id,
                                          .payload = arena_bytes(arena, payload.bytes, payload.length)};
    }
    return outbox_add_all(tx, events, count, err);
}

/* ---- looking at people ---- */

struct look {
    struct arena *arena;
    const char **user_ids;
    size_t count;
    int64_t now_ms; /* 0: the transaction's time */
    int64_t extra_ms;
    size_t went; /* out */
};

static bool write_people(struct pg_tx *tx, struct arena *arena, const struct presence *people, size_t count,
                         struct err *err)
{
    const char **ids = arena_alloc(arena, (count + 1) * sizeof *ids),
               **online = arena_alloc(arena, (count + 1) * sizeof *online);
    int64_t *look = arena_alloc(arena, (count + 1) * sizeof *look),
            *seen = arena_alloc(arena, (count + 1) * sizeof *seen), *n = arena_alloc(arena, (count + 1) * sizeof *n);
    for (size_t i = 0; i < count; i++) {
        ids[i] = people[i].user_id;
        online[i] = bool_text(people[i].online);
        look[i] = people[i].look_ms;
        seen[i] = people[i].last_seen_ms;
        n[i] = people[i].n;
    }
    return !count || pg_tx_exec(tx, &WRITE_PEOPLE,
                                PARAMS(PG_TEXTS(ids, count), PG_TEXTS(online, count), PG_I64S(look, count),
                                       PG_I64S(seen, count), PG_I64S(n, count)),
                                NULL, err);
}

/* Everybody of the list: compares what was told with what their connections say now. */
static bool look_at(struct pg_tx *tx, struct look *look, struct err *err)
{
    AUTO(pg_result)
    rows = pg_tx_query(tx, &LOOK_AT_PEOPLE, PARAMS(PG_TEXTS(look->user_ids, look->count), PG_I64(look->extra_ms)), err);
    if (!rows)
        return false;
    size_t total = (size_t)pg_rows(rows), written = 0, changed = 0;
    struct presence *people = arena_alloc(look->arena, (total + 1) * sizeof *people);
    struct presence *told = arena_alloc(look->arena, (total + 1) * sizeof *told);
    look->went = 0;
    for (int row = 0; row < (int)total; row++) {
        struct presence presence = row_presence(rows, row);
        const bool was_online = presence.online;
        const int64_t now_ms = look->now_ms ? look->now_ms : pg_i64(rows, row, NOW);
        const enum presence_result result =
            presence_look(&presence, pg_i64(rows, row, UNTIL), pg_i64(rows, row, SEEN), now_ms);
        if (result != PRESENCE_SAME)
            people[written++] = presence;
        if (result == PRESENCE_CHANGED)
            told[changed++] = presence;
        look->went += was_online && !presence.online;
    }
    return write_people(tx, look->arena, people, written, err) && store_tx_tell(tx, look->arena, told, changed, err);
}

/* ---- a batch of signals ---- */

struct signal_work {
    struct arena *arena;
    const struct kafka_batch *batch;
    const struct presence_signal *signals;
    const struct presence_limits *limits;
};

static bool keep_connections(struct pg_tx *tx, struct arena *arena, const struct connection_news *news, size_t count,
                             int64_t down_ms, struct err *err)
{
    const size_t texts = (count + 1) * sizeof(char *), numbers = (count + 1) * sizeof(int64_t);
    const char **ids = arena_alloc(arena, texts), **users = arena_alloc(arena, texts),
               **closed = arena_alloc(arena, texts);
    int64_t *n = arena_alloc(arena, numbers), *seen = arena_alloc(arena, numbers), *until = arena_alloc(arena, numbers);
    for (size_t i = 0; i < count; i++) {
        ids[i] = news[i].connection;
        users[i] = news[i].user_id;
        closed[i] = bool_text(news[i].closed);
        n[i] = news[i].n;
        seen[i] = news[i].seen_ms;
        until[i] = news[i].until_ms;
    }
    return pg_tx_exec(tx, &KEEP_CONNECTIONS,
                      PARAMS(PG_TEXTS(ids, count), PG_TEXTS(users, count), PG_I64S(n, count), PG_I64S(seen, count),
                             PG_I64S(until, count), PG_TEXTS(closed, count), PG_I64(down_ms)),
                      NULL, err);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each user once. */
static size_t distinct_users(struct arena *arena, const struct connection_news *news, size_t count, const char ***users)
{
    const char **ids = *users = arena_alloc(arena, (count + 1) * sizeof *ids);
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        ids[i] = news[i].user_id;
    qsort(ids, count, sizeof *ids, by_text);
    for (size_t i = 0; i < count; i++)
        if (!used || strcmp(ids[used - 1], ids[i]) != 0)
            ids[used++] = ids[i];
    return used;
}

static const struct pg_statement ASK_NOW = {"ask_now", "SELECT " SQL_MS("now()")};

static bool apply_signals(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct signal_work *work = payload;
    const struct kafka_batch *batch = work->batch;
    size_t first;
    if (!applied_begin(tx, batch, &first, err))
        return false;
    if (first == batch->count)
        return true;
    AUTO(pg_result) now = pg_tx_query(tx, &ASK_NOW, NO_PARAMS, err);
    if (!now)
        return false;
    struct connection_news *news = arena_alloc(work->arena, (batch->count + 1) * sizeof *news);
    size_t count = presence_fold(work->signals + first, batch->count - first, work->limits, pg_i64(now, 0, 0), news);
    struct look look = {.arena = work->arena};
    look.count = distinct_users(work->arena, news, count, &look.user_ids);
    return keep_connections(tx, work->arena, news, count, work->limits->down_ms, err) &&
           pg_tx_exec(tx, &MAKE_PEOPLE, PARAMS(PG_TEXTS(look.user_ids, look.count), PG_I64(batch->partition)), NULL,
                      err) &&
           look_at(tx, &look, err) && applied_end(tx, batch, err);
}

bool store_apply_signals(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                         const struct presence_signal *signals, const struct presence_limits *limits, struct err *err)
{
    struct signal_work work = {arena, batch, signals, limits};
    return pg_transaction(db, apply_signals, &work, err);
}

static bool skip(struct pg_tx *tx, void *payload, struct err *err)
{
    size_t first;
    return applied_begin(tx, payload, &first, err) && applied_end(tx, payload, err);
}

bool store_skip(struct pg_pool *db, const struct kafka_batch *batch, struct err *err)
{
    return pg_transaction(db, skip, (void *)batch, err);
}

/* ---- the sweep ---- */

bool store_due_partitions(struct pg_pool *db, int32_t *partitions, size_t max, size_t *count, int64_t *now_ms,
                          struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &FIND_DUE, PARAMS(PG_I64((int64_t)max)), err);
    if (!rows)
        return false;
    *count = (size_t)pg_rows(rows);
    for (int row = 0; row < (int)*count; row++) {
        partitions[row] = (int32_t)pg_i64(rows, row, 0);
        *now_ms = pg_i64(rows, row, 1);
    }
    return true;
}

struct sweep_run {
    struct arena *arena;
    struct sweep_work *work;
};

static bool sweep(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct sweep_run *run = payload;
    struct sweep_work *work = run->work;
    work->looked = work->went = 0;
    work->behind = false;
    AUTO(pg_result)
    applied = pg_tx_query(tx, &LOCK_PARTITION, PARAMS(PG_TEXT(TOPIC_PRESENCE_SIGNALS), PG_I64(work->partition)), err);
    if (!applied)
        return false;
    const int64_t next = pg_rows(applied) ? pg_i64(applied, 0, 0) : -1;
    work->behind = next < 0 || (next < work->begin_offset ? work->begin_offset : next) < work->end_offset;
    if (work->behind)
        return true; /* a beat may stand in what is not applied yet */
    AUTO(pg_result)
    due = pg_tx_query(tx, &TAKE_DUE, PARAMS(PG_I64(work->partition), PG_I64(work->now_ms), PG_I64(SWEEP_MAX)), err);
    if (!due)
        return false;
    struct look look = {
        .arena = run->arena, .count = (size_t)pg_rows(due), .now_ms = work->now_ms, .extra_ms = work->extra_ms};
    look.user_ids = arena_alloc(run->arena, (look.count + 1) * sizeof *look.user_ids);
    for (size_t i = 0; i < look.count; i++)
        look.user_ids[i] = pg_text(due, (int)i, 0);
    bool ok = !look.count || look_at(tx, &look, err);
    work->looked = look.count;
    work->went = look.went;
    return ok;
}

bool store_sweep(struct pg_pool *db, struct arena *arena, struct sweep_work *work, struct err *err)
{
    struct sweep_run run = {arena, work};
    return pg_transaction(db, sweep, &run, err);
}

bool store_forget_connections(struct pg_pool *db, int64_t after_ms, int64_t *count, struct err *err)
{
    return pg_exec(db, &FORGET_CONNECTIONS, PARAMS(PG_I64(after_ms)), count, err);
}
