#include "codec.h"

#include "clock.h"
#include "keys.h"

#include <stdio.h>

enum { ANY_LENGTH = 1024 }; /* bounded here, judged by account.c, so that all wrong fields are told at once */

#define PROFILE_FIELDS(type)                                                                                           \
    FIELD_TEXT(type, nickname, .required = true, .max = ANY_LENGTH), FIELD_TEXT(type, handle, .max = ANY_LENGTH),      \
        FIELD_TEXT(type, name, .max = ANY_LENGTH), FIELD_TEXT(type, gender, .one_of = GENDERS),                        \
        FIELD_TEXT(type, birth_date, .max = ANY_LENGTH), FIELD_TEXT(type, phone_proof, .min = 1, .max = 64)

static const char *const GENDERS[] = {"female", "male", NULL};
static const char *const ROLES_TO_GIVE[] = {"user", "tutor", "admin", NULL};

const struct field SIGNUP_FIELDS[] = {
    FIELD_TEXT(struct signup, email, .required = true, .max = ANY_LENGTH),
    FIELD_TEXT(struct signup, password, .required = true, .max = ANY_LENGTH),
    FIELD_TEXT(struct signup, proof, .min = 1, .max = 64),
    PROFILE_FIELDS(struct signup),
    {0},
};
const struct field COMPLETE_FIELDS[] = {PROFILE_FIELDS(struct signup), {0}};
const struct field NAMES_FIELDS[] = {
    FIELD_TEXT(struct names, nickname, .max = ANY_LENGTH),
    FIELD_TEXT(struct names, handle, .max = ANY_LENGTH),
    {0},
};
const struct field EMAIL_FIELDS[] = {
    FIELD_TEXT(struct proof, proof, .required = true, .min = 1, .max = 64),
    FIELD_TEXT(struct proof, password, .max = ANY_LENGTH),
    {0},
};
const struct field PHONE_FIELDS[] = {
    FIELD_TEXT(struct proof, proof, .required = true, .min = 1, .max = 64),
    {0},
};
const struct field RESET_FIELDS[] = {
    FIELD_TEXT(struct proof, proof, .required = true, .min = 1, .max = 64),
    FIELD_TEXT(struct proof, new_password, .required = true, .max = ANY_LENGTH),
    {0},
};
const struct field LOGIN_FIELDS[] = {
    FIELD_TEXT(struct login, login, .required = true, .min = 1, .max = EMAIL_MAX),
    FIELD_TEXT(struct login, password, .required = true, .min = 1, .max = ANY_LENGTH),
    FIELD_TEXT(struct login, device_name, .max = 100),
    FIELD_BOOL(struct login, cookie),
    FIELD_BOOL(struct login, single_session),
    {0},
};
const struct field EXCHANGE_FIELDS[] = {
    FIELD_TEXT(struct login, code, .required = true, .min = 1, .max = 64),
    FIELD_TEXT(struct login, device_name, .max = 100),
    FIELD_BOOL(struct login, cookie),
    FIELD_BOOL(struct login, single_session),
    {0},
};
const struct field REFRESH_FIELDS[] = {FIELD_TEXT(struct refresh_body, refresh_token, .max = 200), {0}};
const struct field SEND_CODE_FIELDS[] = {
    FIELD_TEXT(struct code_body, purpose, .required = true, .max = 32),
    FIELD_TEXT(struct code_body, email, .max = ANY_LENGTH),
    FIELD_TEXT(struct code_body, phone, .max = 32),
    {0},
};
const struct field CONFIRM_CODE_FIELDS[] = {
    FIELD_TEXT(struct code_body, purpose, .required = true, .max = 32),
    FIELD_TEXT(struct code_body, email, .max = ANY_LENGTH),
    FIELD_TEXT(struct code_body, phone, .max = 32),
    FIELD_TEXT(struct code_body, code, .required = true, .max = 32),
    {0},
};
const struct field PASSWORD_FIELDS[] = {
    FIELD_TEXT(struct new_password, old_password, .required = true, .max = ANY_LENGTH),
    FIELD_TEXT(struct new_password, new_password, .required = true, .max = ANY_LENGTH),
    {0},
};
const struct field LEAVE_FIELDS[] = {FIELD_TEXT(struct leave, password, .max = ANY_LENGTH), {0}};
const struct field ROLE_FIELDS[] = {FIELD_TEXT(struct role_body, role, .required = true, .one_of = ROLES_TO_GIVE), {0}};

