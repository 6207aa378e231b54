/* api.h - the handlers (api_*.c), and what several of them share. Each is: decode, decide, store, reply. */
#ifndef AUTH_API_H
#define AUTH_API_H

#include "codec.h"
#include "http.h"
#include "limits.h"
#include "problems.h"
#include "store.h"

/* api_signup.c */
bool api_availability(struct request *req, struct reply *reply, struct err *err);
bool api_signup(struct request *req, struct reply *reply, struct err *err);
bool api_complete(struct request *req, struct reply *reply, struct err *err);
/* api_login.c */
bool api_login(struct request *req, struct reply *reply, struct err *err);
bool api_refresh(struct request *req, struct reply *reply, struct err *err);
bool api_logout(struct request *req, struct reply *reply, struct err *err);
/* api_sessions.c */
bool api_list_sessions(struct request *req, struct reply *reply, struct err *err);
bool api_end_session(struct request *req, struct reply *reply, struct err *err);
bool api_end_other_sessions(struct request *req, struct reply *reply, struct err *err);
bool api_ws_ticket(struct request *req, struct reply *reply, struct err *err);
/* api_codes.c */
bool api_send_code(struct request *req, struct reply *reply, struct err *err);
bool api_confirm_code(struct request *req, struct reply *reply, struct err *err);
bool api_reset_password(struct request *req, struct reply *reply, struct err *err);
/* api_account.c */
bool api_rename(struct request *req, struct reply *reply, struct err *err);
bool api_change_email(struct request *req, struct reply *reply, struct err *err);
bool api_change_phone(struct request *req, struct reply *reply, struct err *err);
bool api_change_password(struct request *req, struct reply *reply, struct err *err);
bool api_withdraw(struct request *req, struct reply *reply, struct err *err);
bool api_set_role(struct request *req, struct reply *reply, struct err *err);
/* api_social.c */
bool api_social_start(struct request *req, struct reply *reply, struct err *err);
bool api_social_callback(struct request *req, struct reply *reply, struct err *err);
bool api_social_exchange(struct request *req, struct reply *reply, struct err *err);
/* api_keys.c */
bool api_jwks(struct request *req, struct reply *reply, struct err *err);
bool api_revoked(struct request *req, struct reply *reply, struct err *err);

/* The password of a caller against `row` (their account), counted like a log-in: a stolen access token is no way to
 * guess passwords. bad_credentials, rate_limited. */
bool check_own_password(struct request *req, const struct login_row *row, const char *password, struct err *err);

/* The hash of a new password for this account; bad_input (too weak), password_unchanged. Inside a password_turn. */
bool hash_new_password(struct request *req, const struct login_row *row, const char *wanted,
                       char hash[PASSWORD_HASH_BYTES], struct err *err);

/* Opens a session for who has shown who they are, remembers the device, and answers with the tokens. `proved_hash`
 * NULL: no password was asked. */
bool reply_new_session(struct request *req, struct reply *reply, const struct login *wish, const char *user_id,
                       const char *proved_hash, const char *new_hash, struct err *err);

/* Counts a log-in in madang_auth_logins_total by its result: the err's code, or "ok". Returns `good`. */
bool count_login(bool good, const struct err *err);
/* Registers the metrics of the handlers, so that they are there from the start. */
void api_metrics_open(void);

#endif
