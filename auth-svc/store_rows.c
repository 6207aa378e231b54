#include "store_rows.h"

#include <stdlib.h>
#include <strings.h>

void row_account(const struct pg_result *rows, int row, struct account *account)
{
    COPY_TEXT(account->id, pg_text(rows, row, 0));
    COPY_TEXT(account->email, pg_text(rows, row, 1));
    COPY_TEXT(account->handle, pg_text(rows, row, 2));
    COPY_TEXT(account->nickname, pg_text(rows, row, 3));
    COPY_TEXT(account->phone, pg_text(rows, row, 4));
    COPY_TEXT(account->locale, pg_text(rows, row, 5));
    (void)role_parse(pg_text(rows, row, 6), &account->role); /* a CHECK holds it */
    account->email_verified = pg_bool(rows, row, 7);
    account->has_password = pg_bool(rows, row, 8);
    account->withdrawn = pg_bool(rows, row, 9);
    account->role_version = pg_i64(rows, row, 10);
    account->version = pg_i64(rows, row, 11);
    account->created_at_ms = pg_i64(rows, row, 12);
    account->owner_proved = pg_bool(rows, row, 13);
}

bool tx_lock_account(struct pg_tx *tx, const char *user_id, struct account *account, char hash[PASSWORD_HASH_BYTES],
                     struct err *err)
{
    static const struct pg_statement LOCK = {"lock_account",
                                             "SELECT " ACCOUNT_COLUMNS
                                             ", a.password_hash FROM accounts AS a WHERE a.id = $1::uuid FOR UPDATE"};
    AUTO(pg_result) rows = pg_tx_query(tx, &LOCK, PARAMS(PG_TEXT(user_id)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_NOT_FOUND, "no such account");
    row_account(rows, 0, account);
    const char *stored = pg_text(rows, 0, ACCOUNT_COLUMN_COUNT);
    (void)snprintf(hash, PASSWORD_HASH_BYTES, "%s", stored ? stored : "");
    return true;
}

bool tx_lock_caller(struct pg_tx *tx, const struct identity *who, const char *known_hash, struct account *account,
                    struct err *err)
{
    /* A statement of its own after the lock: it sees what the transaction we waited for has done. */
    static const struct pg_statement LIVES = {"session_lives",
                                              "SELECT 1 FROM sessions WHERE id = $1::uuid AND user_id = $2::uuid AND "
                                              "ended_at IS NULL AND expires_at > now()"};
    char hash[PASSWORD_HASH_BYTES];
    if (!tx_lock_account(tx, who->user_id, account, hash, err))
        return err_is(err, &ERR_NOT_FOUND) && err_set(err, &ERR_SESSION_ENDED, "no such account");
    AUTO(pg_result) rows = pg_tx_query(tx, &LIVES, PARAMS(PG_TEXT(who->session_id), PG_TEXT(who->user_id)), err);
    if (!rows)
        return false;
    if (account->withdrawn || pg_rows(rows) == 0)
        return err_set(err, &ERR_SESSION_ENDED, "log in again");
    if (who->role_version < account->role_version)
        return err_set(err, &ERR_TOKEN_STALE, "refresh the access token");
    if (known_hash && strcmp(known_hash, hash) != 0)
        return err_set(err, &ERR_BAD_CREDENTIALS, "the password changed meanwhile");
    return true;
}

/* Only who has proved the address, and only while there is no admin: later ones are named by an admin. */
static bool name_first_admin(const struct auth_app *app, struct pg_tx *tx, struct account *account, struct err *err)
{
    static const struct pg_statement PROMOTE = {
        "promote_first_admin",
        "UPDATE accounts AS a SET role = 'admin', role_version = a.role_version + 1 WHERE a.id = $1::uuid AND NOT "
        "EXISTS (SELECT 1 FROM accounts WHERE role = 'admin') RETURNING " ACCOUNT_COLUMNS};
    bool named = *app->cfg->first_admin && strcasecmp(app->cfg->first_admin, account->email) == 0;
    if (!named || !account->owner_proved || account->role == ROLE_GUEST || account->role == ROLE_ADMIN ||
        account->withdrawn)
        return true;
    AUTO(pg_result) rows = pg_tx_query(tx, &PROMOTE, PARAMS(PG_TEXT(account->id)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return true;
    row_account(rows, 0, account);
    return tx_raise_role_version(app, tx, account->id, account->role_version, err);
}

bool tx_account_changed(const struct auth_app *app, struct pg_tx *tx, struct account *account,
                        const struct origin *origin, struct err *err)
{
    return name_first_admin(app, tx, account, err) && event_account(tx, account, origin, err);
}

bool tx_forget_ways_in(struct pg_tx *tx, const char *user_id, struct err *err)
{
    static const struct pg_statement FORGET = {
        "forget_ways_in", "WITH gone AS (DELETE FROM identities WHERE user_id = $1::uuid), going AS (DELETE FROM "
                          "social_logins WHERE user_id = $1::uuid) DELETE FROM devices WHERE user_id = $1::uuid"};
    return pg_tx_exec(tx, &FORGET, PARAMS(PG_TEXT(user_id)), NULL, err);
}

bool tx_use_proof(struct pg_tx *tx, const char *proof, const char *purpose, char address[EMAIL_MAX + 1],
                  struct err *err)
{
    static const struct pg_statement USE = {
        "use_proof",
        "DELETE FROM proofs WHERE proof_hash = $1 AND purpose = $2 AND expires_at > now() RETURNING address"};
    unsigned char hash[SHA256_BYTES];
    crypto_sha256(proof, strlen(proof), hash);
    AUTO(pg_result) rows = pg_tx_query(tx, &USE, PARAMS(PG_BYTES(hash, sizeof hash), PG_TEXT(purpose)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_BAD_PROOF, "ask for a new code");
    (void)snprintf(address, EMAIL_MAX + 1, "%s", pg_text(rows, 0, 0));
    return true;
}

/* How long an access token may still be seen as good somewhere: its life, the verifiers' leeway, and a transaction's
 * length. */
static int64_t revoked_for_s(const struct auth_app *app)
{
    return app->cfg->access_seconds + 10 + 15;
}

bool tx_sessions_ended(const struct auth_app *app, struct pg_tx *tx, const struct pg_result *rows, const char *reason,
                       const struct origin *origin, struct err *err)
{
    static const struct pg_statement NUMBER = {
        "number_ended_sessions",
        "WITH counter AS (UPDATE revocation_counter SET n = n + cardinality($1::text[]) RETURNING n) INSERT INTO "
        "revocations (n, session_id, until) SELECT counter.n - cardinality($1::text[]) + item.place, item.id::uuid, "
        "now() + make_interval(secs => $2::bigint) FROM counter, unnest($1::text[]) WITH ORDINALITY AS item (id, "
        "place)"};
    size_t count = (size_t)pg_rows(rows);
    if (count == 0)
        return true;
    struct ended_session *sessions = mem_new(count, sizeof *sessions);
    const char **ids = mem_new(count, sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        ids[i] = pg_text(rows, (int)i, 0);
        sessions[i] = (struct ended_session){.id = ids[i], .user_id = pg_text(rows, (int)i, 1)};
    }
    bool good = event_sessions_ended(tx, sessions, count, reason, origin, err) &&
                pg_tx_exec(tx, &NUMBER, PARAMS(PG_TEXTS(ids, count), PG_I64(revoked_for_s(app))), NULL, err);
    free(sessions);
    free(ids);
    return good;
}

bool tx_end_all_sessions(const struct auth_app *app, struct pg_tx *tx, const char *user_id, const char *keep,
                         const char *reason, const struct origin *origin, struct err *err)
{
    static const struct pg_statement END = {
        "end_all_sessions", "UPDATE sessions SET ended_at = now(), end_reason = $3 WHERE user_id = $1::uuid AND "
                            "ended_at IS NULL AND ($2::uuid IS NULL OR id <> $2::uuid) RETURNING id, user_id"};
    AUTO(pg_result) rows = pg_tx_query(tx, &END, PARAMS(PG_TEXT(user_id), PG_TEXT(keep), PG_TEXT(reason)), err);
    return rows && tx_sessions_ended(app, tx, rows, reason, origin, err);
}

bool tx_raise_role_version(const struct auth_app *app, struct pg_tx *tx, const char *user_id, int64_t least,
                           struct err *err)
{
    static const struct pg_statement NUMBER = {
        "number_role_version",
        "WITH counter AS (UPDATE revocation_counter SET n = n + 1 RETURNING n) INSERT INTO revocations (n, user_id, "
        "least_rv, until) SELECT counter.n, $1::uuid, $2::bigint, now() + make_interval(secs => $3::bigint) FROM "
        "counter"};
    return pg_tx_exec(tx, &NUMBER, PARAMS(PG_TEXT(user_id), PG_I64(least), PG_I64(revoked_for_s(app))), NULL, err);
}

bool names_taken(struct err *err)
{
    static const struct {
        const char *constraint;
        const struct problem *problem;
        const char *message;
    } NAMES[] = {
        {"accounts_email_key", &ERR_EMAIL_TAKEN, "another account has this e-mail address"},
        {"accounts_handle_key", &ERR_HANDLE_TAKEN, "another account has this handle"},
        {"accounts_nickname_key", &ERR_NICKNAME_TAKEN, "another account has this nickname"},
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (pg_violated(err, NAMES[i].constraint))
            return err_set(err, NAMES[i].problem, "%s", NAMES[i].message);
    return false;
}