bool codec_read(struct request *req, const struct field *table, void *out, size_t out_size, struct err *err)
{
    struct view body = req->body.length ? req->body : VIEW("{}");
    return json_decode(req->arena, body, table, out, out_size, err);
}

struct origin origin_of(const struct request *req)
{
    return (struct origin){.ip = req->client_address, .request_id = req->request_id, .traceparent = req->traceparent};
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

void codec_user(struct str *out, const char *name, const struct account *account)
{
    json_open(out, name, '{');
    json_text(out, "id", account->id);
    json_text(out, "handle", account->handle);
    json_text(out, "nickname", account->nickname);
    json_text(out, "email", or_null(account->email));
    json_text(out, "role", role_name(account->role));
    json_bool(out, "email_verified", account->email_verified);
    if (*account->phone)
        json_text(out, "phone", account->phone);
    json_close(out, '}');
}

bool reply_account(struct request *req, struct reply *reply, const struct account *account)
{
    codec_user(&reply->body, NULL, account);
    reply_header(reply, "ETag", arena_printf(req->arena, "\"%lld\"", (long long)account->version));
    return true;
}

static void set_refresh_cookie(struct request *req, struct reply *reply, const char *value, int64_t max_age_s)
{
    const struct auth_app *app = req->app;
    reply_cookie(req, reply, REFRESH_COOKIE, value, REFRESH_COOKIE_PATH, max_age_s,
                 auth_config_secure_cookies(app->cfg), "Lax");
}

void clear_refresh_cookie(struct request *req, struct reply *reply)
{
    set_refresh_cookie(req, reply, "", 0);
}

bool reply_grant(struct request *req, struct reply *reply, const struct session_grant *grant,
                 const struct refresh_token *refresh, struct err *err)
{
    const struct auth_app *app = req->app;
    const struct account *account = &grant->account;
    int64_t now_s = clock_now_ms() / 1000;
    int64_t life_s =
        app->cfg->access_seconds < grant->session_left_s ? app->cfg->access_seconds : grant->session_left_s;
    struct identity identity = {.role = account->role,
                                .role_version = account->role_version,
                                .issued_at_s = now_s,
                                .expires_at_s = now_s + life_s};
    (void)snprintf(identity.user_id, sizeof identity.user_id, "%s", account->id);
    (void)snprintf(identity.session_id, sizeof identity.session_id, "%s", refresh->session_id);
    (void)snprintf(identity.handle, sizeof identity.handle, "%s", account->handle);
    (void)snprintf(identity.nickname, sizeof identity.nickname, "%s", account->nickname);
    AUTO_STR token = {0};
    if (!keys_sign(app->keys, &identity, TOKEN_AUDIENCE, &token, err))
        return false;
    struct str *out = &reply->body;
    json_open(out, NULL, '{');
    json_text(out, "access_token", token.bytes);
    json_text(out, "token_type", "Bearer");
    json_i64(out, "expires_in", life_s);
    if (grant->in_cookie)
        set_refresh_cookie(req, reply, refresh->text, grant->refresh_left_s);
    else
        json_text(out, "refresh_token", refresh->text);
    json_text(out, "session_id", refresh->session_id);
    codec_user(out, "user", account);
    json_close(out, '}');
    reply_header(reply, "Cache-Control", "no-store");
    return true;
}

bool reply_sessions(struct request *req, struct reply *reply, const struct session_row *rows, size_t count)
{
    struct str *out = &reply->body;
    json_open(out, NULL, '{');
    json_open(out, "items", '[');
    for (size_t i = 0; i < count; i++) {
        json_open(out, NULL, '{');
        json_text(out, "id", rows[i].id);
        json_text(out, "device_name", rows[i].device_name);
        json_text(out, "ip", rows[i].ip);
        json_time(out, "created_at", rows[i].created_at_ms);
        json_time(out, "last_used_at", rows[i].last_used_at_ms);
        json_bool(out, "current", strcmp(rows[i].id, req->identity->session_id) == 0);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
    return true;
}
