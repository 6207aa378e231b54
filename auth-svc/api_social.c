#include "api.h"

#include "log.h"
#include "social.h"
#include "text.h"

#include <stdio.h>

#define BROWSER_COOKIE "madang_social"
#define BROWSER_COOKIE_PATH "/api/auth/social"
enum {
    BROWSER_COOKIE_SECONDS = 600,
    COME_AGAIN_MS = 100,
    WAIT_MAX_MS = 15000, /* a second callback waits this long for the first one's result */
};

static void hash_text(const char *text, unsigned char hash[SHA256_BYTES])
{
    crypto_sha256(text, strlen(text), hash);
}

static struct provider *find_provider(struct request *req, struct err *err)
{
    const struct auth_app *app = req->app;
    struct provider *provider = social_find(app->social, http_param(req, "provider"));
    if (!provider)
        (void)err_set(err, &ERR_NOT_FOUND, "this provider is not offered");
    return provider;
}

/* ---- GET /social/:provider ---- */

/* The browser's own value, kept when it has one, so that two tabs don't disturb each other. */
static const char *browser_value(struct request *req)
{
    const char *value = http_cookie(req, BROWSER_COOKIE);
    if (value && strlen(value) == RANDOM_TEXT_BYTES - 1)
        return value;
    char fresh[RANDOM_TEXT_BYTES];
    crypto_random_text(fresh);
    return arena_text(req->arena, fresh);
}

/* GET /social/:provider?return_to= -> 302 to the provider's log-in page. */
bool api_social_start(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    struct provider *provider = find_provider(req, err);
    const char *return_to = social_return_to(app->social, http_query(req, "return_to"));
    if (!provider)
        return false;
    if (!return_to)
        return err_add_field(err, "return_to", "is not on the list of this service");
    char state[RANDOM_TEXT_BYTES], nonce[RANDOM_TEXT_BYTES], verifier[RANDOM_TEXT_BYTES];
    crypto_random_text(state);
    crypto_random_text(nonce);
    crypto_random_text(verifier);
    const char *browser = browser_value(req);
    const char *url = social_authorize_url(app->social, provider, req->arena, state, nonce, verifier, err);
    if (!url) {
        log_err("social_start_failed", err);
        return err_set_retry(err, &ERR_UNAVAILABLE, 5, "this provider does not answer at the moment");
    }
    struct social_start start = {
        .provider = social_provider_name(provider), .return_to = return_to, .nonce = nonce, .verifier = verifier};
    hash_text(state, start.state_hash);
    hash_text(browser, start.browser_hash);
    if (!store_social_start(app, &start, err))
        return false;
    reply_cookie(req, reply, BROWSER_COOKIE, browser, BROWSER_COOKIE_PATH, BROWSER_COOKIE_SECONDS,
                 auth_config_secure_cookies(app->cfg), "Lax");
    reply_header(reply, "Cache-Control", "no-store");
    return reply_redirect(req, reply, url);
}

/* ---- GET /social/:provider/callback ---- */

/* The one-time code of a state: derived, so that a second callback can be told the same one. */
static const char *code_of(struct request *req, const char *state)
{
    const struct auth_app *app = req->app;
    unsigned char mac[SHA256_BYTES];
    AUTO_STR text = {0};
    secret_mac(&app->secret, "social code", state, strlen(state), mac);
    crypto_base64url(mac, sizeof mac, &text);
    return arena_text(req->arena, text.bytes);
}

static bool go_back(struct request *req, struct reply *reply, const char *return_to, const char *outcome,
                    const char *state)
{
    bool good = strcmp(outcome, "ok") == 0;
    reply_header(reply, "Cache-Control", "no-store");
    reply_header(reply, "Referrer-Policy", "no-referrer");
    return reply_redirect(
        req, reply,
        arena_printf(req->arena, "%s#%s=%s", return_to, good ? "code" : "error", good ? code_of(req, state) : outcome));
}

/* What a provider sends besides the one thing we store of it must fit our own rules. */
static const char *clean_name(struct request *req, const char *name)
{
    struct err ignored = {0};
    return name ? account_name(req->arena, name, &ignored) : NULL;
}

