/* social_flow.c - the authorization code flow, and how each provider says who somebody is. */
#include "social_parts.h"

#include "clock.h"
#include "json.h"

#include <stdio.h>

static bool odd(const struct social_call *call, const char *reason, struct err *err)
{
    return err_set(err, &ERR_BAD_INPUT, "%s: %s", call->provider->name, reason);
}

/* ---- the log-in page ---- */

static void add_query(struct str *url, const char *name, const char *value)
{
    if (!*value)
        return;
    str_add_char(url, strchr(url->bytes, '?') ? '&' : '?');
    str_add(url, name);
    str_add_char(url, '=');
    str_add_percent(url, value, false);
}

static const char *redirect_uri(struct social *social, const struct provider *provider, struct arena *arena)
{
    const char *base = social->cfg->public_url;
    size_t length = strlen(base);
    while (length > 0 && base[length - 1] == '/')
        length--;
    return arena_printf(arena, "%.*s/api/auth/social/%s/callback", (int)length, base, provider->name);
}

const char *social_authorize_url(struct social *social, struct provider *provider, struct arena *arena,
                                 const char *state, const char *nonce, const char *verifier, struct err *err)
{
    struct endpoints endpoints;
    if (!provider_endpoints(social, provider, arena, &endpoints, err))
        return NULL;
    AUTO_STR url = {0};
    str_add(&url, endpoints.authorize_url);
    add_query(&url, "response_type", "code");
    add_query(&url, "client_id", provider->client_id);
    add_query(&url, "redirect_uri", redirect_uri(social, provider, arena));
    add_query(&url, "state", state);
    add_query(&url, "scope", provider->scope);
    add_query(&url, "nonce", *provider->issuer ? nonce : "");
    if (endpoints.pkce) {
        unsigned char hash[SHA256_BYTES];
        AUTO_STR challenge = {0};
        crypto_sha256(verifier, strlen(verifier), hash);
        crypto_base64url(hash, sizeof hash, &challenge);
        add_query(&url, "code_challenge", challenge.bytes);
        add_query(&url, "code_challenge_method", "S256");
    }
    return arena_text(arena, url.bytes);
}

/* ---- calls ---- */

bool social_get(struct social *social, struct arena *arena, const char *url, const char *bearer, struct view *body,
                struct err *err)
{
    const char *headers[] = {"Accept: application/json",
                             bearer ? arena_printf(arena, "Authorization: Bearer %s", bearer) : NULL, NULL};
    struct http_answer answer = {0};
    if (!httpclient_call(social->http, arena, &(struct http_call){.method = "GET", .url = url, .headers = headers},
                         &answer, err))
        return false;
    *body = answer.body;
    return answer.status == 200 || err_set(err, &ERR_BAD_INPUT, "GET %.120s answered %ld", url, answer.status);
}

static void add_form(struct str *form, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    if (form->length)
        str_add_char(form, '&');
    str_add(form, name);
    str_add_char(form, '=');
    str_add_percent(form, value, false);
}

/* RFC 6749 2.3.1: id and secret are form-encoded before they become Basic credentials. */
static const char *basic_header(const struct social_call *call)
{
    AUTO_STR plain = {0};
    AUTO_STR header = {0};
    str_add_percent(&plain, call->provider->client_id, false);
    str_add_char(&plain, ':');
    str_add_percent(&plain, call->provider->client_secret, false);
    str_add(&header, "Authorization: Basic ");
    crypto_base64url(plain.bytes, plain.length, &header);
    for (char *c = header.bytes + strlen("Authorization: Basic "); *c; c++)
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c; /* plain base64, which has padding */
    for (size_t i = plain.length; i % 3; i++)
        str_add_char(&header, '=');
    return arena_text(call->arena, header.bytes);
}

struct token_reply {
    const char *access_token, *id_token, *error;
};
static const struct field TOKEN_FIELDS[] = {
    FIELD_TEXT(struct token_reply, access_token, .max = 8000),
    FIELD_TEXT(struct token_reply, id_token, .max = 16000),
    FIELD_TEXT(struct token_reply, error, .max = 100),
    {0},
};

/* What decides is the access token, not the status: Naver tells failures with 200. */
static bool read_tokens(struct social_call *call, const struct http_answer *answer, struct err *err)
{
    struct token_reply reply = {0};
    if (!JSON_DECODE_LENIENT(call->arena, answer->body, TOKEN_FIELDS, &reply, err))
        return err_set(err, &ERR_BAD_INPUT, "%s: the token endpoint answered %ld and no JSON we understand",
                       call->provider->name, answer->status);
    if (reply.error || !reply.access_token)
        return err_set(err, &ERR_BAD_INPUT, "%s: the token endpoint answered %ld %.60s", call->provider->name,
                       answer->status, reply.error ? reply.error : "without a token");
    call->access_token = reply.access_token;
    call->id_token = reply.id_token;
    return true;
}

