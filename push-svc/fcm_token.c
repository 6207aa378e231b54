#include "fcm_token.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { RETRY_FIRST_MS = 500, RETRY_MOST_MS = 60000, REFUSED_AGAIN_MS = 5000 };

struct fcm_token {
    const struct fcm_account *account;
    struct bearer *current;
    bool running;
    int failures;
    int64_t due_ms, until_ms; /* monotonic: the next fetch; the end of the current token */
    int64_t refused_ms;       /* when a token was last refused */
    _Atomic bool ready;
};

struct fcm_token *fcm_token_open(const struct fcm_account *account)
{
    struct fcm_token *token = MEM_NEW(fcm_token);
    token->account = account;
    token->refused_ms = -REFUSED_AGAIN_MS;
    return token;
}

void fcm_token_give(struct bearer **place)
{
    struct bearer *bearer = TAKE(*place);
    if (!bearer || --bearer->users > 0)
        return;
    for (struct curl_slist *line = bearer->headers; line; line = line->next)
        OPENSSL_cleanse(line->data, strlen(line->data));
    curl_slist_free_all(bearer->headers);
    free(bearer);
}

void fcm_token_release(struct fcm_token **place)
{
    struct fcm_token *token = TAKE(*place);
    if (!token)
        return;
    fcm_token_give(&token->current);
    free(token);
}

bool fcm_token_due(const struct fcm_token *token, int64_t now_ms)
{
    return token->account && !token->running && now_ms >= token->due_ms;
}

int64_t fcm_token_next_ms(const struct fcm_token *token)
{
    return token->account && !token->running ? token->due_ms : INT64_MAX;
}

bool fcm_token_form(struct fcm_token *token, struct str *form, struct err *err)
{
    token->running = true;
    return fcm_assertion(token->account, clock_now_ms() / 1000, form, err);
}

static struct bearer *bearer_new(const char *text)
{
    struct bearer *bearer = MEM_NEW(bearer);
    AUTO_STR line;
    str_init(&line);
    str_printf(&line, "Authorization: Bearer %s", text);
    bearer->users = 1;
    bearer->headers = curl_slist_append(NULL, "Content-Type: application/json");
    bearer->headers = curl_slist_append(bearer->headers, "Expect:");
    bearer->headers = curl_slist_append(bearer->headers, line.bytes);
    OPENSSL_cleanse(line.bytes, line.length);
    return bearer;
}

static void grant_take(struct fcm_token *token, const struct fcm_grant *grant, int64_t now_ms)
{
    const int64_t life_s = grant->expires_in_s;
    /* A token that lives shorter than the time ahead is renewed at half its life. */
    const int64_t renew_s = life_s > 2 * TOKEN_AHEAD_S ? life_s - TOKEN_AHEAD_S : life_s / 2;
    fcm_token_give(&token->current);
    token->current = bearer_new(grant->token.bytes);
    token->until_ms = now_ms + life_s * 1000;
    token->due_ms = now_ms + (renew_s > 0 ? renew_s : 1) * 1000;
    token->failures = 0;
}

void fcm_token_fetched(struct fcm_token *token, long status, struct view body, int retry_after_s, int64_t now_ms)
{
    struct fcm_grant grant = {.expires_in_s = 0};
    struct err err = {0};
    str_init(&grant.token);
    token->running = false;
    if (status == 200 && fcm_read_grant(body, &grant, &err)) {
        grant_take(token, &grant, now_ms);
        log_event(LOG_INFO, "fcm_token_fetched", LOG_I64("expires_in_s", grant.expires_in_s));
    } else {
        const int doublings = token->failures++ < 7 ? token->failures - 1 : 7;
        int64_t delay = (int64_t)RETRY_FIRST_MS << doublings;
        delay = delay > RETRY_MOST_MS ? RETRY_MOST_MS : delay;
        token->due_ms = now_ms + (retry_after_s > 0 ? (int64_t)retry_after_s * 1000 : delay);
        log_event(
            LOG_ERROR, "fcm_token_failed", LOG_I64("status", status), LOG_I64("failures", token->failures),
            LOG_TEXT("reason", status == 400 ? "refused: the clock, the key or the account is wrong" : "no token"));
    }
    OPENSSL_cleanse(grant.token.bytes, grant.token.length);
    str_free(&grant.token);
    atomic_store(&token->ready, token->current && now_ms < token->until_ms);
}

struct bearer *fcm_token_take(struct fcm_token *token, int64_t now_ms)
{
    if (!token->current || now_ms >= token->until_ms) {
        atomic_store(&token->ready, false);
        return NULL;
    }
    token->current->users++;
    return token->current;
}

void fcm_token_refuse(struct fcm_token *token, const struct bearer *bearer, int64_t now_ms)
{
    if (bearer != token->current)
        return;
    log_event(LOG_WARN, "fcm_token_refused");
    fcm_token_give(&token->current);
    atomic_store(&token->ready, false);
    /* One that is refused right after it was fetched says that a fetch does not help. */
    token->due_ms = now_ms - token->refused_ms < REFUSED_AGAIN_MS ? now_ms + REFUSED_AGAIN_MS : now_ms;
    token->refused_ms = now_ms;
}

bool fcm_token_ready(const struct fcm_token *token)
{
    return atomic_load(&token->ready);
}
