/* store_accounts.c - making, finding and changing accounts. */
#include "store_rows.h"

#include <stdlib.h>

/* ---- making ---- */

struct add {
    const struct auth_app *app;
    const struct new_account *wish;
    const struct origin *origin;
    const char *handle;
    struct nickname nickname;
    struct account *account;
};

/* The address of a proof: NULL when none was given. */
static bool use_proof_if_given(struct pg_tx *tx, const char *proof, const char *purpose, char address[EMAIL_MAX + 1],
                               struct err *err)
{
    *address = '\0';
    return !proof || tx_use_proof(tx, proof, purpose, address, err);
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

static bool insert_account(struct pg_tx *tx, const struct add *add, bool verified, const char *phone, struct err *err)
{
    static const struct pg_statement INSERT = {
        "insert_account",
        "INSERT INTO accounts AS a (id, email, email_folded, email_verified, owner_proved, handle, nickname, "
        "nickname_folded, name, "
        "gender, birth_date, phone, phone_proved_at, password_hash, locale, role) VALUES ($1::uuid, $2, $3, "
        "$4::boolean, $4::boolean, $5, $6, $7, $8, $9, $10::date, $11::text, CASE WHEN $11::text IS NOT NULL THEN "
        "now() END, $12, "
        "$13, $14) RETURNING " ACCOUNT_COLUMNS};
    const struct new_account *wish = add->wish;
    char id[UUID_TEXT_BYTES];
    uuid_new(id);
    AUTO(pg_result)
    rows = pg_tx_query(tx, &INSERT,
                       PARAMS(PG_TEXT(id), PG_TEXT(wish->email), PG_TEXT(wish->email_folded), PG_BOOL(verified),
                              PG_TEXT(add->handle), PG_TEXT(add->nickname.shown), PG_TEXT(add->nickname.folded),
                              PG_TEXT(wish->name), PG_TEXT(wish->gender), PG_TEXT(wish->birth_date), PG_TEXT(phone),
                              PG_TEXT(wish->password_hash), PG_TEXT(wish->korean ? "ko" : "en"),
                              PG_TEXT(role_name(wish->role))),
                       err);
    if (!rows)
        return names_taken(err);
    row_account(rows, 0, add->account);
    return true;
}

static bool insert_identity(struct pg_tx *tx, const char *user_id, const char *provider, const char *subject,
                            struct err *err)
{
    static const struct pg_statement INSERT = {
        "insert_identity", "INSERT INTO identities (provider, subject, user_id) VALUES ($1, $2, $3::uuid)"};
    return pg_tx_exec(tx, &INSERT, PARAMS(PG_TEXT(provider), PG_TEXT(subject), PG_TEXT(user_id)), NULL, err);
}

static bool add_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct add *add = payload;
    const struct new_account *wish = add->wish;
    char email[EMAIL_MAX + 1], phone[EMAIL_MAX + 1];
    if (!use_proof_if_given(tx, wish->proof, "verify_email", email, err) ||
        !use_proof_if_given(tx, wish->phone_proof, "verify_phone", phone, err))
        return false;
    if (wish->proof && strcmp(email, wish->email_folded) != 0)
        return err_set(err, &ERR_BAD_PROOF, "the proof is for another e-mail address");
    return insert_account(tx, add, wish->proof || wish->email_verified, or_null(phone), err) &&
           (!wish->provider || insert_identity(tx, add->account->id, wish->provider, wish->subject, err)) &&
           tx_account_changed(add->app, tx, add->account, add->origin, err);
}

bool store_add_account(const struct auth_app *app, const struct new_account *wish, const struct origin *origin,
                       struct account *account, struct err *err)
{
    enum { TRIES = 5 }; /* names that we make may meet others; five times in a row they don't */
    for (int i = 1;; i++) {
        char handle[HANDLE_MAX + 1], nickname[32];
        struct add add = {app, wish, origin, wish->handle, wish->nickname, account};
        if (!add.handle) {
            account_make_handle(handle);
            add.handle = handle;
        }
        if (!add.nickname.shown) {
            account_make_nickname(wish->korean, nickname);
            add.nickname = (struct nickname){nickname, nickname}; /* lower case and digits: folded already */
        }
        if (pg_transaction(app->db, add_in_tx, &add, err))
            return true;
        bool ours = (!wish->handle && err_is(err, &ERR_HANDLE_TAKEN)) ||
                    (!wish->nickname.shown && err_is(err, &ERR_NICKNAME_TAKEN));
        if (!ours || i == TRIES)
            return false;
        err_clear(err);
    }
}

