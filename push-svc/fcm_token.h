/* fcm_token.h - the access token for FCM as the wire's thread keeps it: fetched by one call at a time, again expires_in
 * - 300 s later (the old one serves meanwhile), and at once when FCM refuses it. Failures back off. No I/O here: wire.c
 * makes the call. One thread, but for fcm_token_ready. */
#ifndef MADANG_PUSH_FCM_TOKEN_H
#define MADANG_PUSH_FCM_TOKEN_H

#include "fcm.h"

#include <curl/curl.h>

enum { TOKEN_AHEAD_S = 300 };

/* The headers of a send. Calls in flight hold on to theirs when the token changes. */
struct bearer {
    struct curl_slist *headers;
    int users;
};

struct fcm_token;
struct fcm_token *fcm_token_open(const struct fcm_account *account); /* lent; NULL: never any token */
void fcm_token_release(struct fcm_token **token);

/* A fetch is due: none runs, and there is no token or its time is near. */
bool fcm_token_due(const struct fcm_token *token, int64_t now_ms);
int64_t fcm_token_next_ms(const struct fcm_token *token); /* when it will be due */
/* The form to post; counts as running until fcm_token_fetched. */
bool fcm_token_form(struct fcm_token *token, struct str *form, struct err *err);
/* status 0: no answer. */
void fcm_token_fetched(struct fcm_token *token, long status, struct view body, int retry_after_s, int64_t now_ms);

struct bearer *fcm_token_take(struct fcm_token *token, int64_t now_ms); /* NULL: none that is good */
void fcm_token_give(struct bearer **bearer);
/* FCM did not take it: it is dropped, unless there is a newer one already. */
void fcm_token_refuse(struct fcm_token *token, const struct bearer *bearer, int64_t now_ms);

bool fcm_token_ready(const struct fcm_token *token); /* any thread: sends can go out */

#endif
