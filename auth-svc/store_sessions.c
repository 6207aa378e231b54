/* store_sessions.c - sessions, their refresh tokens, and the feed of what ended. */
#include "clock.h"
#include "store_rows.h"

#include <stdlib.h>

/* ---- opening ---- */

struct open {
    const struct auth_app *app;
    const struct new_session *wish;
    const struct origin *origin;
    struct session_grant *grant;
};

static bool insert_session(struct pg_tx *tx, const struct open *open, struct err *err)
{
    static const struct pg_statement INSERT = {
        "insert_session",
        "INSERT INTO sessions (id, user_id, device_name, ip, in_cookie, current_hash, ends_at, expires_at) VALUES "
        "($1::uuid, $2::uuid, $3, $4, $5::boolean, $6, now() + make_interval(secs => $7::bigint), now() + "
        "make_interval(secs => least($7::bigint, $8::bigint)))"};
    const struct new_session *wish = open->wish;
    const struct auth_config *cfg = open->app->cfg;
    open->grant->in_cookie = wish->in_cookie;
    open->grant->session_left_s = cfg->session_seconds;
    open->grant->refresh_left_s =
        cfg->refresh_seconds < cfg->session_seconds ? cfg->refresh_seconds : cfg->session_seconds;
    return pg_tx_exec(tx, &INSERT,
                      PARAMS(PG_TEXT(wish->refresh->session_id), PG_TEXT(wish->user_id), PG_TEXT(wish->device_name),
                             PG_TEXT(open->origin->ip), PG_BOOL(wish->in_cookie),
                             PG_BYTES(wish->refresh->hash, SHA256_BYTES), PG_I64(cfg->session_seconds),
                             PG_I64(cfg->refresh_seconds)),
                      NULL, err);
}

/* single_session ends all others; without it only those over the limit, the stalest first. */
static bool make_room(struct pg_tx *tx, const struct open *open, struct err *err)
{
    static const struct pg_statement END = {
        "end_sessions_over_limit",
        "UPDATE sessions SET ended_at = now(), end_reason = $4 WHERE id IN (SELECT id FROM sessions WHERE user_id = "
        "$1::uuid AND ended_at IS NULL AND id <> $2::uuid ORDER BY last_used_at DESC OFFSET $3::bigint) AND ended_at "
        "IS NULL RETURNING id, user_id"};
    const struct auth_config *cfg = open->app->cfg;
    bool single = open->wish->single || cfg->single_session;
    const char *reason = single ? "single_session" : "revoked";
    AUTO(pg_result)
    rows = pg_tx_query(tx, &END,
                       PARAMS(PG_TEXT(open->wish->user_id), PG_TEXT(open->wish->refresh->session_id),
                              PG_I64(single ? 0 : cfg->sessions_max - 1), PG_TEXT(reason)),
                       err);
    return rows && tx_sessions_ended(open->app, tx, rows, reason, open->origin, err);
}

static bool note_login(struct pg_tx *tx, const struct new_session *wish, struct err *err)
{
    static const struct pg_statement NOTE = {
        "note_login",
        "UPDATE accounts SET last_login_at = now(), password_hash = coalesce($2, password_hash) WHERE id = $1::uuid"};
    static const struct pg_statement KNOW = {"know_device",
                                             "INSERT INTO devices (user_id, device_hash) VALUES ($1::uuid, $2) ON "
                                             "CONFLICT (user_id, device_hash) DO UPDATE SET seen_at = now()"};
    return pg_tx_exec(tx, &NOTE, PARAMS(PG_TEXT(wish->user_id), PG_TEXT(wish->new_hash)), NULL, err) &&
           (!wish->device_hash ||
            pg_tx_exec(tx, &KNOW, PARAMS(PG_TEXT(wish->user_id), PG_BYTES(wish->device_hash, SHA256_BYTES)), NULL,
                       err));
}

/* The account's lock is held throughout, so of two racing single-session log-ins one remains, and a log-in with a
 * password that was just changed does not. */
static bool open_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct open *open = payload;
    const struct new_session *wish = open->wish;
    struct account *account = &open->grant->account;
    char hash[PASSWORD_HASH_BYTES];
    if (!tx_lock_account(tx, wish->user_id, account, hash, err))
        return false;
    if (account->withdrawn)
        return err_set(err, &ERR_WITHDRAWN, "this account was withdrawn");
    if (wish->known_hash && strcmp(wish->known_hash, hash) != 0)
        return err_set(err, &ERR_BAD_CREDENTIALS, "the log-in or the password is wrong");
    return insert_session(tx, open, err) && note_login(tx, wish, err) && make_room(tx, open, err);
}

