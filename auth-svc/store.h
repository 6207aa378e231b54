/* store.h - every SQL statement of auth-svc (store_*.c), one function each. What needs several steps is one
 * transaction.
 *
 * Locks are taken in one order: account, sessions, revocation counter; the counter last, because everybody's
 * revocations wait for it. Failures besides those named: unavailable, internal. Texts in results live in the caller's
 * arena or struct. Threads: any. */
#ifndef AUTH_STORE_H
#define AUTH_STORE_H

#include "account.h"
#include "app.h"
#include "events.h"
#include "password.h"
#include "refresh.h"

/* ---- accounts (store_accounts.c) ---- */

/* What POST /signup or a social log-in makes. NULL texts: not there. */
struct new_account {
    const char *email, *email_folded;
    bool email_verified;      /* a provider vouches; with a proof it is set by it */
    const char *handle;       /* NULL: made */
    struct nickname nickname; /* shown NULL: made (guests) */
    const char *name, *gender, *birth_date;
    const char *password_hash;
    const char *proof, *phone_proof; /* one-time proofs, consumed */
    bool korean;
    enum role role;
    const char *provider, *subject; /* the identity that comes with it */
};
/* email_taken, handle_taken, nickname_taken, bad_proof. */
bool store_add_account(const struct auth_app *app, const struct new_account *wish, const struct origin *origin,
                       struct account *account, struct err *err);

/* NULL: not asked. */
struct names_free {
    const char *email_folded, *handle, *nickname_folded;
    bool email, handle_free, nickname;
};
bool store_names_free(const struct auth_app *app, struct names_free *names, struct err *err);

struct login_row {
    bool found, known_device;
    struct account account; /* withdrawn: only id and withdrawn are set */
    char password_hash[PASSWORD_HASH_BYTES];
};
/* By e-mail or handle (`folded`; it is an e-mail when it has an @). Not finding one is no failure. Withdrawn accounts
 * are found by their former names while nobody else has them. */
bool store_find_login(const struct auth_app *app, const char *folded, const unsigned char *device_hash,
                      struct login_row *row, struct err *err);
/* The same by id, for who is logged in. not_found. */
bool store_find_account(const struct auth_app *app, const char *user_id, struct login_row *row, struct err *err);

/* New names of the caller; NULL stays. if_version 0: any. handle_taken, nickname_taken, stale_version, session_ended.
 */
bool store_rename(const struct auth_app *app, const struct identity *who, const struct nickname *nickname,
                  const char *handle, int64_t if_version, const struct origin *origin, struct account *account,
                  struct err *err);
/* bad_proof, email_taken, session_ended. `known_hash`: the password hash the caller was checked against ("" for none).
 */
bool store_change_email(const struct auth_app *app, const struct identity *who, const char *proof,
                        const char *known_hash, const struct origin *origin, struct account *account, struct err *err);
bool store_change_phone(const struct auth_app *app, const struct identity *who, const char *proof,
                        const struct origin *origin, struct account *account, struct err *err);
/* Ends the account's other sessions. */
bool store_change_password(const struct auth_app *app, const struct identity *who, const char *known_hash,
                           const char *new_hash, const struct origin *origin, struct err *err);
/* The account that a reset proof speaks for, without using it up. bad_proof. */
bool store_find_reset(const struct auth_app *app, const char *proof, struct login_row *row, struct err *err);
/* Uses the proof, ends all sessions, marks the e-mail verified. bad_proof. */
bool store_reset_password(const struct auth_app *app, const char *proof, const char *new_hash,
                          const struct origin *origin, struct err *err);
/* Frees the names, ends all sessions, makes older tokens stale. */
bool store_withdraw(const struct auth_app *app, const struct identity *who, const char *known_hash,
                    const struct origin *origin, struct err *err);
/* not_found, already_complete (a guest must complete first: conflict), last_admin. */
bool store_set_role(const struct auth_app *app, const char *user_id, enum role role, const struct origin *origin,
                    struct err *err);
/* The account named by AUTH_FIRST_ADMIN, if it is verified and nobody is admin: at start, after the setting changed. */
bool store_promote_first_admin(const struct auth_app *app, struct err *err);

/* What completes a guest. */
struct completion {
    struct nickname nickname;
    const char *handle, *name, *gender, *birth_date, *phone_proof;
};
/* Part of a transaction of the caller (idempotency). The session gets a second good refresh token. already_complete,
 * *_taken, bad_proof, session_ended. */
bool store_complete(const struct auth_app *app, struct pg_tx *tx, const struct identity *who,
                    const struct completion *wish, const struct origin *origin, struct err *err);
/* The caller's account and session with another good refresh token beside the current one: after POST /complete. */
struct session_grant;
bool store_twin(const struct auth_app *app, struct pg_tx *tx, const struct identity *who,
                const struct refresh_token *twin, struct session_grant *grant, struct err *err);

/* ---- sessions (store_sessions.c) ---- */

struct new_session {
    const struct refresh_token *refresh; /* names the session */
    const char *user_id;
    const char *known_hash; /* the hash the password was checked against; NULL: social */
    const char *new_hash;   /* made with today's parameters; NULL: keep */
    const char *device_name;
    const unsigned char *device_hash; /* remembered as known; NULL: none */
    bool in_cookie, single;
};
/* What a log-in, refresh or completion answers with. */
struct session_grant {
    struct account account;
    bool in_cookie;
    int64_t refresh_left_s, session_left_s;
};
/* bad_credentials when the password changed meanwhile, withdrawn. */
bool store_open_session(const struct auth_app *app, const struct new_session *wish, const struct origin *origin,
                        struct session_grant *grant, struct err *err);
