#include "api.h"

#include "keys.h"
#include "metrics.h"
#include "text.h"
#include "utf8.h"

#include <stdio.h>

#define DEVICE_COOKIE "madang_device"
enum { DEVICE_COOKIE_SECONDS = 365 * 24 * 3600, DEVICE_NAME_MAX = 100 };

static struct metric *logins(void)
{
    return metric_counter("madang_auth_logins_total", "Log-ins by result", "result");
}

static struct metric *refreshes(void)
{
    return metric_counter("madang_auth_refreshes_total", "Refreshes by result", "result");
}

void api_metrics_open(void)
{
    metric_add(METRIC_CHILD(logins(), "ok"), 0);
    metric_add(METRIC_CHILD(refreshes(), "ok"), 0);
}

bool count_login(bool good, const struct err *err)
{
    if (good || err->problem)
        metric_add(METRIC_CHILD(logins(), good ? "ok" : err->problem->code), 1);
    return good;
}

/* ---- devices: a cookie tells a browser that logged in before, so that strangers' failures don't lock it out ---- */

/* The cookie's value when it has the right form. */
static const char *device_cookie(const struct request *req)
{
    const char *value = http_cookie(req, DEVICE_COOKIE);
    unsigned char bytes[RANDOM_TEXT_BYTES];
    return value && strlen(value) == RANDOM_TEXT_BYTES - 1 &&
                   crypto_base64url_decode(value, RANDOM_TEXT_BYTES - 1, bytes) == 32
               ? value
               : NULL;
}

static void device_hash(const char *cookie, unsigned char hash[SHA256_BYTES])
{
    crypto_sha256(cookie, strlen(cookie), hash);
}

/* What the list of sessions shows: the given name, else the browser's own words, cut. */
static const char *device_name(struct request *req, const char *given)
{
    const char *name = given && *given ? given : http_header(req, "User-Agent");
    if (!name || !utf8_valid(name, strlen(name)))
        return "";
    const char *nfc = text_nfc(req->arena, name, false);
    const char *trimmed = nfc ? text_trim(req->arena, nfc) : "";
    size_t length = strlen(trimmed), at = 0;
    for (int i = 0; i < DEVICE_NAME_MAX && at < length; i++) {
        uint32_t code;
        at += utf8_decode(trimmed + at, length - at, &code);
    }
    return arena_bytes(req->arena, trimmed, at);
}

bool reply_new_session(struct request *req, struct reply *reply, const struct login *wish, const char *user_id,
                       const char *proved_hash, const char *new_hash, struct err *err)
{
    const struct auth_app *app = req->app;
    char made[RANDOM_TEXT_BYTES], session_id[UUID_TEXT_BYTES];
    const char *device = device_cookie(req);
    if (!device) {
        crypto_random_text(made);
        device = arena_text(req->arena, made);
    }
    unsigned char hash[SHA256_BYTES];
    device_hash(device, hash);
    struct refresh_token refresh;
    uuid_new(session_id);
    refresh_new(&app->secret, session_id, &refresh);
    const struct new_session session = {.refresh = &refresh,
                                        .user_id = user_id,
                                        .known_hash = proved_hash,
                                        .new_hash = new_hash,
                                        .device_name = device_name(req, wish->device_name),
                                        .device_hash = hash,
                                        .in_cookie = wish->cookie,
                                        .single = wish->single_session};
    struct session_grant grant;
    struct origin origin = origin_of(req);
    if (!store_open_session(app, &session, &origin, &grant, err))
        return false;
    reply_cookie(req, reply, DEVICE_COOKIE, device, REFRESH_COOKIE_PATH, DEVICE_COOKIE_SECONDS,
                 auth_config_secure_cookies(app->cfg), "Lax");
    return reply_grant(req, reply, &grant, &refresh, err);
}

/* ---- POST /login ---- */

/* A wrong name and a wrong password take the same time and say the same. */
static bool judge_password(const struct auth_app *app, struct request *req, const struct login_row *row,
                           const char *password, struct err *err)
{
    const char *form = account_password_form(req->arena, password);
    if (!password_matches(app->passwords, row->found ? row->password_hash : NULL, form ? form : ""))
        return err_set(err, &ERR_BAD_CREDENTIALS, "the log-in or the password is wrong");
    return true;
}

static bool judge_account(const struct auth_app *app, const struct account *account, struct err *err)
{
    if (account->withdrawn)
        return err_set(err, &ERR_WITHDRAWN, "this account was withdrawn");
    if (app->cfg->require_verified && !account->email_verified)
        return err_set(err, &ERR_EMAIL_UNVERIFIED, "ask for a code to your e-mail address");
    return true;
}

/* Counts the attempt before the password is looked at; takes the count back unless the password was wrong. */
static bool counted_judge(struct request *req, const struct login_row *row, const char *account, const char *device,
                          const char *password, struct err *err)
{
    const struct auth_app *app = req->app;
    struct attempt attempt = {.account = account, .address = req->client_address, .device = device};
    if (!limits_take(app->limits, &attempt, err))
        return false;
    if (!judge_password(app, req, row, password, err))
        return false;
    limits_give_back(app->limits, &attempt, true);
    return true;
}

