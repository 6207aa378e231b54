#include "store_slack.h"

#include "clock.h"
#include "problems.h"
#include "str.h"

enum { SALT_BYTES = 16 };

/* ---- people ---- */

static const struct pg_statement FIND_PEOPLE = {
    "slack_find_people",
    "SELECT coalesce(a.nickname, ''), CASE WHEN a.email_verified THEN a.email ELSE '' END, coalesce(l.slack_id, '')"
    " FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)"
    " LEFT JOIN accounts a ON a.user_id = u.id AND NOT a.withdrawn"
    " LEFT JOIN slack_links l ON l.user_id = u.id AND a.user_id IS NOT NULL ORDER BY u.n"};

bool store_slack_people(struct pg_tx *tx, struct arena *arena, const char *const *ids, size_t count,
                        struct slack_friend **people, struct err *err)
{
    AUTO(pg_result) rows = pg_tx_query(tx, &FIND_PEOPLE, PARAMS(PG_TEXTS(ids, count)), err);
    if (!rows)
        return false;
    *people = arena_alloc(arena, (count + 1) * sizeof **people);
    for (size_t i = 0; i < count; i++) {
        const char *email = pg_text(rows, (int)i, 1);
        (*people)[i] = (struct slack_friend){
            .nickname = arena_text(arena, pg_text(rows, (int)i, 0)),
            .email = email ? arena_text(arena, email) : "",
            .slack_id = arena_text(arena, pg_text(rows, (int)i, 2)),
        };
    }
    return true;
}

static const struct pg_statement FIND_LINK = {
    "slack_find_link",
    "SELECT l.slack_id, l.how, (extract(epoch FROM l.linked_at) * 1000)::bigint,"
    " c.slack_id, (extract(epoch FROM c.expires_at) * 1000)::bigint"
    " FROM (SELECT $1::uuid AS user_id) u LEFT JOIN slack_links l USING (user_id)"
    " LEFT JOIN slack_codes c ON c.user_id = u.user_id AND c.expires_at > now() AND c.tries < $2::int"};

bool store_slack_link(struct pg_pool *db, struct arena *arena, const char *user_id, struct slack_link *link,
                      struct err *err)
{
    AUTO(pg_result) rows = pg_query(db, &FIND_LINK, PARAMS(PG_TEXT(user_id), PG_I64(SLACK_CODE_TRIES)), err);
    if (!rows)
        return false;
    const bool linked = !pg_is_null(rows, 0, 0), pending = !pg_is_null(rows, 0, 3);
    *link = (struct slack_link){
        .slack_id = linked ? arena_text(arena, pg_text(rows, 0, 0)) : NULL,
        .how = linked ? arena_text(arena, pg_text(rows, 0, 1)) : NULL,
        .linked_ms = pg_i64(rows, 0, 2),
        .pending_id = pending ? arena_text(arena, pg_text(rows, 0, 3)) : NULL,
        .pending_until_ms = pg_i64(rows, 0, 4),
    };
    return true;
}

/* ---- codes ---- */

static void hash_code(const unsigned char salt[SALT_BYTES], const char *code, unsigned char hash[SHA256_BYTES])
{
    AUTO_STR text;
    str_init(&text);
    str_add_bytes(&text, salt, SALT_BYTES);
    str_add(&text, code);
    crypto_sha256(text.bytes, text.length, hash);
}

/* Of two requests at once, for the same account or the same Slack user, the second one waits and counts the first. */
static const struct pg_statement LOCK_SENDS = {
    "slack_lock_sends",
    "SELECT pg_advisory_xact_lock(hashtextextended(k, 7)) FROM (SELECT unnest($1::text[]) AS k ORDER BY 1) s"};
static const struct pg_statement COUNT_SENDS = {
    "slack_count_sends",
    "SELECT count(*) FILTER (WHERE user_id = $1), count(*) FILTER (WHERE slack_id = $2),"
    " greatest(0, ceil(extract(epoch FROM max(at) + make_interval(secs => $3::int) - now())))::bigint"
    " FROM slack_code_sends WHERE (user_id = $1 OR slack_id = $2) AND at > now() - interval '1 day'"};
static const struct pg_statement PUT_CODE = {
    "slack_put_code", "INSERT INTO slack_codes (user_id, slack_id, salt, code_hash, expires_at)"
                      " VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5::int))"
                      " ON CONFLICT (user_id) DO UPDATE SET slack_id = excluded.slack_id, salt = excluded.salt,"
                      " code_hash = excluded.code_hash, tries = 0, expires_at = excluded.expires_at"};
static const struct pg_statement ADD_SEND = {"slack_add_send",
                                             "INSERT INTO slack_code_sends (user_id, slack_id) VALUES ($1, $2)"};

struct new_code {
    const char *user_id, *slack_id;
    unsigned char salt[SALT_BYTES], hash[SHA256_BYTES];
};

static bool check_quota(struct pg_tx *tx, const struct new_code *new_code, struct err *err)
{
    const char *const keys[] = {new_code->user_id, new_code->slack_id};
    AUTO(pg_result) locked = pg_tx_query(tx, &LOCK_SENDS, PARAMS(PG_TEXTS(keys, 2)), err);
    if (!locked)
        return false;
    AUTO(pg_result)
    rows =
        pg_tx_query(tx, &COUNT_SENDS,
                    PARAMS(PG_TEXT(new_code->user_id), PG_TEXT(new_code->slack_id), PG_I64(SLACK_RESEND_SECONDS)), err);
    if (!rows)
        return false;
    if (pg_i64(rows, 0, 2) > 0)
        return err_set_retry(err, &ERR_RATE_LIMITED, (int)pg_i64(rows, 0, 2), "one code a minute");
    if (pg_i64(rows, 0, 0) >= SLACK_SENDS_A_DAY || pg_i64(rows, 0, 1) >= SLACK_SENDS_A_DAY)
        return err_set_retry(err, &ERR_RATE_LIMITED, 3600, "%d codes a day", SLACK_SENDS_A_DAY);
    return true;
}

