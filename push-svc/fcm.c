#include "fcm.h"

#include "crypto.h"
#include "json.h"
#include "mem.h"

#include <cjson/cJSON.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <strings.h>

#define SCOPE "https://www.googleapis.com/auth/firebase.messaging"
#define FCM_ERROR_TYPE "google.firebase.fcm.v1.FcmError"
#define QUOTA_FAILURE_TYPE "google.rpc.QuotaFailure"
enum { ASSERTION_S = 3600, SIGNATURE_MAX = 1024 };

struct fcm_account {
    char *project, *key_id, *email, *token_uri;
    EVP_PKEY *key;
};

/* ---- the account ---- */

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (key && EVP_PKEY_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static bool read_account(struct fcm_account *account, const cJSON *document, bool allow_http, struct err *err)
{
    const struct {
        const char *name;
        char **to;
    } members[] = {{"project_id", &account->project},
                   {"private_key_id", &account->key_id},
                   {"client_email", &account->email},
                   {"token_uri", &account->token_uri}};
    for (size_t i = 0; i < ARRAY_LENGTH(members); i++) {
        const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(document, members[i].name));
        if (!text || !*text || strlen(text) > 1000)
            return err_set(err, &ERR_BAD_INPUT, "FCM_CREDENTIALS: no %s", members[i].name);
        *members[i].to = mem_text(text);
    }
    if (strncmp(account->token_uri, "https://", 8) != 0 &&
        !(allow_http && strncmp(account->token_uri, "http://", 7) == 0))
        return err_set(err, &ERR_BAD_INPUT, "FCM_CREDENTIALS: token_uri must be https");
    if (strspn(account->project, "abcdefghijklmnopqrstuvwxyz0123456789-:.") != strlen(account->project))
        return err_set(err, &ERR_BAD_INPUT, "FCM_CREDENTIALS: project_id is none");
    const char *pem = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(document, "private_key"));
    account->key = pem ? read_key(pem) : NULL;
    return account->key || err_set(err, &ERR_BAD_INPUT, "FCM_CREDENTIALS: private_key is no RSA key in PEM");
}

struct fcm_account *fcm_account_open(const char *json, bool allow_http, struct err *err)
{
    AUTO(fcm_account) account = MEM_NEW(fcm_account);
    cJSON *document = cJSON_Parse(json);
    const bool good = cJSON_IsObject(document) ? read_account(account, document, allow_http, err)
                                               : err_set(err, &ERR_BAD_INPUT, "FCM_CREDENTIALS is not JSON");
    cJSON_Delete(document);
    return good ? TAKE(account) : NULL;
}

void fcm_account_release(struct fcm_account **place)
{
    struct fcm_account *account = TAKE(*place);
    if (!account)
        return;
    EVP_PKEY_free(account->key);
    free(account->project);
    free(account->key_id);
    free(account->email);
    free(account->token_uri);
    free(account);
}

const char *fcm_account_project(const struct fcm_account *account)
{
    return account->project;
}

const char *fcm_account_token_uri(const struct fcm_account *account)
{
    return account->token_uri;
}

/* ---- the grant ---- */

static bool sign_rs256(EVP_PKEY *key, const struct str *input, struct str *out)
{
    unsigned char signature[SIGNATURE_MAX];
    size_t length = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool good = context && EVP_PKEY_size(key) <= SIGNATURE_MAX &&
                      EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                      EVP_DigestSign(context, signature, &length, (const void *)input->bytes, input->length) == 1;
    EVP_MD_CTX_free(context);
    if (good)
        crypto_base64url(signature, length, out);
    return good;
}