bool check_own_password(struct request *req, const struct login_row *row, const char *password, struct err *err)
{
    return counted_judge(req, row, row->account.id, NULL, password, err);
}

/* Opens the session of a right password; *again when the stored hash changed since it was checked: another log-in may
 * have made it anew with today's parameters, or the password is another one now. */
static bool open_with(struct request *req, struct reply *reply, const struct login *wish, const struct login_row *row,
                      bool *again, struct err *err)
{
    const struct auth_app *app = req->app;
    char fresh[PASSWORD_HASH_BYTES];
    bool old = password_is_old(app->passwords, row->password_hash);
    if (old && !password_hash(app->passwords, account_password_form(req->arena, wish->password), fresh, err))
        return false;
    bool good = reply_new_session(req, reply, wish, row->account.id, row->password_hash, old ? fresh : NULL, err);
    *again = !good && err_is(err, &ERR_BAD_CREDENTIALS);
    return good;
}

static bool log_in(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    struct login wish;
    if (!CODEC_READ(req, LOGIN_FIELDS, &wish, err))
        return false;
    const char *folded = text_fold(req->arena, wish.login), *device = device_cookie(req);
    unsigned char hash[SHA256_BYTES] = {0};
    if (device)
        device_hash(device, hash);
    if (!folded)
        return err_set(err, &ERR_BAD_CREDENTIALS, "the log-in or the password is wrong");
    bool good = false, again = true;
    for (int round = 0; again && round < 2; round++) {
        struct login_row row = {0};
        again = false;
        err_clear(err);
        good = store_find_login(app, folded, device ? hash : NULL, &row, err) &&
               counted_judge(req, &row, row.found ? row.account.id : folded, row.known_device ? device : NULL,
                             wish.password, err) &&
               judge_account(app, &row.account, err) && open_with(req, reply, &wish, &row, &again, err);
    }
    return good;
}

bool api_login(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    AUTO(password_turn) turn = password_enter(app->passwords, req, err);
    return count_login(turn && log_in(req, reply, err), err);
}

/* ---- POST /refresh, POST /logout ---- */

/* The refresh token of the body, else of the cookie; *from_cookie tells. NULL: neither. */
static const char *presented_token(struct request *req, bool *from_cookie, struct err *err)
{
    struct refresh_body body;
    *from_cookie = false;
    if (!CODEC_READ(req, REFRESH_FIELDS, &body, err))
        return NULL;
    if (body.refresh_token)
        return body.refresh_token;
    const char *cookie = http_cookie(req, REFRESH_COOKIE);
    *from_cookie = cookie && *cookie;
    return *from_cookie ? cookie : NULL;
}

static bool refresh(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    bool from_cookie;
    const char *text = presented_token(req, &from_cookie, err);
    if (!text)
        return !err->problem && err_set(err, &ERR_TOKEN_MISSING, "no refresh token was sent");
    if (from_cookie && !http_header(req, "X-Requested-With"))
        return err_set(err, &ERR_FORBIDDEN, "with the cookie, send the header X-Requested-With");
    struct refresh_token presented, next;
    if (!refresh_read(&app->secret, text, &presented))
        return err_set(err, &ERR_REFRESH_EXPIRED, "log in again");
    refresh_successor(&app->secret, &presented, &next);
    struct session_grant grant;
    struct origin origin = origin_of(req);
    return store_refresh(app, &presented, &next, req->arrived_ms, &origin, &grant, err) &&
           reply_grant(req, reply, &grant, &next, err);
}

bool api_refresh(struct request *req, struct reply *reply, struct err *err)
{
    bool good = refresh(req, reply, err);
    if (good || err->problem)
        metric_add(METRIC_CHILD(refreshes(), good ? "ok" : err->problem->code), 1);
    return good;
}

/* Ends the session of the access token and that of the refresh token (usually the same). A token that is no longer good
 * names nothing to end: that is success too. */
bool api_logout(struct request *req, struct reply *reply, struct err *err)
{
    const struct auth_app *app = req->app;
    bool from_cookie;
    const char *text = presented_token(req, &from_cookie, err), *sessions[2];
    size_t count = 0;
    if (err->problem)
        return false;
    if (!text && !req->identity)
        return err_set(err, &ERR_TOKEN_MISSING, "no token was sent");
    struct refresh_token token;
    if (req->identity)
        sessions[count++] = req->identity->session_id;
    if (text && refresh_read(&app->secret, text, &token))
        sessions[count++] = token.session_id;
    struct origin origin = origin_of(req);
    if (!store_log_out(app, sessions, count, &origin, err))
        return false;
    clear_refresh_cookie(req, reply);
    return reply_empty(reply, 204);
}