static bool put_code(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct new_code *new_code = payload;
    return check_quota(tx, new_code, err) &&
           pg_tx_exec(tx, &PUT_CODE,
                      PARAMS(PG_TEXT(new_code->user_id), PG_TEXT(new_code->slack_id),
                             PG_BYTES(new_code->salt, SALT_BYTES), PG_BYTES(new_code->hash, SHA256_BYTES),
                             PG_I64(SLACK_CODE_SECONDS)),
                      NULL, err) &&
           pg_tx_exec(tx, &ADD_SEND, PARAMS(PG_TEXT(new_code->user_id), PG_TEXT(new_code->slack_id)), NULL, err);
}

bool store_slack_code_put(struct pg_pool *db, const char *user_id, const char *slack_id, const char *code,
                          struct err *err)
{
    struct new_code new_code = {.user_id = user_id, .slack_id = slack_id};
    crypto_random(new_code.salt, SALT_BYTES);
    hash_code(new_code.salt, code, new_code.hash);
    return pg_transaction(db, put_code, &new_code, err);
}

static const struct pg_statement DROP_CODE = {
    "slack_drop_code",
    "WITH code AS (DELETE FROM slack_codes WHERE user_id = $1)"
    " DELETE FROM slack_code_sends WHERE id = (SELECT max(id) FROM slack_code_sends WHERE user_id = $1)"};

bool store_slack_code_drop(struct pg_pool *db, const char *user_id, struct err *err)
{
    return pg_exec(db, &DROP_CODE, PARAMS(PG_TEXT(user_id)), NULL, err);
}

/* ---- the proof ---- */

static const struct pg_statement LOCK_CODE = {"slack_lock_code",
                                              "SELECT slack_id, salt, code_hash FROM slack_codes WHERE user_id = $1 "
                                              "AND expires_at > now() AND tries < $2::int FOR UPDATE"};
static const struct pg_statement COUNT_TRY = {"slack_count_try",
                                              "UPDATE slack_codes SET tries = tries + 1 WHERE user_id = $1"};
static const struct pg_statement USE_CODE = {"slack_use_code", "DELETE FROM slack_codes WHERE user_id = $1"};
/* The other account keeps its row, as if its owner had unlinked it. */
static const struct pg_statement TAKE_AWAY = {
    "slack_take_away",
    "UPDATE slack_links SET slack_id = NULL, linked_at = now() WHERE slack_id = $2 AND user_id <> $1"};
static const struct pg_statement PUT_LINK = {
    "slack_put_link",
    "INSERT INTO slack_links (user_id, slack_id, how) VALUES ($1, $2, 'code')"
    " ON CONFLICT (user_id) DO UPDATE SET slack_id = excluded.slack_id, how = excluded.how, linked_at = now()"};

struct proof {
    const char *user_id, *code;
    bool right;
};

static bool is_right(const struct pg_result *rows, const char *code, struct arena *arena)
{
    const struct view salt = pg_bytes(rows, 0, 1, arena), kept = pg_bytes(rows, 0, 2, arena);
    unsigned char hash[SHA256_BYTES];
    if (salt.length != SALT_BYTES)
        return false;
    hash_code((const unsigned char *)salt.bytes, code, hash);
    return crypto_equal(kept.bytes, kept.length, hash, sizeof hash);
}

/* A wrong code commits too: the try counts. */
static bool prove(struct pg_tx *tx, void *payload, struct err *err)
{
    struct proof *proof = payload;
    proof->right = false;
    AUTO(arena) arena = arena_open(4096);
    AUTO(pg_result) rows = pg_tx_query(tx, &LOCK_CODE, PARAMS(PG_TEXT(proof->user_id), PG_I64(SLACK_CODE_TRIES)), err);
    if (!rows || pg_rows(rows) == 0)
        return rows != NULL;
    proof->right = is_right(rows, proof->code, arena);
    if (!proof->right)
        return pg_tx_exec(tx, &COUNT_TRY, PARAMS(PG_TEXT(proof->user_id)), NULL, err);
    const char *slack_id = pg_text(rows, 0, 0);
    return pg_tx_exec(tx, &USE_CODE, PARAMS(PG_TEXT(proof->user_id)), NULL, err) &&
           pg_tx_exec(tx, &TAKE_AWAY, PARAMS(PG_TEXT(proof->user_id), PG_TEXT(slack_id)), NULL, err) &&
           pg_tx_exec(tx, &PUT_LINK, PARAMS(PG_TEXT(proof->user_id), PG_TEXT(slack_id)), NULL, err);
}

bool store_slack_confirm(struct pg_pool *db, const char *user_id, const char *code, struct err *err)
{
    struct proof proof = {.user_id = user_id, .code = code};
    if (!pg_transaction(db, prove, &proof, err))
        return false;
    return proof.right || err_set(err, &ERR_BAD_CODE, "ask for a new code if it does not work");
}

static const struct pg_statement UNLINK = {
    "slack_unlink",
    "WITH code AS (DELETE FROM slack_codes WHERE user_id = $1)"
    " UPDATE slack_links SET slack_id = NULL, linked_at = now() WHERE user_id = $1 AND slack_id IS NOT NULL"};

bool store_slack_unlink(struct pg_pool *db, const char *user_id, struct err *err)
{
    return pg_exec(db, &UNLINK, PARAMS(PG_TEXT(user_id)), NULL, err);
}
