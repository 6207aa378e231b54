#include "store.h"

#include "mem.h"

#include <stdlib.h>

/* Minutes of the day where the user is. */
#define LOCAL_MINUTE                                                                                                   \
    "(extract(hour FROM now() AT TIME ZONE f.zone) * 60 + extract(minute FROM now() AT TIME ZONE f.zone))"
#define IN_QUIET_HOURS                                                                                                 \
    "CASE WHEN f.quiet_start IS NULL THEN false"                                                                       \
    "     WHEN f.quiet_start < f.quiet_end THEN " LOCAL_MINUTE " >= f.quiet_start AND " LOCAL_MINUTE " < f.quiet_end"  \
    "     ELSE " LOCAL_MINUTE " >= f.quiet_start OR " LOCAL_MINUTE " < f.quiet_end END"

/* Takes what is due and says of each whether policy lets it go: the last look at everything, before every try. A retry
 * that comes after a newer push with the same collapse key would put the older text over the newer one. What is about
 * the account's safety (urgent) goes out in quiet hours too, and also while somebody is online: that may be somebody
 * else. */
static const struct pg_statement CLAIM = {
    "push_claim",
    "WITH due AS ("
    " SELECT id FROM sends WHERE done_at IS NULL AND channel = $1 AND next_at <= now() ORDER BY next_at LIMIT $2 FOR "
    "UPDATE SKIP LOCKED),"
    " taken AS ("
    " UPDATE sends s SET attempts = s.attempts + 1, claimed_by = $3, next_at = now() + $4::bigint * interval '1 second'"
    " FROM due WHERE s.id = due.id RETURNING s.id, s.request_id, s.user_id, s.device, s.attempts, s.collapse_key)"
    " SELECT t.id, t.device, t.attempts, CASE"
    "   WHEN d.id IS NULL OR (d.p256dh IS NULL) <> ($1 = 'fcm') THEN 'device_gone'" /* or it is of the other kind now */
    "   WHEN p.withdrawn THEN 'withdrawn'"
    "   WHEN r.expires_at <= now() THEN 'expired'"
    "   WHEN f.chat_off AND r.source = 'chat' THEN 'switched_off'"
    "   WHEN o.online AND NOT r.urgent THEN 'online'"
    "   WHEN NOT r.urgent AND " IN_QUIET_HOURS " THEN 'quiet_hours'"
    "   WHEN t.attempts > 1 AND t.collapse_key IS NOT NULL AND EXISTS (SELECT FROM sends n WHERE n.device = t.device"
    "        AND n.collapse_key = t.collapse_key AND n.id > t.id) THEN 'superseded'"
    "   WHEN d.slow_until > now() THEN '" VERDICT_SLOW "' END,"
    " (extract(epoch FROM d.slow_until - now()) * 1000)::bigint, (extract(epoch FROM r.expires_at - now()) * "
    "1000)::bigint,"
    " d.platform, d.address, encode(d.address_hash, 'hex'), encode(d.p256dh, 'hex'), encode(d.auth, 'hex'), r.title, "
    "r.body, r.data,"
    " r.collapse_key, r.dedupe_id, r.source, r.urgent, coalesce(p.locale, '')"
    " FROM taken t JOIN requests r ON r.id = t.request_id LEFT JOIN devices d ON d.id = t.device"
    " LEFT JOIN people p ON p.user_id = t.user_id LEFT JOIN presence o ON o.user_id = t.user_id"
    " LEFT JOIN preferences f ON f.user_id = t.user_id ORDER BY t.id"};

static const struct pg_statement FINISH = {
    "push_finish",
    "UPDATE sends s SET state = CASE WHEN n.state = 'retry' AND s.attempts <= n.untried THEN 'queued' ELSE n.state END,"
    "    reason = n.reason, attempts = s.attempts - n.untried, claimed_by = NULL,"
    "    next_at = CASE n.state WHEN 'retry' THEN now() + n.delay * interval '1 ms' ELSE s.next_at END,"
    "    done_at = CASE n.state WHEN 'retry' THEN NULL ELSE now() END"
    " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::int[]) AS n (id, state, reason, delay, "
    "untried)"
    " WHERE s.id = n.id AND s.done_at IS NULL AND s.claimed_by = $6"};
