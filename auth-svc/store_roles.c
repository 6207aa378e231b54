/* store_roles.c - guests become users, admins give roles. Each new role has a higher version: older tokens are stale.
 */
#include "store_rows.h"

struct role_change {
    const struct auth_app *app;
    const char *user_id;
    enum role role;
    const struct origin *origin;
};

/* Admins are few and rarely change: their changes wait for each other, so that two can't remove each other at once. */
static bool another_admin(struct pg_tx *tx, const char *user_id, struct err *err)
{
    static const struct pg_statement WAIT = {"lock_admins",
                                             "SELECT pg_advisory_xact_lock(hashtext('madang auth admins'))"};
    static const struct pg_statement OTHER = {"another_admin",
                                              "SELECT 1 FROM accounts WHERE role = 'admin' AND id <> $1::uuid LIMIT 1"};
    AUTO(pg_result) locked = pg_tx_query(tx, &WAIT, NO_PARAMS, err);
    AUTO(pg_result) rows = locked ? pg_tx_query(tx, &OTHER, PARAMS(PG_TEXT(user_id)), err) : NULL;
    if (!rows)
        return false;
    return pg_rows(rows) > 0 || err_set(err, &ERR_LAST_ADMIN, "make another admin first");
}

static bool role_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement SET = {
        "set_role", "UPDATE accounts AS a SET role = $2, role_version = a.role_version + 1, version = a.version + 1 "
                    "WHERE a.id = $1::uuid RETURNING " ACCOUNT_COLUMNS};
    const struct role_change *change = payload;
    struct account account;
    char hash[PASSWORD_HASH_BYTES];
    if (!tx_lock_account(tx, change->user_id, &account, hash, err))
        return false;
    if (account.withdrawn)
        return err_set(err, &ERR_NOT_FOUND, "no such account");
    if (account.role == ROLE_GUEST)
        return err_set(err, &ERR_CONFLICT, "the profile is not complete yet");
    if (account.role == change->role)
        return true;
    if (account.role == ROLE_ADMIN && !another_admin(tx, change->user_id, err))
        return false;
    AUTO(pg_result)
    rows = pg_tx_query(tx, &SET, PARAMS(PG_TEXT(change->user_id), PG_TEXT(role_name(change->role))), err);
    if (!rows)
        return false;
    row_account(rows, 0, &account);
    /* Not tx_account_changed: a former first admin must not be named again by this very change. */
    return event_account(tx, &account, change->origin, err) &&
           tx_raise_role_version(change->app, tx, account.id, account.role_version, err);
}

bool store_set_role(const struct auth_app *app, const char *user_id, enum role role, const struct origin *origin,
                    struct err *err)
{
    struct role_change change = {app, user_id, role, origin};
    return pg_transaction(app->db, role_in_tx, &change, err);
}

static bool promote_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement FIND = {
        "find_first_admin", "UPDATE accounts AS a SET version = a.version + 1 WHERE a.email_folded = lower($1) AND "
                            "a.owner_proved AND a.role IN ('user', 'tutor') AND NOT EXISTS (SELECT 1 FROM accounts "
                            "WHERE role = 'admin') RETURNING " ACCOUNT_COLUMNS};
    const struct auth_app *app = payload;
    AUTO(pg_result) rows = pg_tx_query(tx, &FIND, PARAMS(PG_TEXT(app->cfg->first_admin)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return true;
    struct account account;
    row_account(rows, 0, &account);
    return tx_account_changed(app, tx, &account, &(struct origin){.ip = ""}, err);
}

bool store_promote_first_admin(const struct auth_app *app, struct err *err)
{
    return !*app->cfg->first_admin || pg_transaction(app->db, promote_in_tx, (void *)app, err);
}

/* ---- completing ---- */

static bool complete_row(struct pg_tx *tx, const struct identity *who, const struct completion *wish, const char *phone,
                         struct account *account, struct err *err)
{
    static const struct pg_statement COMPLETE = {
        "complete_account",
        "UPDATE accounts AS a SET role = 'user', role_version = a.role_version + 1, version = a.version + 1, nickname "
        "= $2, nickname_folded = $3, handle = coalesce($4, a.handle), name = coalesce($5, a.name), gender = $6, "
        "birth_date = $7::date, phone = coalesce($8::text, a.phone), phone_proved_at = CASE WHEN $8::text IS NOT NULL "
        "THEN now() ELSE a.phone_proved_at END WHERE a.id = $1::uuid RETURNING " ACCOUNT_COLUMNS};
    AUTO(pg_result)
    rows = pg_tx_query(tx, &COMPLETE,
                       PARAMS(PG_TEXT(who->user_id), PG_TEXT(wish->nickname.shown), PG_TEXT(wish->nickname.folded),
                              PG_TEXT(wish->handle), PG_TEXT(wish->name), PG_TEXT(wish->gender),
                              PG_TEXT(wish->birth_date), PG_TEXT(phone)),
                       err);
    if (!rows)
        return names_taken(err);
    row_account(rows, 0, account);
    return true;
}

bool store_complete(const struct auth_app *app, struct pg_tx *tx, const struct identity *who,
                    const struct completion *wish, const struct origin *origin, struct err *err)
{
    struct account account;
    char phone[EMAIL_MAX + 1] = "";
    if (!tx_lock_caller(tx, who, NULL, &account, err))
        return false;
    if (account.role != ROLE_GUEST)
        return err_set(err, &ERR_ALREADY_COMPLETE, "this account is a %s", role_name(account.role));
    return (!wish->phone_proof || tx_use_proof(tx, wish->phone_proof, "verify_phone", phone, err)) &&
           complete_row(tx, who, wish, *phone ? phone : NULL, &account, err) &&
           tx_account_changed(app, tx, &account, origin, err) &&
           tx_raise_role_version(app, tx, account.id, account.role_version, err);
}