/* ---- finding ---- */

bool store_names_free(const struct auth_app *app, struct names_free *names, struct err *err)
{
    static const struct pg_statement FREE = {"names_free",
                                             "SELECT NOT EXISTS (SELECT 1 FROM accounts WHERE email_folded = $1), NOT "
                                             "EXISTS (SELECT 1 FROM accounts WHERE handle = $2), NOT EXISTS (SELECT 1 "
                                             "FROM accounts WHERE nickname_folded = $3)"};
    AUTO(pg_result)
    rows = pg_query(app->db, &FREE,
                    PARAMS(PG_TEXT(names->email_folded), PG_TEXT(names->handle), PG_TEXT(names->nickname_folded)), err);
    if (!rows)
        return false;
    names->email = pg_bool(rows, 0, 0);
    names->handle_free = pg_bool(rows, 0, 1);
    names->nickname = pg_bool(rows, 0, 2);
    return true;
}

static void row_login(const struct pg_result *rows, struct login_row *row)
{
    row->found = pg_rows(rows) > 0;
    if (!row->found)
        return;
    row_account(rows, 0, &row->account);
    COPY_TEXT(row->password_hash, pg_text(rows, 0, ACCOUNT_COLUMN_COUNT));
    row->known_device = pg_bool(rows, 0, ACCOUNT_COLUMN_COUNT + 1);
}

/* The keyed hash under which a withdrawn account's former name is found. */
static void login_mac(const struct auth_app *app, const char *folded, unsigned char mac[SHA256_BYTES])
{
    secret_mac(&app->secret, "withdrawn login", folded, strlen(folded), mac);
}

bool store_find_login(const struct auth_app *app, const char *folded, const unsigned char *device_hash,
                      struct login_row *row, struct err *err)
{
#define LOGIN_COLUMNS                                                                                                  \
    ACCOUNT_COLUMNS ", a.password_hash, "                                                                              \
                    "EXISTS (SELECT 1 FROM devices d WHERE d.user_id = a.id AND d.device_hash = $2)"
#define FORMER                                                                                                         \
    " UNION ALL (SELECT " LOGIN_COLUMNS " FROM withdrawn_logins w JOIN accounts AS a ON a.id = w.user_id "             \
    "WHERE w.login_mac = $3 ORDER BY a.withdrawn_at DESC LIMIT 1) LIMIT 1"
    static const struct pg_statement BY_EMAIL = {
        "find_login_by_email", "SELECT " LOGIN_COLUMNS " FROM accounts AS a WHERE a.email_folded = $1" FORMER};
    static const struct pg_statement BY_HANDLE = {
        "find_login_by_handle", "SELECT " LOGIN_COLUMNS " FROM accounts AS a WHERE a.handle = $1" FORMER};
    unsigned char mac[SHA256_BYTES];
    login_mac(app, folded, mac);
    AUTO(pg_result)
    rows = pg_query(
        app->db, strchr(folded, '@') ? &BY_EMAIL : &BY_HANDLE,
        PARAMS(PG_TEXT(folded), device_hash ? PG_BYTES(device_hash, SHA256_BYTES) : PG_NULL, PG_BYTES(mac, sizeof mac)),
        err);
    if (!rows)
        return false;
    row_login(rows, row);
    return true;
}

bool store_find_account(const struct auth_app *app, const char *user_id, struct login_row *row, struct err *err)
{
    static const struct pg_statement FIND = {
        "find_account", "SELECT " ACCOUNT_COLUMNS
                        ", a.password_hash, false FROM accounts AS a WHERE a.id = $1::uuid AND a.withdrawn_at IS NULL"};
    AUTO(pg_result) rows = pg_query(app->db, &FIND, PARAMS(PG_TEXT(user_id)), err);
    if (!rows)
        return false;
    row_login(rows, row);
    return row->found || err_set(err, &ERR_NOT_FOUND, "no such account");
}