bool store_open_session(const struct auth_app *app, const struct new_session *wish, const struct origin *origin,
                        struct session_grant *grant, struct err *err)
{
    struct open open = {app, wish, origin, grant};
    return pg_transaction(app->db, open_in_tx, &open, err);
}

/* ---- refreshing ---- */

struct refresh {
    const struct auth_app *app;
    const struct refresh_token *presented, *next;
    int64_t arrived_ms;
    const struct origin *origin;
    struct session_grant *grant;
    enum refresh_verdict verdict; /* told by a member: a dead family must be committed, so it is no failure inside */
};

/* The session's row, locked: a revocation that came first is seen, one that comes later waits. */
static struct pg_result *lock_session(struct pg_tx *tx, const char *session_id, struct err *err)
{
    static const struct pg_statement LOCK = {
        "lock_session",
        "SELECT " ACCOUNT_COLUMNS
        ", s.current_hash, s.previous_hash, s.twin_hash, s.ended_at IS NOT NULL, s.end_reason = 'refresh_reused', "
        "s.expires_at <= now(), (extract(epoch from clock_timestamp() - s.rotated_at) * 1000)::bigint, s.in_cookie, "
        "s.device_name, ceil(extract(epoch from s.ends_at - now()))::bigint FROM sessions s JOIN accounts AS a ON a.id "
        "= s.user_id WHERE s.id = $1::uuid FOR UPDATE OF s"};
    return pg_tx_query(tx, &LOCK, PARAMS(PG_TEXT(session_id)), err);
}
enum { /* columns after the account's */
       CURRENT = ACCOUNT_COLUMN_COUNT,
       PREVIOUS,
       TWIN,
       ENDED,
       BY_REUSE,
       EXPIRED,
       ROTATED_AGO,
       IN_COOKIE,
       DEVICE_NAME,
       SESSION_LEFT,
};

static bool copy_hash(const struct pg_result *rows, int column, struct arena *arena, unsigned char hash[SHA256_BYTES])
{
    struct view bytes = pg_bytes(rows, 0, column, arena);
    if (bytes.length != SHA256_BYTES)
        return false;
    memcpy(hash, bytes.bytes, SHA256_BYTES);
    return true;
}

static void row_state(const struct pg_result *rows, struct refresh_state *state)
{
    AUTO(arena) arena = arena_open(4096);
    (void)copy_hash(rows, CURRENT, arena, state->current);
    state->has_previous = copy_hash(rows, PREVIOUS, arena, state->previous);
    state->has_twin = copy_hash(rows, TWIN, arena, state->twin);
    state->ended = pg_bool(rows, 0, ENDED);
    state->ended_by_reuse = pg_bool(rows, 0, BY_REUSE);
    state->expired = pg_bool(rows, 0, EXPIRED);
    state->rotated_ago_ms = pg_i64(rows, 0, ROTATED_AGO);
}

static bool rotate(struct pg_tx *tx, const struct refresh *refresh, struct err *err)
{
    static const struct pg_statement ROTATE = {
        "rotate_session",
        "UPDATE sessions SET previous_hash = $2, current_hash = $3, twin_hash = NULL, rotated_at = clock_timestamp(), "
        "last_used_at = now(), ip = $4, expires_at = least(ends_at, now() + make_interval(secs => $5::bigint)) WHERE "
        "id = $1::uuid"};
    return pg_tx_exec(tx, &ROTATE,
                      PARAMS(PG_TEXT(refresh->presented->session_id), PG_BYTES(refresh->presented->hash, SHA256_BYTES),
                             PG_BYTES(refresh->next->hash, SHA256_BYTES), PG_TEXT(refresh->origin->ip),
                             PG_I64(refresh->app->cfg->refresh_seconds)),
                      NULL, err);
}

/* The token was used before: somebody has a copy. This family ends, and its owner is told. */
static bool kill_family(struct pg_tx *tx, const struct refresh *refresh, const char *device_name, struct err *err)
{
    static const struct pg_statement END = {"end_reused_session",
                                            "UPDATE sessions SET ended_at = now(), end_reason = 'refresh_reused' WHERE "
                                            "id = $1::uuid AND ended_at IS NULL RETURNING id, user_id"};
    AUTO(pg_result) rows = pg_tx_query(tx, &END, PARAMS(PG_TEXT(refresh->presented->session_id)), err);
    if (!rows)
        return false;
    return pg_rows(rows) == 0 || (event_session_reused(tx, &refresh->grant->account, refresh->presented->session_id,
                                                       device_name, refresh->origin, err) &&
                                  tx_sessions_ended(refresh->app, tx, rows, "refresh_reused", refresh->origin, err));
}

