#include "social_parts.h"

#include "clock.h"
#include "json.h"
#include "mem.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- who the providers are ---- */

static struct provider *add_provider(struct social *social, const struct provider *like,
                                     const struct endpoints *endpoints)
{
    if (!*like->client_id || social->provider_count == PROVIDERS_MAX)
        return NULL;
    struct provider *provider = &social->providers[social->provider_count++];
    *provider = *like;
    if (endpoints)
        provider->endpoints = *endpoints;
    (void)pthread_mutex_init(&provider->mutex, NULL);
    return provider;
}

static void fill(char place[ENDPOINT_BYTES], const char *url)
{
    (void)snprintf(place, ENDPOINT_BYTES, "%s", url);
}

/* Kakao's own id_token is checked when the scope has openid; whether it honours PKCE is not documented, so state and
 * nonce carry the flow. Naver has neither, and wants the state again at the token endpoint. */
static void add_known(struct social *social)
{
    const struct auth_config *cfg = social->cfg;
    struct endpoints kakao = {0}, naver = {0}, google = {.pkce = true};
    fill(kakao.authorize_url, cfg->kakao_authorize_url);
    fill(kakao.token_url, cfg->kakao_token_url);
    fill(kakao.user_url, cfg->kakao_user_url);
    fill(kakao.jwks_url, cfg->kakao_jwks_url);
    fill(naver.authorize_url, cfg->naver_authorize_url);
    fill(naver.token_url, cfg->naver_token_url);
    fill(naver.user_url, cfg->naver_user_url);
    fill(google.authorize_url, cfg->google_authorize_url);
    fill(google.token_url, cfg->google_token_url);
    fill(google.jwks_url, cfg->google_jwks_url);
    const char *bare = strncmp(cfg->google_issuer, "https://", 8) == 0 ? cfg->google_issuer + 8 : NULL;
    (void)add_provider(social,
                       &(struct provider){.name = "kakao",
                                          .client_id = cfg->kakao_id,
                                          .client_secret = cfg->kakao_secret,
                                          .scope = cfg->kakao_scope,
                                          .trust_email = true,
                                          .identify = identify_kakao,
                                          .issuer = strstr(cfg->kakao_scope, "openid") ? cfg->kakao_issuer : ""},
                       &kakao);
    (void)add_provider(social,
                       &(struct provider){.name = "naver",
                                          .client_id = cfg->naver_id,
                                          .client_secret = cfg->naver_secret,
                                          .scope = "",
                                          .issuer = "",
                                          .state_at_token = true,
                                          .identify = identify_naver},
                       &naver);
    (void)add_provider(social,
                       &(struct provider){.name = "google",
                                          .client_id = cfg->google_id,
                                          .client_secret = cfg->google_secret,
                                          .scope = cfg->google_scope,
                                          .trust_email = true,
                                          .identify = identify_openid,
                                          .issuer = cfg->google_issuer,
                                          .other_issuer = bare},
                       &google);
}

static const char *member(const cJSON *item, const char *name, const char *otherwise)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, name);
    return cJSON_IsString(value) ? value->valuestring : otherwise;
}

static bool add_generic(struct social *social, const cJSON *item, struct err *err)
{
    const char *name = member(item, "name", ""), *issuer = member(item, "issuer", "");
    struct provider like = {.name = name,
                            .issuer = issuer,
                            .discovers = true,
                            .identify = identify_openid,
                            .client_id = member(item, "client_id", ""),
                            .client_secret = member(item, "client_secret", ""),
                            .scope = member(item, "scope", "openid email profile"),
                            .trust_email = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "trust_email"))};
    size_t length = strlen(name);
    if (length < 1 || length > 32 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != length ||
        social_find(social, name) || strcmp(name, "exchange") == 0)
        return err_set(err, &ERR_BAD_INPUT, "SOCIAL_OIDC: \"%.32s\" is no name, or used twice", name);
    if (!*like.client_id || strncmp(issuer, "http", 4) != 0 || strlen(issuer) > 300)
        return err_set(err, &ERR_BAD_INPUT, "SOCIAL_OIDC: %s needs issuer and client_id", name);
    return add_provider(social, &like, NULL) || err_set(err, &ERR_BAD_INPUT, "SOCIAL_OIDC: too many providers");
}