bool store_find_reset(const struct auth_app *app, const char *proof, struct login_row *row, struct err *err)
{
    static const struct pg_statement FIND = {
        "find_reset", "SELECT " ACCOUNT_COLUMNS ", a.password_hash, false FROM proofs p "
                      "JOIN accounts AS a ON a.email_folded = p.address WHERE p.proof_hash = $1 AND p.purpose = "
                      "'reset_password' AND p.expires_at > now()"};
    unsigned char hash[SHA256_BYTES];
    crypto_sha256(proof, strlen(proof), hash);
    AUTO(pg_result) rows = pg_query(app->db, &FIND, PARAMS(PG_BYTES(hash, sizeof hash)), err);
    if (!rows)
        return false;
    row_login(rows, row);
    return row->found || err_set(err, &ERR_BAD_PROOF, "ask for a new code");
}

bool store_check_caller(const struct auth_app *app, const struct identity *who, struct account *account,
                        struct err *err)
{
    static const struct pg_statement CHECK = {
        "check_caller",
        "SELECT " ACCOUNT_COLUMNS " FROM sessions s JOIN accounts AS a ON a.id = s.user_id "
        "WHERE s.id = $1::uuid AND s.user_id = $2::uuid AND s.ended_at IS NULL AND s.expires_at > now()"};
    AUTO(pg_result) rows = pg_query(app->db, &CHECK, PARAMS(PG_TEXT(who->session_id), PG_TEXT(who->user_id)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_SESSION_ENDED, "log in again");
    row_account(rows, 0, account);
    return who->role_version >= account->role_version || err_set(err, &ERR_TOKEN_STALE, "refresh the access token");
}

/* ---- changing one's own ---- */

/* Everything a change of the caller's account may need; each uses its part. */
struct change {
    const struct auth_app *app;
    const struct identity *who;
    const struct origin *origin;
    const char *known_hash;
    const struct nickname *nickname;
    const char *handle, *proof, *new_hash;
    int64_t if_version;
    struct account *account;
};

/* One UPDATE ... RETURNING ACCOUNT_COLUMNS of a locked account, and what follows from every change. */
static bool update_account(const struct change *change, struct pg_tx *tx, const struct pg_statement *statement,
                           struct pg_params params, struct err *err)
{
    AUTO(pg_result) rows = pg_tx_query(tx, statement, params, err);
    if (!rows)
        return names_taken(err);
    row_account(rows, 0, change->account);
    return tx_account_changed(change->app, tx, change->account, change->origin, err);
}

static bool rename_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement RENAME = {
        "rename_account",
        "UPDATE accounts AS a SET handle = coalesce($2, a.handle), nickname = coalesce($3, a.nickname), "
        "nickname_folded = coalesce($4, a.nickname_folded), version = a.version + 1 WHERE a.id = $1::uuid RETURNING "
        "" ACCOUNT_COLUMNS};
    const struct change *change = payload;
    if (!tx_lock_caller(tx, change->who, NULL, change->account, err))
        return false;
    if (change->if_version && change->if_version != change->account->version)
        return err_set(err, &ERR_STALE_VERSION, "the account is at version %lld", (long long)change->account->version);
    const struct nickname *nickname = change->nickname;
    return update_account(change, tx, &RENAME,
                          PARAMS(PG_TEXT(change->who->user_id), PG_TEXT(change->handle),
                                 PG_TEXT(nickname ? nickname->shown : NULL),
                                 PG_TEXT(nickname ? nickname->folded : NULL)),
                          err);
}

bool store_rename(const struct auth_app *app, const struct identity *who, const struct nickname *nickname,
                  const char *handle, int64_t if_version, const struct origin *origin, struct account *account,
                  struct err *err)
{
    struct change change = {.app = app,
                            .who = who,
                            .origin = origin,
                            .nickname = nickname,
                            .handle = handle,
                            .if_version = if_version,
                            .account = account};
    return pg_transaction(app->db, rename_in_tx, &change, err);
}