bool fcm_assertion(const struct fcm_account *account, int64_t now_s, struct str *form, struct err *err)
{
    AUTO_STR part, token;
    str_init(&part);
    str_init(&token);
    json_open(&part, NULL, '{');
    json_text(&part, "alg", "RS256");
    json_text(&part, "typ", "JWT");
    json_text(&part, "kid", account->key_id);
    json_close(&part, '}');
    crypto_base64url(part.bytes, part.length, &token);
    str_clear(&part);
    json_open(&part, NULL, '{');
    json_text(&part, "iss", account->email);
    json_text(&part, "scope", SCOPE);
    json_text(&part, "aud", account->token_uri);
    json_i64(&part, "iat", now_s);
    json_i64(&part, "exp", now_s + ASSERTION_S);
    json_close(&part, '}');
    str_add_char(&token, '.');
    crypto_base64url(part.bytes, part.length, &token);
    str_clear(&part);
    if (!sign_rs256(account->key, &token, &part))
        return err_set_internal(err, &ERR_INTERNAL, "the assertion could not be signed");
    str_add(form, "grant_type=");
    str_add_percent(form, "urn:ietf:params:oauth:grant-type:jwt-bearer", false);
    str_printf(form, "&assertion=%s.%s", token.bytes, part.bytes);
    OPENSSL_cleanse(token.bytes, token.length);
    return true;
}

/* A bearer token goes into a header: nothing but what RFC 6750 allows there. */
static bool is_bearer(const char *text)
{
    const size_t length = strlen(text);
    return length > 0 && length < 4096 &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") == length;
}

bool fcm_read_grant(struct view body, struct fcm_grant *grant, struct err *err)
{
    cJSON *document = cJSON_ParseWithLength(body.bytes, body.length);
    const char *token = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(document, "access_token"));
    const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(document, "expires_in");
    const bool good = token && is_bearer(token);
    if (good) {
        str_clear(&grant->token);
        str_add(&grant->token, token);
        grant->expires_in_s = cJSON_IsNumber(seconds) && seconds->valuedouble > 0 && seconds->valuedouble < 86400 * 7
                                  ? (int64_t)seconds->valuedouble
                                  : ASSERTION_S;
    }
    cJSON_Delete(document);
    return good || err_set_internal(err, &ERR_UNAVAILABLE, "the token endpoint's answer has no access_token");
}

/* ---- answers ---- */

/* {"error": {"code", "message", "status", "details": [...]}} */
struct fcm_error {
    cJSON *document;
    const char *code;    /* of the FcmError detail, else error.status; "" when there is neither */
    const char *message; /* "" when there is none */
    bool has_detail;     /* an FcmError stands there: it is about the token, not about our JSON */
    bool device_quota;
};

static bool type_ends(const cJSON *detail, const char *name)
{
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(detail, "@type"));
    const size_t length = type ? strlen(type) : 0, wanted = strlen(name);
    return length >= wanted && strcmp(type + length - wanted, name) == 0;
}

static bool names_device(const cJSON *violation, const char *member)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(violation, member));
    return text && strcasestr(text, "device");
}

static void read_detail(const cJSON *detail, struct fcm_error *error)
{
    if (type_ends(detail, FCM_ERROR_TYPE)) {
        const char *code = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(detail, "errorCode"));
        error->code = code ? code : error->code;
        error->has_detail = true;
    }
    const cJSON *violations = cJSON_GetObjectItemCaseSensitive(detail, "violations"), *violation;
    if (!type_ends(detail, QUOTA_FAILURE_TYPE))
        return;
    cJSON_ArrayForEach(violation, violations)
    {
        if (names_device(violation, "subject") || names_device(violation, "description"))
            error->device_quota = true;
    }
}

static struct fcm_error error_read(struct view body)
{
    struct fcm_error error = {.document = cJSON_ParseWithLength(body.bytes, body.length), .code = "", .message = ""};
    const cJSON *top = cJSON_GetObjectItemCaseSensitive(error.document, "error");
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(top, "status"));
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(top, "message"));
    error.code = status ? status : "";
    error.message = message ? message : "";
    const cJSON *details = cJSON_GetObjectItemCaseSensitive(top, "details"), *detail;
    cJSON_ArrayForEach(detail, details)
    {
        read_detail(detail, &error);
    }
    return error;
}

bool fcm_token_refused(long status, struct view body)
{
    if (status != 401)
        return false;
    struct fcm_error error = error_read(body);
    const bool third_party = strcmp(error.code, "THIRD_PARTY_AUTH_ERROR") == 0;
    cJSON_Delete(error.document);
    return !third_party;
}