static const struct pg_statement REMOVE_DEAD = {
    "push_remove_dead", "DELETE FROM devices d USING unnest($1::bigint[], $2::text[]) AS n (id, hash)"
                        " WHERE d.id = n.id AND d.address_hash = decode(n.hash, 'hex')"};
static const struct pg_statement SLOW_DOWN = {
    "push_slow_down",
    "UPDATE devices d SET slow_until = now() + n.delay * interval '1 ms'"
    " FROM (SELECT id, hash, max(delay) AS delay FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS n (id, delay, "
    "hash) GROUP BY id, hash) n WHERE d.id = n.id AND d.address_hash = decode(n.hash, 'hex')"};
static const struct pg_statement FILL_SINK = {
    "push_fill_sink", "INSERT INTO sink (send_id, user_id, device_id, platform, title, body, data)"
                      " SELECT s.id, s.user_id, d.device_id, d.platform, r.title, r.body, r.data FROM sends s"
                      " JOIN requests r ON r.id = s.request_id JOIN devices d ON d.id = s.device WHERE s.id = ANY ($1)"
                      " ON CONFLICT DO NOTHING"};
static const struct pg_statement RECLAIM = {
    "push_reclaim", "UPDATE sends SET next_at = now(), claimed_by = NULL WHERE done_at IS NULL AND claimed_by = $1"};

enum column {
    ID,
    DEVICE,
    ATTEMPT,
    VERDICT,
    SLOW_MS,
    LEFT_MS,
    PLATFORM,
    ADDRESS,
    ADDRESS_HASH,
    P256DH,
    AUTH,
    TITLE,
    BODY,
    DATA,
    COLLAPSE_KEY,
    DEDUPE_ID,
    SOURCE,
    URGENT,
    LOCALE,
};

struct pg_result *store_claim(struct pg_pool *db, const char *channel, int64_t limit, int slot, int64_t seconds,
                              struct err *err)
{
    return pg_query(db, &CLAIM, PARAMS(PG_TEXT(channel), PG_I64(limit), PG_I64(slot), PG_I64(seconds)), err);
}

static void read_hex(const char *text, unsigned char *out, size_t size)
{
    for (size_t i = 0; text && i < size && text[2 * i] && text[2 * i + 1]; i++) {
        const char pair[] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (unsigned char)strtol(pair, NULL, 16);
    }
}

/* As constants: reasons outlive the rows. */
static const char *verdict_of(const char *text)
{
    static const char *const VERDICTS[] = {"device_gone", "withdrawn",   "expired",    "switched_off",
                                           "online",      "quiet_hours", "superseded", VERDICT_SLOW};
    for (size_t i = 0; text && i < ARRAY_LENGTH(VERDICTS); i++)
        if (strcmp(text, VERDICTS[i]) == 0)
            return VERDICTS[i];
    return text ? "policy" : NULL;
}

struct claimed store_claimed(const struct pg_result *rows, int row)
{
    struct claimed claimed = {
        .send_id = pg_i64(rows, row, ID),
        .device = pg_i64(rows, row, DEVICE),
        .attempt = (int)pg_i64(rows, row, ATTEMPT),
        .verdict = verdict_of(pg_text(rows, row, VERDICT)),
        .slow_ms = pg_i64(rows, row, SLOW_MS),
        .left_ms = pg_i64(rows, row, LEFT_MS),
        .platform = pg_text(rows, row, PLATFORM),
        .address = pg_text(rows, row, ADDRESS),
        .address_hash = pg_text(rows, row, ADDRESS_HASH),
        .title = pg_text(rows, row, TITLE),
        .body = pg_text(rows, row, BODY),
        .data = pg_text(rows, row, DATA),
        .collapse_key = pg_text(rows, row, COLLAPSE_KEY),
        .dedupe_id = pg_text(rows, row, DEDUPE_ID),
        .source = pg_text(rows, row, SOURCE),
        .locale = pg_text(rows, row, LOCALE),
        .urgent = pg_bool(rows, row, URGENT),
    };
    read_hex(pg_text(rows, row, P256DH), claimed.p256dh, P256DH_BYTES);
    read_hex(pg_text(rows, row, AUTH), claimed.auth, AUTH_BYTES);
    return claimed;
}

