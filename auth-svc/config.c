#include "config.h"

#include <string.h>

#define TEXT(member, name, value, help) SETTING_TEXT(struct auth_config, member, name, value, help)
#define NUMBER(member, name, value, min, max, help) SETTING_I64(struct auth_config, member, name, value, min, max, help)
#define BOOL(member, name, value, help) SETTING_BOOL(struct auth_config, member, name, value, help)
#define SECRET(member, name, help) SETTING_SECRET_OPTIONAL(struct auth_config, member, name, help)

const struct setting AUTH_SETTINGS[] = {
    SERVICE_SETTINGS(struct auth_config, service, "8081", "9081", "16"),
    SETTING_SECRET(struct auth_config, db_url, "AUTH_DB_URL",
                   "PostgreSQL URL of role madang_auth; required, never logged"),
    NUMBER(db_connections, "AUTH_DB_CONNECTIONS", "16", 1, 256,
           "connections of the pool; at least WORKERS are allowed"),
    SECRET(secret, "AUTH_SECRET", "server key of refresh tokens and codes; empty: made once and kept in the schema"),
    TEXT(public_url, "PUBLIC_URL", "http://localhost:8080",
         "the gateway as clients see it; localhost: cookies without Secure"),
    TEXT(first_admin, "AUTH_FIRST_ADMIN", "",
         "e-mail that becomes admin once its holder has proved it, while there is no admin"),
    BOOL(require_verified, "AUTH_REQUIRE_VERIFIED", "off", "refuse log-in until the e-mail is verified"),
    BOOL(single_session, "AUTH_SINGLE_SESSION", "off", "each log-in ends the account's other sessions"),

    NUMBER(access_seconds, "ACCESS_SECONDS", "300", 1, 3600, "life of an access token"),
    NUMBER(refresh_seconds, "REFRESH_SECONDS", "1209600", 1, 31536000, "life of a refresh token; slides with each use"),
    NUMBER(session_seconds, "SESSION_SECONDS", "15552000", 1, 94608000, "a session ends after this, however used"),
    NUMBER(refresh_grace_seconds, "REFRESH_GRACE_SECONDS", "10", 0, 60,
           "two tabs that refresh within this get the same token"),
    NUMBER(sessions_max, "AUTH_SESSIONS_MAX", "200", 1, 1000, "live sessions of one account; the stalest one ends"),

    NUMBER(key_rotate_seconds, "KEY_ROTATE_SECONDS", "2592000", 1, 31536000,
           "a signing key gets a successor at this age"),
    NUMBER(key_lead_seconds, "KEY_LEAD_SECONDS", "60", 1, 86400, "a new key is published this long before it signs"),
    NUMBER(key_overlap_seconds, "KEY_OVERLAP_SECONDS", "600", 1, 86400,
           "an old key is published this long after it signed"),
    NUMBER(sweep_seconds, "AUTH_SWEEP_SECONDS", "10", 1, 3600, "pause between two rounds of cleaning up"),

    NUMBER(hash_memory_kib, "HASH_MEMORY_KIB", "19456", 8, 1048576, "Argon2id memory"),
    NUMBER(hash_passes, "HASH_PASSES", "2", 1, 16, "Argon2id passes"),
    NUMBER(hash_lanes, "HASH_LANES", "0", 0, 64,
           "passwords hashed at a time; 0: half as many as there are cores, 1 to 4"),
    NUMBER(hash_queue, "HASH_QUEUE", "256", 1, 4096, "requests that may wait for that; more get 503"),

    NUMBER(login_failures, "LOGIN_FAILURES", "10", 1, 1000, "failed log-ins per account and address (or known device)"),
    NUMBER(login_failures_address, "LOGIN_FAILURES_ADDRESS", "100", 1, 100000,
           "failed log-ins per address; not in bench"),
    NUMBER(login_window_seconds, "LOGIN_WINDOW_SECONDS", "900", 1, 86400, "the time both are counted over"),
    NUMBER(code_seconds, "CODE_SECONDS", "180", 1, 3600, "life of a code"),
    NUMBER(code_resend_seconds, "CODE_RESEND_SECONDS", "60", 0, 3600,
           "a new code for the same purpose and address after this"),
    NUMBER(code_tries, "CODE_TRIES", "5", 1, 20, "wrong answers to one code"),
    NUMBER(code_address_per_day, "CODE_ADDRESS_PER_DAY", "20", 1, 1000, "codes to one address in 24 h"),
    NUMBER(code_ip_per_hour, "CODE_IP_PER_HOUR", "60", 1, 100000,
           "codes asked for from one address in 1 h; not in bench"),
    NUMBER(proof_seconds, "PROOF_SECONDS", "600", 1, 86400, "life of the proof a code turns into"),

    TEXT(social_return_to, "SOCIAL_RETURN_TO", "http://localhost:3000/login",
         "where social log-in may return to: URLs, commas"),
    BOOL(social_allow_http, "SOCIAL_ALLOW_HTTP", "off", "providers by http (stand-ins)"),
    NUMBER(social_code_seconds, "SOCIAL_CODE_SECONDS", "60", 1, 600, "life of the one-time code after a social log-in"),
    NUMBER(social_timeout_ms, "SOCIAL_TIMEOUT_MS", "5000", 100, 30000, "how long one call to a provider may take"),
    NUMBER(social_keys_seconds, "SOCIAL_KEYS_SECONDS", "60", 1, 3600,
           "least time between two looks at a provider's keys"),
    TEXT(kakao_id, "KAKAO_CLIENT_ID", "", "REST API key; empty: Kakao is not offered"),
    SECRET(kakao_secret, "KAKAO_CLIENT_SECRET", "client secret, if the console asks for one"),
    TEXT(kakao_scope, "KAKAO_SCOPE", "profile_nickname",
         "consent items; one that is not configured fails before log-in"),
    TEXT(kakao_authorize_url, "KAKAO_AUTHORIZE_URL", "https://kauth.kakao.com/oauth/authorize", "Kakao's log-in page"),
    TEXT(kakao_token_url, "KAKAO_TOKEN_URL", "https://kauth.kakao.com/oauth/token", "Kakao's token endpoint"),
    TEXT(kakao_user_url, "KAKAO_USER_URL", "https://kapi.kakao.com/v2/user/me", "Kakao's user endpoint"),
    TEXT(kakao_issuer, "KAKAO_ISSUER", "https://kauth.kakao.com", "iss of Kakao's id_token"),
    TEXT(kakao_jwks_url, "KAKAO_JWKS_URL", "https://kauth.kakao.com/.well-known/jwks.json", "keys of Kakao's id_token"),
    TEXT(naver_id, "NAVER_CLIENT_ID", "", "empty: Naver is not offered"),
    SECRET(naver_secret, "NAVER_CLIENT_SECRET", "client secret"),
    TEXT(naver_authorize_url, "NAVER_AUTHORIZE_URL", "https://nid.naver.com/oauth2.0/authorize", "Naver's log-in page"),
    TEXT(naver_token_url, "NAVER_TOKEN_URL", "https://nid.naver.com/oauth2.0/token", "Naver's token endpoint"),
    TEXT(naver_user_url, "NAVER_USER_URL", "https://openapi.naver.com/v1/nid/me", "Naver's user endpoint"),
    TEXT(google_id, "GOOGLE_CLIENT_ID", "", "empty: Google is not offered"),
    SECRET(google_secret, "GOOGLE_CLIENT_SECRET", "client secret"),
    TEXT(google_scope, "GOOGLE_SCOPE", "openid email profile", "scopes; openid is needed"),
    TEXT(google_authorize_url, "GOOGLE_AUTHORIZE_URL", "https://accounts.google.com/o/oauth2/v2/auth",
         "Google's log-in page"),
    TEXT(google_token_url, "GOOGLE_TOKEN_URL", "https://oauth2.googleapis.com/token", "Google's token endpoint"),
    TEXT(google_issuer, "GOOGLE_ISSUER", "https://accounts.google.com",
         "iss of the id_token; also taken without https://"),
    TEXT(google_jwks_url, "GOOGLE_JWKS_URL", "https://www.googleapis.com/oauth2/v3/certs", "keys of Google's id_token"),
    SECRET(
        oidc, "SOCIAL_OIDC",
        "generic OpenID providers: "
        "[{\"name\":\"school\",\"issuer\":\"https://…\",\"client_id\":\"…\",\"client_secret\":\"…\",\"scope\":\"openid "
        "email profile\",\"trust_email\":false}]"),
    {0},
};

bool auth_config_bench(const struct auth_config *cfg)
{
    return strcmp(cfg->service.profile, "bench") == 0;
}

bool auth_config_secure_cookies(const struct auth_config *cfg)
{
    static const char *const LOCAL[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};
    for (size_t i = 0; i < sizeof LOCAL / sizeof LOCAL[0]; i++) {
        size_t length = strlen(LOCAL[i]);
        if (strncmp(cfg->public_url, LOCAL[i], length) == 0 && strchr(":/", cfg->public_url[length]))
            return false; /* strchr also finds the NUL: the bare host */
    }
    return true;
}