static bool swap_code(struct social_call *call, struct err *err)
{
    const struct provider *provider = call->provider;
    AUTO_STR form = {0};
    add_form(&form, "grant_type", "authorization_code");
    add_form(&form, "code", call->code);
    add_form(&form, "redirect_uri", redirect_uri(call->social, provider, call->arena));
    if (!call->endpoints.basic_auth) {
        add_form(&form, "client_id", provider->client_id);
        add_form(&form, "client_secret", provider->client_secret);
    }
    add_form(&form, "state", provider->state_at_token ? call->state : NULL);
    add_form(&form, "code_verifier", call->endpoints.pkce ? call->verifier : NULL);
    const char *headers[] = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/json",
                             call->endpoints.basic_auth ? basic_header(call) : NULL, NULL};
    struct http_answer answer = {0};
    return httpclient_call(call->social->http, call->arena,
                           &(struct http_call){.method = "POST",
                                               .url = call->endpoints.token_url,
                                               .headers = headers,
                                               .body = {form.bytes, form.length}},
                           &answer, err) &&
           read_tokens(call, &answer, err);
}

bool social_identify(struct social *social, struct provider *provider, struct arena *arena, const char *code,
                     const char *state, const char *nonce, const char *verifier, struct social_person *person,
                     struct err *err)
{
    struct social_call call = {.social = social,
                               .provider = provider,
                               .arena = arena,
                               .code = code,
                               .state = state,
                               .nonce = nonce,
                               .verifier = verifier};
    *person = (struct social_person){.provider = provider->name};
    if (!provider_endpoints(social, provider, arena, &call.endpoints, err) || !swap_code(&call, err) ||
        !provider->identify(&call, person, err))
        return false;
    if (person->email && !*person->email)
        person->email = NULL;
    person->email_verified = person->email && person->email_verified && provider->trust_email;
    return strlen(person->subject) <= 255 || odd(&call, "the id is too long", err);
}

/* ---- who it is: OpenID Connect ---- */

static bool read_id_token(struct social_call *call, struct id_token *token, struct err *err)
{
    const struct provider *provider = call->provider;
    if (!call->id_token)
        return odd(call, "sent no id_token", err);
    const struct id_token_rules rules = {.issuer = provider->issuer,
                                         .other_issuer = provider->other_issuer,
                                         .client_id = provider->client_id,
                                         .nonce = call->nonce,
                                         .now_s = clock_now_ms() / 1000};
    bool unknown_key = false;
    for (int round = 0; round < 2; round++) { /* the second with newer keys, when the first had not the one */
        struct view jwks;
        err_clear(err);
        if (!provider_jwks(call, round > 0, &jwks, err))
            return false;
        if (id_token_verify(call->arena, call->id_token, &rules, jwks, token, &unknown_key, err))
            return true;
        if (!unknown_key)
            return false;
    }
    return false;
}

struct userinfo {
    const char *sub, *email, *email_verified, *name, *nickname;
};
static const struct field USERINFO_FIELDS[] = {
    FIELD_TEXT(struct userinfo, sub, .required = true, .max = 255),
    FIELD_TEXT(struct userinfo, email, .max = 320),
    FIELD_RAW(struct userinfo, email_verified),
    FIELD_TEXT(struct userinfo, name, .max = 300),
    FIELD_TEXT(struct userinfo, nickname, .max = 300),
    {0},
};

/* Some providers keep the e-mail out of the id_token; the same sub must come back (Core 5.3.2). */
static bool ask_userinfo(struct social_call *call, struct social_person *person, struct err *err)
{
    struct view body;
    struct userinfo info = {0};
    if (!social_get(call->social, call->arena, call->endpoints.user_url, call->access_token, &body, err))
        return false;
    if (!JSON_DECODE_LENIENT(call->arena, body, USERINFO_FIELDS, &info, err) || strcmp(info.sub, person->subject) != 0)
        return odd(call, "userinfo is not complete, or somebody else's", err);
    person->email = info.email;
    person->email_verified = json_says_true(info.email_verified);
    person->name = person->name ? person->name : info.name;
    person->nickname = person->nickname ? person->nickname : info.nickname;
    return true;
}

