/* config.h - every setting of auth-svc, in one table (config.c). Read once, constant afterwards. */
#ifndef AUTH_CONFIG_H
#define AUTH_CONFIG_H

#include "service.h"

struct auth_config {
    struct service_config service;
    const char *db_url;
    int64_t db_connections;
    const char *secret; /* "": made once, kept in the schema */
    const char *public_url;
    const char *first_admin;
    bool require_verified, single_session;

    int64_t access_seconds, refresh_seconds, session_seconds, refresh_grace_seconds, sessions_max;
    int64_t key_rotate_seconds, key_lead_seconds, key_overlap_seconds;
    int64_t sweep_seconds;

    int64_t hash_memory_kib, hash_passes, hash_lanes, hash_queue;

    int64_t login_failures, login_failures_address, login_window_seconds;
    int64_t code_seconds, code_resend_seconds, code_tries, code_address_per_day, code_ip_per_hour, proof_seconds;

    const char *social_return_to;
    bool social_allow_http;
    int64_t social_code_seconds, social_timeout_ms, social_keys_seconds;
    const char *kakao_id, *kakao_secret, *kakao_scope, *kakao_authorize_url, *kakao_token_url, *kakao_user_url,
        *kakao_issuer, *kakao_jwks_url;
    const char *naver_id, *naver_secret, *naver_authorize_url, *naver_token_url, *naver_user_url;
    const char *google_id, *google_secret, *google_scope, *google_authorize_url, *google_token_url, *google_issuer,
        *google_jwks_url;
    const char *oidc; /* JSON list of generic providers; holds their secrets */
};

extern const struct setting AUTH_SETTINGS[];

/* PROFILE=bench lifts the limits per address, and nothing else. */
bool auth_config_bench(const struct auth_config *cfg);
/* Cookies are Secure unless the public address is this machine. */
bool auth_config_secure_cookies(const struct auth_config *cfg);

#endif