/* Talks to the provider; the outcome, and the account for "ok". */
static const char *decide(struct request *req, struct provider *provider, const struct social_login *login,
                          const char *state, char user_id[UUID_TEXT_BYTES])
{
    const struct auth_app *app = req->app;
    const char *refused = http_query(req, "error"), *code = http_query(req, "code");
    struct social_person person;
    struct origin origin = origin_of(req);
    struct err err = {0};
    if (refused)
        return strcmp(refused, "access_denied") == 0 ? "provider_denied" : "failed";
    if (!code || strlen(code) > 2000)
        return "failed";
    if (!social_identify(app->social, provider, req->arena, code, state, login->nonce, login->verifier, &person,
                         &err)) {
        log_event(LOG_WARN, "social_failed", LOG_TEXT("provider", social_provider_name(provider)),
                  LOG_TEXT("reason", *err.message ? err.message : err.detail));
        return "failed";
    }
    person.name = clean_name(req, person.name);
    person.korean = req->korean;
    if (store_social_account(app, req->arena, &person, &origin, user_id, &err))
        return "ok";
    if (err_is(&err, &ERR_EMAIL_TAKEN))
        return "email_taken";
    log_err("social_account_failed", &err);
    return "failed";
}

static bool decide_and_go(struct request *req, struct reply *reply, struct provider *provider,
                          const struct social_login *login, const char *state, struct err *err)
{
    const struct auth_app *app = req->app;
    char user_id[UUID_TEXT_BYTES];
    unsigned char state_hash[SHA256_BYTES], code_hash[SHA256_BYTES];
    hash_text(state, state_hash);
    hash_text(code_of(req, state), code_hash);
    const char *outcome = decide(req, provider, login, state, user_id);
    if (strcmp(outcome, "ok") != 0) {
        struct err counted = {.problem = &(const struct problem){.code = outcome}};
        (void)count_login(false, &counted);
    }
    return store_social_decide(app, state_hash, outcome, strcmp(outcome, "ok") == 0 ? user_id : NULL, code_hash, err) &&
           go_back(req, reply, login->return_to, outcome, state);
}

/* GET /social/:provider/callback -> 302 return_to#code= or #error=. The first callback of a state decides; later ones
 * are told the same. A state that is unknown, too old or another browser's goes to the first address of the list. */
bool api_social_callback(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    struct provider *provider = find_provider(req, err);
    const char *state = http_query(req, "state"), *browser = http_cookie(req, BROWSER_COOKIE);
    const char *home = social_return_to(app->social, NULL);
    if (!provider)
        return false;
    if (!state || !browser)
        return go_back(req, reply, home, "failed", "");
    if (!social_enter(app->social))
        return req->waited_ms < WAIT_MAX_MS ? http_try_again(req, COME_AGAIN_MS)
                                            : err_set_retry(err, &ERR_OVERLOADED, 2, "too many log-ins at this moment");
    unsigned char state_hash[SHA256_BYTES], browser_hash[SHA256_BYTES];
    hash_text(state, state_hash);
    hash_text(browser, browser_hash);
    struct social_login login;
    bool again = false;
    bool good =
        store_social_claim(app, req->arena, social_provider_name(provider), state_hash, browser_hash, &login, err);
    if (good && !login.found)
        good = go_back(req, reply, home, "failed", "");
    else if (good && login.decided)
        good = go_back(req, reply, login.return_to, login.outcome, state);
    else if (good && login.mine)
        good = decide_and_go(req, reply, provider, &login, state, err);
    else if (good)
        again = true;
    social_leave(app->social);
    if (!again)
        return good;
    return req->waited_ms < WAIT_MAX_MS ? http_try_again(req, COME_AGAIN_MS)
                                        : go_back(req, reply, login.return_to, "failed", state);
}

/* ---- POST /social/exchange ---- */

static bool exchange(struct request *req, struct reply *reply, struct err *err)
{
    struct login wish;
    unsigned char hash[SHA256_BYTES];
    char user_id[UUID_TEXT_BYTES];
    if (!CODEC_READ(req, EXCHANGE_FIELDS, &wish, err))
        return false;
    hash_text(wish.code, hash);
    return store_social_exchange(req->app, hash, user_id, err) &&
           reply_new_session(req, reply, &wish, user_id, NULL, NULL, err);
}

/* POST /social/exchange {code} -> tokens as at log-in; bad_code, withdrawn. */
bool api_social_exchange(struct request *req, struct reply *reply, struct err *err)
{
    return count_login(exchange(req, reply, err), err);
}