static bool add_generics(struct social *social, struct err *err)
{
    if (!*social->cfg->oidc)
        return true;
    cJSON *list = cJSON_Parse(social->cfg->oidc), *item;
    social->oidc = list;
    if (!cJSON_IsArray(list))
        return err_set(err, &ERR_BAD_INPUT, "SOCIAL_OIDC is no JSON list");
    cJSON_ArrayForEach(item, list)
    {
        if (!add_generic(social, item, err))
            return false;
    }
    return true;
}

static bool read_return_to(struct social *social, struct err *err)
{
    social->return_to_list = mem_text(social->cfg->social_return_to);
    char *rest = NULL;
    for (char *url = strtok_r(social->return_to_list, ", ", &rest); url; url = strtok_r(NULL, ", ", &rest)) {
        if (social->return_to_count == RETURN_TO_MAX || strlen(url) > 500 || !strchr(url, ':') || strchr(url, '#'))
            return err_set(err, &ERR_BAD_INPUT, "SOCIAL_RETURN_TO: %.100s is no address without #, or one too many",
                           url);
        social->return_to[social->return_to_count++] = url;
    }
    return social->return_to_count > 0 || err_set(err, &ERR_BAD_INPUT, "SOCIAL_RETURN_TO is empty");
}

struct social *social_open(const struct auth_config *cfg, struct err *err)
{
    AUTO(social) social = MEM_NEW(social);
    social->cfg = cfg;
    social->inside_max = cfg->service.workers >= 8 ? (int)cfg->service.workers / 4 : 2;
    social->http = httpclient_open(
        &(struct httpclient_options){.allow_http = cfg->social_allow_http, .timeout_ms = (int)cfg->social_timeout_ms},
        err);
    if (!social->http || !read_return_to(social, err))
        return NULL;
    add_known(social);
    return add_generics(social, err) ? TAKE(social) : NULL;
}

void social_release(struct social **social)
{
    struct social *it = *social;
    *social = NULL;
    if (!it)
        return;
    for (size_t i = 0; i < it->provider_count; i++) {
        str_free(&it->providers[i].jwks);
        (void)pthread_mutex_destroy(&it->providers[i].mutex);
    }
    httpclient_release(&it->http);
    cJSON_Delete(it->oidc);
    free(it->return_to_list);
    free(it);
}

struct provider *social_find(struct social *social, const char *name)
{
    for (size_t i = 0; i < social->provider_count; i++)
        if (strcmp(social->providers[i].name, name) == 0)
            return &social->providers[i];
    return NULL;
}

const char *social_provider_name(const struct provider *provider)
{
    return provider->name;
}

const char *social_return_to(const struct social *social, const char *wanted)
{
    if (!wanted)
        return social->return_to[0];
    for (size_t i = 0; i < social->return_to_count; i++)
        if (strcmp(social->return_to[i], wanted) == 0)
            return social->return_to[i];
    return NULL;
}

bool social_enter(struct social *social)
{
    if (atomic_fetch_add(&social->inside, 1) < social->inside_max)
        return true;
    atomic_fetch_sub(&social->inside, 1);
    return false;
}

void social_leave(struct social *social)
{
    atomic_fetch_sub(&social->inside, 1);
}

/* ---- discovery (OpenID Connect Discovery 1.0) ---- */

struct discovery {
    const char *issuer, *authorization_endpoint, *token_endpoint, *userinfo_endpoint, *jwks_uri;
    struct texts code_challenge_methods_supported, token_endpoint_auth_methods_supported;
};
#define ENDPOINT(member_, ...) FIELD_TEXT(struct discovery, member_, .max = ENDPOINT_BYTES - 1, ##__VA_ARGS__)
static const struct field DISCOVERY_FIELDS[] = {
    ENDPOINT(issuer, .required = true),
    ENDPOINT(authorization_endpoint, .required = true),
    ENDPOINT(token_endpoint, .required = true),
    ENDPOINT(userinfo_endpoint),
    ENDPOINT(jwks_uri, .required = true),
    FIELD_TEXTS(struct discovery, code_challenge_methods_supported),
    FIELD_TEXTS(struct discovery, token_endpoint_auth_methods_supported),
    {0},
};