/* refresh_reused (the family is dead then, and its owner told), refresh_expired. `arrived_ms` (monotonic): the grace
 * counts up to the arrival of the request, for a tab is not to blame for our queue. */
bool store_refresh(const struct auth_app *app, const struct refresh_token *presented, const struct refresh_token *next,
                   int64_t arrived_ms, const struct origin *origin, struct session_grant *grant, struct err *err);

struct session_row {
    const char *id, *device_name, *ip;
    int64_t created_at_ms, last_used_at_ms;
};
bool store_list_sessions(const struct auth_app *app, struct arena *arena, const char *user_id,
                         struct session_row **rows, size_t *count, struct err *err);
/* Those of the ids that live; whoever they belong to. */
bool store_log_out(const struct auth_app *app, const char *const *session_ids, size_t count,
                   const struct origin *origin, struct err *err);
/* not_found: no live session of this user. */
bool store_end_session(const struct auth_app *app, const char *user_id, const char *session_id,
                       const struct origin *origin, struct err *err);
bool store_end_other_sessions(const struct auth_app *app, const struct identity *who, const struct origin *origin,
                              struct err *err);
/* Whether the caller's session lives, in the database's eyes. session_ended, token_stale. */
bool store_check_caller(const struct auth_app *app, const struct identity *who, struct account *account,
                        struct err *err);

/* ---- the revocation feed ---- */

enum { REVOKED_PAGE = 1000 };
/* Appends the reply of GET /internal/revoked?after=N. */
bool store_revoked_after(const struct auth_app *app, int64_t after, struct str *out, struct err *err);

/* ---- codes and proofs (store_codes.c) ---- */

struct code_wish {
    const char *purpose, *address, *code, *locale;
    unsigned char code_mac[SHA256_BYTES];
    bool by_sms;
    bool needs_account; /* silently nothing without one */
};
/* Makes and sends a code, or does nothing (too soon, over a quota, no such account): the caller can't tell. *sent is
 * for metrics. */
bool store_send_code(const struct auth_app *app, const struct code_wish *wish, const struct origin *origin, bool *sent,
                     struct err *err);
struct code_answer {
    const char *purpose, *address;
    const char *by;                         /* the account of who is logged in; NULL: nobody */
    unsigned char code_mac[SHA256_BYTES];   /* of what was typed */
    unsigned char proof_hash[SHA256_BYTES]; /* of the proof to give */
    bool gives_proof;
};
/* bad_code. On success the code is gone and the proof stored; verify_email marks the account; find_login gives its
 * e-mail (from the arena). */
bool store_confirm_code(const struct auth_app *app, struct arena *arena, const struct code_answer *answer,
                        const struct origin *origin, const char **email, struct err *err);

/* ---- social log-in (store_social.c) ---- */

struct social_start {
    unsigned char state_hash[SHA256_BYTES], browser_hash[SHA256_BYTES];
    const char *provider, *return_to, *nonce, *verifier;
};
bool store_social_start(const struct auth_app *app, const struct social_start *start, struct err *err);

/* A callback's row. */
struct social_login {
    bool found;         /* state known, not too old, this provider, this browser */
    bool decided, mine; /* mine: this callback may talk to the provider; neither: another one does, come again */
    const char *return_to, *nonce, *verifier, *outcome; /* from the arena */
};
bool store_social_claim(const struct auth_app *app, struct arena *arena, const char *provider,
                        const unsigned char state_hash[SHA256_BYTES], const unsigned char browser_hash[SHA256_BYTES],
                        struct social_login *login, struct err *err);
/* Writes the outcome (ok with the user and the one-time code's hash, or an error word); the first one stays. */
bool store_social_decide(const struct auth_app *app, const unsigned char state_hash[SHA256_BYTES], const char *outcome,
                         const char *user_id, const unsigned char code_hash[SHA256_BYTES], struct err *err);

/* Who the provider says it is. */
struct social_person {
    const char *provider, *subject;
    const char *email;   /* NULL: none */
    bool email_verified; /* by a provider we trust with that */
    const char *nickname, *name;
    bool korean;
};
/* The account behind an identity: known, linked by verified e-mail, or a new guest. email_taken. */
bool store_social_account(const struct auth_app *app, struct arena *arena, const struct social_person *person,
                          const struct origin *origin, char user_id[UUID_TEXT_BYTES], struct err *err);
/* Swaps the one-time code, once. bad_code. */
bool store_social_exchange(const struct auth_app *app, const unsigned char code_hash[SHA256_BYTES],
                           char user_id[UUID_TEXT_BYTES], struct err *err);

/* ---- signing keys (store_keys.c) ---- */

struct key_row {
    const char *kid, *private_pem, *x, *y; /* from the arena */
    bool signs;                            /* the one to sign with now */
};
/* Published keys, oldest first. */
bool store_list_keys(const struct auth_app *app, struct arena *arena, struct key_row **rows, size_t *count,
                     struct err *err);
/* True with *due set when a key must be made: there is none, or the youngest is old enough for a successor. */
bool store_key_due(const struct auth_app *app, bool *due, struct err *err);
/* Adds a key unless another instance did meanwhile. The very first signs at once, a successor after the lead. */
bool store_add_key(const struct auth_app *app, const struct key_row *key, struct err *err);
/* The server key when AUTH_SECRET is not set: the stored one, made from `fresh` the first time. */
bool store_secret(struct pg_pool *db, const unsigned char fresh[SHA256_BYTES], unsigned char out[SHA256_BYTES],
                  struct err *err);

/* ---- cleaning up (store_sweep.c) ---- */

/* Ends sessions that ran out, with their events, and deletes what nobody can use any more. Bounded work per call. */
bool store_sweep(const struct auth_app *app, struct err *err);

#endif