/* ---- finishing ---- */

struct finish_work {
    struct arena *arena;
    const struct finished *items;
    size_t count;
    int slot;
};

static bool write_states(struct pg_tx *tx, const struct finish_work *work, struct err *err)
{
    const size_t count = work->count;
    int64_t *ids = arena_alloc(work->arena, count * sizeof *ids),
            *delays = arena_alloc(work->arena, count * sizeof *delays);
    int64_t *untried = arena_alloc(work->arena, count * sizeof *untried);
    const char **states = arena_alloc(work->arena, count * sizeof *states),
               **reasons = arena_alloc(work->arena, count * sizeof *reasons);
    for (size_t i = 0; i < count; i++) {
        const struct outcome *outcome = &work->items[i].outcome;
        ids[i] = work->items[i].send_id;
        states[i] = OUTCOME_NAMES[outcome->state];
        reasons[i] = work->items[i].sink ? "sink" : outcome->reason;
        delays[i] = outcome->delay_ms;
        untried[i] = outcome->untried;
    }
    return pg_tx_exec(tx, &FINISH,
                      PARAMS(PG_I64S(ids, count), PG_TEXTS(states, count), PG_TEXTS(reasons, count),
                             PG_I64S(delays, count), PG_I64S(untried, count), PG_I64(work->slot)),
                      NULL, err);
}

static bool change_devices(struct pg_tx *tx, const struct finish_work *work, struct err *err)
{
    int64_t *dead = arena_alloc(work->arena, work->count * sizeof *dead),
            *slow = arena_alloc(work->arena, work->count * sizeof *slow);
    int64_t *delays = arena_alloc(work->arena, work->count * sizeof *delays);
    const char **hashes = arena_alloc(work->arena, work->count * sizeof *hashes),
               **slow_hashes = arena_alloc(work->arena, work->count * sizeof *slow_hashes);
    size_t dead_count = 0, slow_count = 0;
    for (size_t i = 0; i < work->count; i++) {
        const struct finished *item = &work->items[i];
        if (item->outcome.state == OUTCOME_DEAD_TOKEN) {
            dead[dead_count] = item->device;
            hashes[dead_count++] = item->address_hash;
        } else if (item->outcome.slow_device) {
            slow[slow_count] = item->device;
            slow_hashes[slow_count] = item->address_hash;
            delays[slow_count++] = item->outcome.delay_ms;
        }
    }
    return (!dead_count ||
            pg_tx_exec(tx, &REMOVE_DEAD, PARAMS(PG_I64S(dead, dead_count), PG_TEXTS(hashes, dead_count)), NULL, err)) &&
           (!slow_count || pg_tx_exec(tx, &SLOW_DOWN,
                                      PARAMS(PG_I64S(slow, slow_count), PG_I64S(delays, slow_count),
                                             PG_TEXTS(slow_hashes, slow_count)),
                                      NULL, err));
}

static bool fill_sink(struct pg_tx *tx, const struct finish_work *work, struct err *err)
{
    int64_t *ids = arena_alloc(work->arena, work->count * sizeof *ids);
    size_t count = 0;
    for (size_t i = 0; i < work->count; i++)
        if (work->items[i].sink)
            ids[count++] = work->items[i].send_id;
    return count == 0 || pg_tx_exec(tx, &FILL_SINK, PARAMS(PG_I64S(ids, count)), NULL, err);
}

static bool finish(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct finish_work *work = payload;
    return write_states(tx, work, err) && fill_sink(tx, work, err) && change_devices(tx, work, err);
}

bool store_finish(struct pg_pool *db, int slot, const struct finished *items, size_t count, struct err *err)
{
    enum { ARENA_BYTES = 16 * 1024 * 1024 };
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    struct finish_work work = {arena, items, count, slot};
    return count == 0 || pg_transaction(db, finish, &work, err);
}

bool store_reclaim(struct pg_pool *db, int slot, int64_t *count, struct err *err)
{
    return pg_exec(db, &RECLAIM, PARAMS(PG_I64(slot)), count, err);
}