static bool has(const struct texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (strcmp(texts->items[i], text) == 0)
            return true;
    return false;
}

static bool discover(struct social *social, struct provider *provider, struct arena *arena, struct endpoints *endpoints,
                     struct err *err)
{
    struct view body;
    struct discovery found;
    const char *slash = provider->issuer[strlen(provider->issuer) - 1] == '/' ? "" : "/";
    const char *url = arena_printf(arena, "%s%s.well-known/openid-configuration", provider->issuer, slash);
    if (!social_get(social, arena, url, NULL, &body, err))
        return false;
    if (!JSON_DECODE_LENIENT(arena, body, DISCOVERY_FIELDS, &found, err) || strcmp(found.issuer, provider->issuer) != 0)
        return err_set(err, &ERR_BAD_INPUT, "%s: the discovery document is not complete, or another issuer's",
                       provider->name);
    *endpoints =
        (struct endpoints){.pkce = has(&found.code_challenge_methods_supported, "S256"),
                           .basic_auth = !has(&found.token_endpoint_auth_methods_supported, "client_secret_post")};
    fill(endpoints->authorize_url, found.authorization_endpoint);
    fill(endpoints->token_url, found.token_endpoint);
    fill(endpoints->user_url, found.userinfo_endpoint ? found.userinfo_endpoint : "");
    fill(endpoints->jwks_url, found.jwks_uri);
    return true;
}

bool provider_endpoints(struct social *social, struct provider *provider, struct arena *arena,
                        struct endpoints *endpoints, struct err *err)
{
    int64_t now_ms = clock_monotonic_ms();
    (void)pthread_mutex_lock(&provider->mutex);
    *endpoints = provider->endpoints;
    int64_t known_ms = provider->discovered_ms;
    (void)pthread_mutex_unlock(&provider->mutex);
    if (!provider->discovers || (known_ms && now_ms - known_ms < DISCOVERY_MS))
        return true;
    struct endpoints fresh;
    if (!discover(social, provider, arena, &fresh, err)) {
        if (known_ms)
            err_clear(err); /* the old ones are better than none */
        return known_ms != 0;
    }
    *endpoints = fresh;
    (void)pthread_mutex_lock(&provider->mutex);
    provider->endpoints = fresh;
    provider->discovered_ms = now_ms;
    (void)pthread_mutex_unlock(&provider->mutex);
    return true;
}

/* ---- key sets ---- */

bool provider_jwks(struct social_call *call, bool newer, struct view *jwks, struct err *err)
{
    struct provider *provider = call->provider;
    int64_t now_ms = clock_monotonic_ms();
    (void)pthread_mutex_lock(&provider->mutex);
    int64_t age_ms = provider->jwks_ms ? now_ms - provider->jwks_ms : INT64_MAX;
    bool kept = age_ms < (newer ? call->social->cfg->social_keys_seconds * 1000 : DISCOVERY_MS);
    if (provider->jwks_ms)
        *jwks =
            (struct view){arena_bytes(call->arena, provider->jwks.bytes, provider->jwks.length), provider->jwks.length};
    (void)pthread_mutex_unlock(&provider->mutex);
    if (kept)
        return true;
    struct view fresh;
    if (!social_get(call->social, call->arena, call->endpoints.jwks_url, NULL, &fresh, err)) {
        if (age_ms != INT64_MAX)
            err_clear(err);
        return age_ms != INT64_MAX;
    }
    *jwks = fresh;
    (void)pthread_mutex_lock(&provider->mutex);
    str_clear(&provider->jwks);
    str_add_bytes(&provider->jwks, fresh.bytes, fresh.length);
    provider->jwks_ms = now_ms;
    (void)pthread_mutex_unlock(&provider->mutex);
    return true;
}