static bool refresh_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    struct refresh *refresh = payload;
    struct session_grant *grant = refresh->grant;
    AUTO(pg_result) rows = lock_session(tx, refresh->presented->session_id, err);
    if (!rows)
        return false;
    refresh->verdict = REFRESH_GONE;
    if (pg_rows(rows) == 0)
        return true;
    struct refresh_state state = {0};
    row_account(rows, 0, &grant->account);
    row_state(rows, &state);
    state.rotated_ago_ms -= clock_monotonic_ms() - refresh->arrived_ms;
    refresh->verdict = refresh_judge(&state, refresh->presented, refresh->app->cfg->refresh_grace_seconds * 1000);
    grant->in_cookie = pg_bool(rows, 0, IN_COOKIE);
    grant->session_left_s = pg_i64(rows, 0, SESSION_LEFT);
    int64_t refresh_seconds = refresh->app->cfg->refresh_seconds;
    grant->refresh_left_s = refresh_seconds < grant->session_left_s ? refresh_seconds : grant->session_left_s;
    if (refresh->verdict == REFRESH_ROTATE)
        return rotate(tx, refresh, err);
    return refresh->verdict != REFRESH_REUSED || kill_family(tx, refresh, pg_text(rows, 0, DEVICE_NAME), err);
}

bool store_refresh(const struct auth_app *app, const struct refresh_token *presented, const struct refresh_token *next,
                   int64_t arrived_ms, const struct origin *origin, struct session_grant *grant, struct err *err)
{
    struct refresh refresh = {
        .app = app, .presented = presented, .next = next, .arrived_ms = arrived_ms, .origin = origin, .grant = grant};
    if (!pg_transaction(app->db, refresh_in_tx, &refresh, err))
        return false;
    if (refresh.verdict == REFRESH_REUSED)
        return err_set(err, &ERR_REFRESH_REUSED, "this token was used before; the session has ended");
    return refresh.verdict != REFRESH_GONE || err_set(err, &ERR_REFRESH_EXPIRED, "log in again");
}

bool store_twin(const struct auth_app *app, struct pg_tx *tx, const struct identity *who,
                const struct refresh_token *twin, struct session_grant *grant, struct err *err)
{
    static const struct pg_statement SET = {"set_twin", "UPDATE sessions SET twin_hash = $2 WHERE id = $1::uuid"};
    AUTO(pg_result) rows = lock_session(tx, who->session_id, err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0 || pg_bool(rows, 0, ENDED) || pg_bool(rows, 0, EXPIRED))
        return err_set(err, &ERR_SESSION_ENDED, "log in again");
    row_account(rows, 0, &grant->account);
    grant->in_cookie = pg_bool(rows, 0, IN_COOKIE);
    grant->session_left_s = pg_i64(rows, 0, SESSION_LEFT);
    grant->refresh_left_s =
        app->cfg->refresh_seconds < grant->session_left_s ? app->cfg->refresh_seconds : grant->session_left_s;
    return pg_tx_exec(tx, &SET, PARAMS(PG_TEXT(who->session_id), PG_BYTES(twin->hash, SHA256_BYTES)), NULL, err);
}

/* ---- listing and ending ---- */

bool store_list_sessions(const struct auth_app *app, struct arena *arena, const char *user_id,
                         struct session_row **rows, size_t *count, struct err *err)
{
    static const struct pg_statement LIST = {
        "list_sessions", "SELECT id, device_name, ip, " SQL_MS("created_at") ", " SQL_MS(
                             "last_used_at") " FROM sessions "
                                             "WHERE user_id = $1::uuid AND ended_at IS NULL AND expires_at > now() "
                                             "ORDER BY last_used_at DESC, id DESC LIMIT $2::bigint"};
    AUTO(pg_result) found = pg_query(app->db, &LIST, PARAMS(PG_TEXT(user_id), PG_I64(app->cfg->sessions_max)), err);
    if (!found)
        return false;
    *count = (size_t)pg_rows(found);
    *rows = arena_alloc(arena, *count * sizeof **rows);
    for (size_t i = 0; i < *count; i++)
        (*rows)[i] = (struct session_row){.id = arena_text(arena, pg_text(found, (int)i, 0)),
                                          .device_name = arena_text(arena, pg_text(found, (int)i, 1)),
                                          .ip = arena_text(arena, pg_text(found, (int)i, 2)),
                                          .created_at_ms = pg_i64(found, (int)i, 3),
                                          .last_used_at_ms = pg_i64(found, (int)i, 4)};
    return true;
}