static bool email_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement CHANGE = {
        "change_email",
        "UPDATE accounts AS a SET email = $2, email_folded = $2, email_verified = true, owner_proved = true, "
        "version = a.version + 1 WHERE a.id = $1::uuid RETURNING " ACCOUNT_COLUMNS};
    const struct change *change = payload;
    char address[EMAIL_MAX + 1];
    return tx_lock_caller(tx, change->who, change->known_hash, change->account, err) &&
           tx_use_proof(tx, change->proof, "verify_email", address, err) &&
           update_account(change, tx, &CHANGE, PARAMS(PG_TEXT(change->who->user_id), PG_TEXT(address)), err);
}

bool store_change_email(const struct auth_app *app, const struct identity *who, const char *proof,
                        const char *known_hash, const struct origin *origin, struct account *account, struct err *err)
{
    struct change change = {
        .app = app, .who = who, .origin = origin, .proof = proof, .known_hash = known_hash, .account = account};
    return pg_transaction(app->db, email_in_tx, &change, err);
}

static bool phone_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement CHANGE = {
        "change_phone", "UPDATE accounts AS a SET phone = $2, phone_proved_at = now(), version = a.version + 1 "
                        "WHERE a.id = $1::uuid RETURNING " ACCOUNT_COLUMNS};
    const struct change *change = payload;
    char address[EMAIL_MAX + 1];
    return tx_lock_caller(tx, change->who, NULL, change->account, err) &&
           tx_use_proof(tx, change->proof, "verify_phone", address, err) &&
           update_account(change, tx, &CHANGE, PARAMS(PG_TEXT(change->who->user_id), PG_TEXT(address)), err);
}

bool store_change_phone(const struct auth_app *app, const struct identity *who, const char *proof,
                        const struct origin *origin, struct account *account, struct err *err)
{
    struct change change = {.app = app, .who = who, .origin = origin, .proof = proof, .account = account};
    return pg_transaction(app->db, phone_in_tx, &change, err);
}

static bool password_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement CHANGE = {"change_password",
                                               "UPDATE accounts SET password_hash = $2 WHERE id = $1::uuid"};
    const struct change *change = payload;
    const struct identity *who = change->who;
    struct account account;
    return tx_lock_caller(tx, who, change->known_hash, &account, err) &&
           pg_tx_exec(tx, &CHANGE, PARAMS(PG_TEXT(who->user_id), PG_TEXT(change->new_hash)), NULL, err) &&
           tx_end_all_sessions(change->app, tx, who->user_id, who->session_id, "password_changed", change->origin, err);
}

bool store_change_password(const struct auth_app *app, const struct identity *who, const char *known_hash,
                           const char *new_hash, const struct origin *origin, struct err *err)
{
    struct change change = {.app = app, .who = who, .origin = origin, .known_hash = known_hash, .new_hash = new_hash};
    return pg_transaction(app->db, password_in_tx, &change, err);
}

static bool reset_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement LOCK = {"lock_for_reset",
                                             "SELECT owner_proved FROM accounts WHERE email_folded = $1 FOR UPDATE"};
    static const struct pg_statement RESET = {
        "reset_password",
        "UPDATE accounts AS a SET password_hash = $2, email_verified = true, owner_proved = true, phone = CASE WHEN "
        "a.owner_proved THEN a.phone END, phone_proved_at = CASE WHEN a.owner_proved THEN a.phone_proved_at END, "
        "version = a.version + 1 WHERE a.email_folded = $1 RETURNING " ACCOUNT_COLUMNS};
    const struct change *change = payload;
    char address[EMAIL_MAX + 1];
    if (!tx_use_proof(tx, change->proof, "reset_password", address, err))
        return false;
    AUTO(pg_result) held = pg_tx_query(tx, &LOCK, PARAMS(PG_TEXT(address)), err);
    if (!held)
        return false;
    if (pg_rows(held) == 0) /* gone, or another address by now */
        return err_set(err, &ERR_BAD_PROOF, "ask for a new code");
    AUTO(pg_result) rows = pg_tx_query(tx, &RESET, PARAMS(PG_TEXT(address), PG_TEXT(change->new_hash)), err);
    if (!rows)
        return false;
    struct account account;
    row_account(rows, 0, &account);
    /* Who had the account had never proved the address: the ways in that he made are not the owner's. */
    if (!pg_bool(held, 0, 0) && !tx_forget_ways_in(tx, account.id, err))
        return false;
    return tx_account_changed(change->app, tx, &account, change->origin, err) &&
           tx_end_all_sessions(change->app, tx, account.id, NULL, "password_changed", change->origin, err);
}