bool identify_openid(struct social_call *call, struct social_person *person, struct err *err)
{
    struct id_token token = {0};
    if (!read_id_token(call, &token, err))
        return false;
    person->subject = token.subject;
    person->email = token.email;
    person->email_verified = token.email_verified;
    person->name = token.name;
    person->nickname = token.nickname;
    return person->email || !*call->endpoints.user_url || ask_userinfo(call, person, err);
}

/* ---- who it is: Kakao ---- */

struct kakao_user {
    const char *id, *kakao_account;
};
struct kakao_account {
    const char *email, *profile, *name;
    bool is_email_valid, is_email_verified;
};
struct kakao_profile {
    const char *nickname;
};
static const struct field KAKAO_USER_FIELDS[] = {
    FIELD_RAW(struct kakao_user, id, .required = true), /* a 64-bit number: kept as its digits */
    FIELD_RAW(struct kakao_user, kakao_account),
    {0},
};
static const struct field KAKAO_ACCOUNT_FIELDS[] = {
    FIELD_TEXT(struct kakao_account, email, .max = 320), FIELD_RAW(struct kakao_account, profile),
    FIELD_TEXT(struct kakao_account, name, .max = 300),  FIELD_BOOL(struct kakao_account, is_email_valid),
    FIELD_BOOL(struct kakao_account, is_email_verified), {0},
};
static const struct field KAKAO_PROFILE_FIELDS[] = {FIELD_TEXT(struct kakao_profile, nickname, .max = 300), {0}};

bool identify_kakao(struct social_call *call, struct social_person *person, struct err *err)
{
    struct view body;
    struct kakao_user user = {0};
    struct kakao_account account = {0};
    struct kakao_profile profile = {0};
    if (!social_get(call->social, call->arena, call->endpoints.user_url, call->access_token, &body, err))
        return false;
    if (!JSON_DECODE_LENIENT(call->arena, body, KAKAO_USER_FIELDS, &user, err) ||
        strspn(user.id, "0123456789") != strlen(user.id) ||
        (user.kakao_account &&
         !JSON_DECODE_LENIENT(call->arena, view_of(user.kakao_account), KAKAO_ACCOUNT_FIELDS, &account, err)) ||
        (account.profile &&
         !JSON_DECODE_LENIENT(call->arena, view_of(account.profile), KAKAO_PROFILE_FIELDS, &profile, err)))
        return odd(call, "the user reply is not understood", err);
    struct id_token token = {0};
    if (*call->provider->issuer && (!read_id_token(call, &token, err) || strcmp(token.subject, user.id) != 0))
        return err->problem ? false : odd(call, "id_token and user reply name two people", err);
    person->subject = user.id;
    person->email =
        account.is_email_valid ? account.email : NULL; /* not valid: Kakao knows that it is somebody else's now */
    person->email_verified = account.is_email_valid && account.is_email_verified;
    person->nickname = profile.nickname;
    person->name = account.name;
    return true;
}

/* ---- who it is: Naver ---- */

struct naver_reply {
    const char *resultcode, *response;
};
struct naver_user {
    const char *id, *email, *nickname, *name;
};
static const struct field NAVER_REPLY_FIELDS[] = {
    FIELD_TEXT(struct naver_reply, resultcode, .required = true, .max = 16),
    FIELD_RAW(struct naver_reply, response),
    {0},
};
static const struct field NAVER_USER_FIELDS[] = {
    FIELD_TEXT(struct naver_user, id, .required = true, .min = 1, .max = 255),
    FIELD_TEXT(struct naver_user, email, .max = 320),
    FIELD_TEXT(struct naver_user, nickname, .max = 300),
    FIELD_TEXT(struct naver_user, name, .max = 300),
    {0},
};

bool identify_naver(struct social_call *call, struct social_person *person, struct err *err)
{
    struct view body;
    struct naver_reply reply = {0};
    struct naver_user user = {0};
    if (!social_get(call->social, call->arena, call->endpoints.user_url, call->access_token, &body, err))
        return false;
    if (!JSON_DECODE_LENIENT(call->arena, body, NAVER_REPLY_FIELDS, &reply, err) ||
        strcmp(reply.resultcode, "00") != 0 || !reply.response ||
        !JSON_DECODE_LENIENT(call->arena, view_of(reply.response), NAVER_USER_FIELDS, &user, err))
        return odd(call, "the user reply is a failure, or not understood", err);
    person->subject = user.id;
    person->email = user.email;
    person->email_verified = false; /* Naver has no such flag */
    person->nickname = user.nickname;
    person->name = user.name;
    return true;
}
