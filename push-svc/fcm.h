/* fcm.h - what FCM HTTP v1 expects and answers. Pure: no network. The service account signs an assertion (RS256), the
 * token endpoint gives an access token for it (fcm_token.h keeps that), and each send is judged by the error table.
 * Thread-safe. */
#ifndef MADANG_PUSH_FCM_H
#define MADANG_PUSH_FCM_H

#include "errors.h"
#include "outcome.h"
#include "str.h"

struct fcm_account;
/* The service account's JSON: project_id, private_key_id, private_key, client_email, token_uri (https, or http with
 * allow_http). The message names what is missing and never quotes the document. */
struct fcm_account *fcm_account_open(const char *json, bool allow_http, struct err *err);
void fcm_account_release(struct fcm_account **account);
const char *fcm_account_project(const struct fcm_account *account);
const char *fcm_account_token_uri(const struct fcm_account *account);

/* The form that is posted to the token endpoint. */
bool fcm_assertion(const struct fcm_account *account, int64_t now_s, struct str *form, struct err *err);

struct fcm_grant {
    struct str token;
    int64_t expires_in_s;
};
/* Reads the token endpoint's 200. unavailable: not what it should be. */
bool fcm_read_grant(struct view body, struct fcm_grant *grant, struct err *err);

/* True for a 401 that a fresh access token may mend (not THIRD_PARTY_AUTH_ERROR). */
bool fcm_token_refused(long status, struct view body);
struct outcome fcm_outcome(long status, struct view body, int retry_after_s, const struct backoff *backoff, int attempt,
                           unsigned char chance);

#endif