bool store_reset_password(const struct auth_app *app, const char *proof, const char *new_hash,
                          const struct origin *origin, struct err *err)
{
    struct change change = {.app = app, .origin = origin, .proof = proof, .new_hash = new_hash};
    return pg_transaction(app->db, reset_in_tx, &change, err);
}

/* ---- leaving ---- */

/* The freed names stay known as keyed hashes, so that the right password is still told "withdrawn". */
static bool keep_former_logins(const struct auth_app *app, struct pg_tx *tx, const struct account *account,
                               struct err *err)
{
    static const struct pg_statement KEEP = {
        "keep_former_login", "INSERT INTO withdrawn_logins (login_mac, user_id) "
                             "SELECT mac, $1::uuid FROM unnest(ARRAY[$2, $3]::bytea[]) AS mac WHERE mac IS NOT NULL"};
    static const struct pg_statement FOLDED = {"folded_email", "SELECT email_folded FROM accounts WHERE id = $1::uuid"};
    AUTO(pg_result) rows = pg_tx_query(tx, &FOLDED, PARAMS(PG_TEXT(account->id)), err);
    if (!rows)
        return false;
    unsigned char email[SHA256_BYTES], handle[SHA256_BYTES];
    const char *folded = pg_text(rows, 0, 0);
    if (folded)
        login_mac(app, folded, email);
    login_mac(app, account->handle, handle);
    return pg_tx_exec(
        tx, &KEEP,
        PARAMS(PG_TEXT(account->id), folded ? PG_BYTES(email, sizeof email) : PG_NULL, PG_BYTES(handle, sizeof handle)),
        NULL, err);
}

static bool withdraw_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement WITHDRAW = {
        "withdraw",
        "UPDATE accounts AS a SET withdrawn_at = now(), email = NULL, email_folded = NULL, email_verified = false, "
        "owner_proved = false, "
        "handle = NULL, nickname = NULL, nickname_folded = NULL, name = NULL, gender = NULL, birth_date = NULL, phone "
        "= NULL, phone_proved_at = NULL, role = 'user', role_version = a.role_version + 1, version = a.version + 1 "
        "WHERE a.id = $1::uuid RETURNING " ACCOUNT_COLUMNS};
    static const struct pg_statement FORGET = {"forget_devices", "DELETE FROM devices WHERE user_id = $1::uuid"};
    const struct change *change = payload;
    struct account account;
    const char *user_id = change->who->user_id;
    struct change mine = *change;
    mine.account = &account;
    return tx_lock_caller(tx, change->who, change->known_hash, &account, err) &&
           keep_former_logins(change->app, tx, &account, err) &&
           update_account(&mine, tx, &WITHDRAW, PARAMS(PG_TEXT(user_id)), err) &&
           pg_tx_exec(tx, &FORGET, PARAMS(PG_TEXT(user_id)), NULL, err) &&
           tx_end_all_sessions(change->app, tx, user_id, NULL, "withdrawn", change->origin, err) &&
           tx_raise_role_version(change->app, tx, user_id, account.role_version, err);
}

bool store_withdraw(const struct auth_app *app, const struct identity *who, const char *known_hash,
                    const struct origin *origin, struct err *err)
{
    struct change change = {.app = app, .who = who, .origin = origin, .known_hash = known_hash};
    return pg_transaction(app->db, withdraw_in_tx, &change, err);
}
