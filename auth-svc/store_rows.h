/* store_rows.h - what the store_*.c files share: how rows become structs, and the steps that several transactions have
 * in common. For them alone. */
#ifndef AUTH_STORE_ROWS_H
#define AUTH_STORE_ROWS_H

#include "problems.h"
#include "store.h"

#include <stdio.h>

/* Of `accounts AS a`; row_account reads them, from column 0. */
#define ACCOUNT_COLUMNS                                                                                                \
    "a.id, a.email, a.handle, a.nickname, a.phone, a.locale, a.role, a.email_verified, a.password_hash IS NOT NULL, "  \
    "a.withdrawn_at IS NOT NULL, a.role_version, a.version, " SQL_MS("a.created_at") ", a.owner_proved"
enum { ACCOUNT_COLUMN_COUNT = 14 };
void row_account(const struct pg_result *rows, int row, struct account *account);

#define COPY_TEXT(array, text) ((void)snprintf((array), sizeof(array), "%s", (text) ? (text) : ""))

/* The account, locked until the end of the transaction, and its password hash ("" for none). not_found. */
bool tx_lock_account(struct pg_tx *tx, const char *user_id, struct account *account, char hash[PASSWORD_HASH_BYTES],
                     struct err *err);
/* The same for who calls: session_ended when the session or the account is gone, token_stale when the role changed.
 * `known_hash` (NULL: not asked): the hash must still be that one, else bad_credentials. */
bool tx_lock_caller(struct pg_tx *tx, const struct identity *who, const char *known_hash, struct account *account,
                    struct err *err);

/* After every change of an account: the first admin is named here, and the event leaves. */
bool tx_account_changed(const struct auth_app *app, struct pg_tx *tx, struct account *account,
                        const struct origin *origin, struct err *err);

/* Uses up a proof for `purpose`; its address. bad_proof. */
bool tx_use_proof(struct pg_tx *tx, const char *proof, const char *purpose, char address[EMAIL_MAX + 1],
                  struct err *err);

/* Whoever waits behind an account whose owner has just come must not share it: its outside identities, log-ins of
 * theirs under way, and known devices go. */
bool tx_forget_ways_in(struct pg_tx *tx, const char *user_id, struct err *err);

/* Ends the live sessions of a user but `keep` (NULL: none is kept). */
bool tx_end_all_sessions(const struct auth_app *app, struct pg_tx *tx, const char *user_id, const char *keep,
                         const char *reason, const struct origin *origin, struct err *err);
/* For rows (id, user_id) of sessions that a statement has just ended: numbers them for the feed and tells the others.
 */
bool tx_sessions_ended(const struct auth_app *app, struct pg_tx *tx, const struct pg_result *rows, const char *reason,
                       const struct origin *origin, struct err *err);
/* From now on tokens of the user below `least` are stale. */
bool tx_raise_role_version(const struct auth_app *app, struct pg_tx *tx, const char *user_id, int64_t least,
                           struct err *err);

/* A unique violation becomes the problem of that name; other failures stay. Always false. */
bool names_taken(struct err *err);

#endif