/* Ends by id; `user_id` NULL: whoever it belongs to. */
struct end {
    const struct auth_app *app;
    const char *user_id;
    const char *const *ids;
    size_t count;
    const char *reason;
    const struct origin *origin;
    int ended;
};

static bool end_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement END = {
        "end_sessions", "UPDATE sessions SET ended_at = now(), end_reason = $3 WHERE id = ANY ($1::text[]::uuid[]) AND "
                        "($2::uuid IS NULL OR user_id = $2::uuid) AND ended_at IS NULL AND expires_at > now() "
                        "RETURNING id, user_id"};
    struct end *end = payload;
    AUTO(pg_result)
    rows =
        pg_tx_query(tx, &END, PARAMS(PG_TEXTS(end->ids, end->count), PG_TEXT(end->user_id), PG_TEXT(end->reason)), err);
    if (!rows)
        return false;
    end->ended = pg_rows(rows);
    return tx_sessions_ended(end->app, tx, rows, end->reason, end->origin, err);
}

bool store_log_out(const struct auth_app *app, const char *const *session_ids, size_t count,
                   const struct origin *origin, struct err *err)
{
    struct end end = {.app = app, .ids = session_ids, .count = count, .reason = "logout", .origin = origin};
    return count == 0 || pg_transaction(app->db, end_in_tx, &end, err);
}

bool store_end_session(const struct auth_app *app, const char *user_id, const char *session_id,
                       const struct origin *origin, struct err *err)
{
    struct end end = {
        .app = app, .user_id = user_id, .ids = &session_id, .count = 1, .reason = "revoked", .origin = origin};
    if (!pg_transaction(app->db, end_in_tx, &end, err))
        return false;
    return end.ended > 0 || err_set(err, &ERR_NOT_FOUND, "no such session");
}

struct end_others {
    const struct auth_app *app;
    const struct identity *who;
    const struct origin *origin;
};

static bool end_others_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct end_others *others = payload;
    struct account account;
    return tx_lock_caller(tx, others->who, NULL, &account, err) &&
           tx_end_all_sessions(others->app, tx, others->who->user_id, others->who->session_id, "revoked",
                               others->origin, err);
}

bool store_end_other_sessions(const struct auth_app *app, const struct identity *who, const struct origin *origin,
                              struct err *err)
{
    struct end_others others = {app, who, origin};
    return pg_transaction(app->db, end_others_in_tx, &others, err);
}

/* ---- the feed ---- */

static void print_entry(struct str *out, const struct pg_result *rows, int row, bool sessions)
{
    json_open(out, NULL, '{');
    json_i64(out, "n", pg_i64(rows, row, 0));
    if (sessions) {
        json_text(out, "sid", pg_text(rows, row, 1));
    } else {
        json_text(out, "user_id", pg_text(rows, row, 2));
        json_i64(out, "least_rv", pg_i64(rows, row, 3));
    }
    json_i64(out, "until", pg_i64(rows, row, 4));
    json_close(out, '}');
}

bool store_revoked_after(const struct auth_app *app, int64_t after, struct str *out, struct err *err)
{
    /* One statement, so one snapshot: the counter and all rows up to it are seen together. A reader that is ahead of
     * the counter (another database than before) starts again. */
    static const struct pg_statement FEED = {
        "revoked_after", "SELECT r.n, r.session_id, r.user_id, r.least_rv, " SQL_MS(
                             "r.until") ", c.n FROM revocation_counter c "
                                        "LEFT JOIN LATERAL (SELECT * FROM revocations WHERE n > CASE WHEN $1::bigint > "
                                        "c.n THEN 0 ELSE $1::bigint END AND until > now() ORDER BY n LIMIT $2::bigint) "
                                        "r ON true ORDER BY r.n"};
    AUTO(pg_result) rows = pg_query(app->db, &FEED, PARAMS(PG_I64(after), PG_I64(REVOKED_PAGE + 1)), err);
    if (!rows)
        return false;
    int count = pg_is_null(rows, 0, 0) ? 0 : pg_rows(rows);
    bool more = count > REVOKED_PAGE;
    count = more ? REVOKED_PAGE : count;
    json_open(out, NULL, '{');
    json_i64(out, "last", more ? pg_i64(rows, count - 1, 0) : pg_i64(rows, 0, 5));
    for (int sessions = 1; sessions >= 0; sessions--) {
        json_open(out, sessions ? "sessions" : "users", '[');
        for (int i = 0; i < count; i++)
            if (pg_is_null(rows, i, 1) != (bool)sessions)
                print_entry(out, rows, i, sessions);
        json_close(out, ']');
    }
    json_bool(out, "more", more);
    json_close(out, '}');
    return true;
}