enum waits { NO_WAIT, WAIT_SHORT, WAIT_QUOTA };

/* clang-format off */
/* The table of the ErrorCode reference. status 0: whatever the status; the first row that fits counts. */
static const struct fcm_row {
    const char *code;
    int status;
    enum outcome_state state;
    const char *reason;
    enum waits waits;
    bool pause, alert;
} FCM_ROWS[] = {
    {"UNREGISTERED",           0,   OUTCOME_DEAD_TOKEN, "unregistered",       NO_WAIT,    false, false},
    {"NOT_FOUND",              404, OUTCOME_DEAD_TOKEN, "unregistered",       NO_WAIT,    false, false},
    {"SENDER_ID_MISMATCH",     0,   OUTCOME_DEAD_TOKEN, "sender_id_mismatch", NO_WAIT,    false, false},
    {"INVALID_ARGUMENT",       0,   OUTCOME_REJECTED,   "invalid_argument",   NO_WAIT,    false, true},
    {"THIRD_PARTY_AUTH_ERROR", 0,   OUTCOME_RETRY,      "third_party_auth",   WAIT_QUOTA, false, true},
    {"QUOTA_EXCEEDED",         0,   OUTCOME_RETRY,      "quota_exceeded",     WAIT_QUOTA, true,  false},
    {"RESOURCE_EXHAUSTED",     429, OUTCOME_RETRY,      "quota_exceeded",     WAIT_QUOTA, true,  false},
    {"UNAVAILABLE",            0,   OUTCOME_RETRY,      "unavailable",        WAIT_SHORT, false, false},
    {"INTERNAL",               0,   OUTCOME_RETRY,      "internal",           WAIT_SHORT, false, false},
    {NULL,                     401, OUTCOME_RETRY,      "token_refused",      WAIT_QUOTA, true,  true},
    {NULL,                     403, OUTCOME_RETRY,      "forbidden",          WAIT_QUOTA, true,  true},
    {NULL,                     408, OUTCOME_RETRY,      "unavailable",        WAIT_SHORT, false, false},
    {NULL,                     429, OUTCOME_RETRY,      "quota_exceeded",     WAIT_QUOTA, true,  false},
};
/* clang-format on */

static const struct fcm_row *row_of(const struct fcm_error *error, long status)
{
    static const struct fcm_row SERVER = {NULL, 500, OUTCOME_RETRY, "unavailable", WAIT_SHORT, false, false};
    static const struct fcm_row OTHER = {NULL, 0, OUTCOME_REJECTED, "unknown_answer", NO_WAIT, false, true};
    for (size_t i = 0; i < ARRAY_LENGTH(FCM_ROWS); i++) {
        const struct fcm_row *row = &FCM_ROWS[i];
        if ((!row->code || strcmp(row->code, error->code) == 0) && (!row->status || row->status == status))
            return row;
    }
    return status >= 500 ? &SERVER : &OTHER;
}

struct outcome fcm_outcome(long status, struct view body, int retry_after_s, const struct backoff *backoff, int attempt,
                           unsigned char chance)
{
    if (status >= 200 && status < 300)
        return (struct outcome){OUTCOME_DELIVERED, .reason = NULL};
    struct fcm_error error = error_read(body);
    const struct fcm_row *row = row_of(&error, status);
    struct outcome outcome = {row->state, .reason = row->reason, .pause_channel = row->pause, .alert = row->alert};
    if (row->waits != NO_WAIT)
        outcome.delay_ms = retry_delay_ms(
            retry_after_s, row->waits == WAIT_QUOTA ? backoff->quota_first_ms : backoff->first_ms, attempt, chance);
    const bool bad_token = error.has_detail && strcasestr(error.message, "not a valid FCM registration token");
    if (row->state == OUTCOME_REJECTED && bad_token && strcmp(error.code, "INVALID_ARGUMENT") == 0)
        outcome = (struct outcome){OUTCOME_DEAD_TOKEN, .reason = "invalid_token"};
    if (row->pause && error.device_quota) {
        outcome.pause_channel = false;
        outcome.slow_device = true;
    }
    cJSON_Delete(error.document);
    return outcome;
}
