#include "idtoken.h"

#include "crypto.h"
#include "json.h"
#include "mem.h"

#include <cjson/cJSON.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

enum { TOKEN_MAX = 16384, SIGNATURE_MAX = 1024, COORDINATE_BYTES = 32, NUMBER_MAX = 1100 };

static bool refuse(struct err *err, const char *reason)
{
    return err_set(err, &ERR_BAD_INPUT, "id_token: %s", reason);
}

bool json_says_true(const char *raw)
{
    return raw && (strcmp(raw, "true") == 0 || strcmp(raw, "\"true\"") == 0);
}

/* ---- the three parts ---- */

struct parts {
    struct view signing_input, header, payload;
    unsigned char signature[SIGNATURE_MAX];
    size_t signature_length;
};

static bool decode_part(struct arena *arena, const char *from, const char *to, struct view *out)
{
    size_t length = (size_t)(to - from);
    unsigned char *bytes = arena_alloc(arena, length + 4);
    long size = crypto_base64url_decode(from, length, bytes);
    *out = (struct view){(const char *)bytes, size > 0 ? (size_t)size : 0};
    return size > 0;
}

static bool split(struct arena *arena, const char *token, struct parts *parts, struct err *err)
{
    if (strlen(token) > TOKEN_MAX)
        return refuse(err, "too long");
    const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    struct view signature = {0};
    if (!second || strchr(second + 1, '.') || !decode_part(arena, token, first, &parts->header) ||
        !decode_part(arena, first + 1, second, &parts->payload) ||
        !decode_part(arena, second + 1, second + strlen(second), &signature) || signature.length > SIGNATURE_MAX)
        return refuse(err, "not three base64url parts");
    parts->signing_input = (struct view){token, (size_t)(second - token)};
    memcpy(parts->signature, signature.bytes, signature.length);
    parts->signature_length = signature.length;
    return true;
}

struct header {
    const char *alg, *kid, *crit;
};
static const struct field HEADER_FIELDS[] = {
    FIELD_TEXT(struct header, alg, .required = true, .max = 16),
    FIELD_TEXT(struct header, kid, .max = 256),
    FIELD_RAW(struct header, crit),
    {0},
};

/* ---- keys ---- */

static void pkey_release(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
    *key = NULL;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* A number of a key as big-endian bytes; its length, or 0. */
static size_t number_of(const cJSON *key, const char *name, unsigned char bytes[NUMBER_MAX])
{
    const char *text = text_of(key, name);
    size_t length = text ? strlen(text) : 0;
    if (length == 0 || length > NUMBER_MAX - 4)
        return 0;
    long size = crypto_base64url_decode(text, length, bytes);
    return size > 0 ? (size_t)size : 0;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(const cJSON *jwk)
{
    unsigned char n[NUMBER_MAX], e[NUMBER_MAX];
    size_t n_length = number_of(jwk, "n", n), e_length = number_of(jwk, "e", e);
    if (n_length < 256 || e_length == 0 || e_length > 8) /* 2048 bits at least */
        return NULL;
    BIGNUM *modulus = BN_bin2bn(n, (int)n_length, NULL), *exponent = BN_bin2bn(e, (int)e_length, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (modulus && exponent && builder && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        key = key_from("RSA", builder);
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *ec_key(const cJSON *jwk)
{
    unsigned char x[NUMBER_MAX], y[NUMBER_MAX], point[1 + 2 * COORDINATE_BYTES] = {4};
    const char *curve = text_of(jwk, "crv");
    if (!curve || strcmp(curve, "P-256") != 0 || number_of(jwk, "x", x) != COORDINATE_BYTES ||
        number_of(jwk, "y", y) != COORDINATE_BYTES)
        return NULL;
    memcpy(point + 1, x, COORDINATE_BYTES);
    memcpy(point + 1 + COORDINATE_BYTES, y, COORDINATE_BYTES);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (builder && OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        key = key_from("EC", builder);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

/* What an accepted algorithm needs. */
static const struct algorithm {
    const char *alg, *kty;
    EVP_PKEY *(*key)(const cJSON *jwk);
    bool raw_signature; /* r and s side by side; OpenSSL wants DER */
} ALGORITHMS[] = {
    {"RS256", "RSA", rsa_key, false},
    {"ES256", "EC", ec_key, true},
};

static const struct algorithm *algorithm_of(const char *alg)
{
    for (size_t i = 0; i < ARRAY_LENGTH(ALGORITHMS); i++)
        if (strcmp(ALGORITHMS[i].alg, alg) == 0)
            return &ALGORITHMS[i];
    return NULL;
}

static bool key_fits(const cJSON *jwk, const struct algorithm *algorithm, const char *kid)
{
    const char *type = text_of(jwk, "kty"), *use = text_of(jwk, "use"), *own = text_of(jwk, "kid"),
               *alg = text_of(jwk, "alg");
    return type && strcmp(type, algorithm->kty) == 0 && (!use || strcmp(use, "sig") == 0) &&
           (!alg || strcmp(alg, algorithm->alg) == 0) && (!kid || (own && strcmp(own, kid) == 0));
}

static EVP_PKEY *find_key(struct view jwks, const struct algorithm *algorithm, const char *kid)
{
    EVP_PKEY *key = NULL;
    cJSON *set = cJSON_ParseWithLength(jwks.bytes, jwks.length), *jwk;
    cJSON_ArrayForEach(jwk, cJSON_GetObjectItemCaseSensitive(set, "keys"))
    {
        if (key_fits(jwk, algorithm, kid) && (key = algorithm->key(jwk)))
            break;
    }
    cJSON_Delete(set);
    return key;
}

/* ---- the signature ---- */

/* r|s -> DER; its length, or 0. */
static size_t der_signature(const struct parts *parts, unsigned char **der)
{
    if (parts->signature_length != 2 * COORDINATE_BYTES)
        return 0;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(parts->signature, COORDINATE_BYTES, NULL);
    BIGNUM *s = BN_bin2bn(parts->signature + COORDINATE_BYTES, COORDINATE_BYTES, NULL);
    int length = 0;
    if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair owns them */
        length = i2d_ECDSA_SIG(pair, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return length > 0 ? (size_t)length : 0;
}

static bool signature_right(const struct parts *parts, const struct algorithm *algorithm, EVP_PKEY *key)
{
    unsigned char *der = NULL;
    const unsigned char *signature = parts->signature;
    size_t length = parts->signature_length;
    if (algorithm->raw_signature) {
        length = der_signature(parts, &der);
        signature = der;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool right = length > 0 && context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                 EVP_DigestVerify(context, signature, length, (const unsigned char *)parts->signing_input.bytes,
                                  parts->signing_input.length) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    return right;
}

/* ---- the claims ---- */

struct claims {
    const char *iss, *sub, *aud, *azp, *nonce, *email, *email_verified, *name, *nickname, *preferred_username;
    int64_t exp, iat;
};
static const struct field CLAIMS_FIELDS[] = {
    FIELD_TEXT(struct claims, iss, .required = true, .max = 300),
    FIELD_TEXT(struct claims, sub, .required = true, .min = 1, .max = 255),
    FIELD_RAW(struct claims, aud, .required = true),
    FIELD_TEXT(struct claims, azp, .max = 300),
    FIELD_TEXT(struct claims, nonce, .max = 300),
    FIELD_TEXT(struct claims, email, .max = 320),
    FIELD_RAW(struct claims, email_verified),
    FIELD_TEXT(struct claims, name, .max = 300),
    FIELD_TEXT(struct claims, nickname, .max = 300),
    FIELD_TEXT(struct claims, preferred_username, .max = 300),
    FIELD_I64(struct claims, exp, .required = true, .min = 0, .max = INT64_MAX),
    FIELD_I64(struct claims, iat, .required = true, .min = 0, .max = INT64_MAX),
    {0},
};

struct audience {
    struct texts many;
};
static const struct field AUDIENCE_FIELDS[] = {FIELD_TEXTS(struct audience, many, .item_max = 300), {0}};

/* aud is one text or a list. With several, azp must name us. */
static bool audience_is(struct arena *arena, const struct claims *claims, const char *client_id)
{
    bool list = claims->aud[0] == '[';
    const char *wrapped = arena_printf(arena, list ? "{\"many\":%s}" : "{\"many\":[%s]}", claims->aud);
    struct audience audience;
    struct err ignored = {0};
    if (!JSON_DECODE(arena, view_of(wrapped), AUDIENCE_FIELDS, &audience, &ignored))
        return false;
    if ((audience.many.count > 1 || claims->azp) && (!claims->azp || strcmp(claims->azp, client_id) != 0))
        return false;
    for (size_t i = 0; i < audience.many.count; i++)
        if (strcmp(audience.many.items[i], client_id) == 0)
            return true;
    return false;
}

static bool judge_claims(struct arena *arena, const struct claims *claims, const struct id_token_rules *rules,
                         struct err *err)
{
    if (strcmp(claims->iss, rules->issuer) != 0 &&
        (!rules->other_issuer || strcmp(claims->iss, rules->other_issuer) != 0))
        return refuse(err, "another issuer");
    if (!audience_is(arena, claims, rules->client_id))
        return refuse(err, "another audience");
    if (claims->exp <= rules->now_s - ID_TOKEN_SKEW_S)
        return refuse(err, "expired");
    if (claims->iat > rules->now_s + ID_TOKEN_SKEW_S)
        return refuse(err, "from the future");
    if (!claims->nonce || !crypto_equal(claims->nonce, strlen(claims->nonce), rules->nonce, strlen(rules->nonce)))
        return refuse(err, "another nonce");
    return true;
}

bool id_token_verify(struct arena *arena, const char *token, const struct id_token_rules *rules, struct view jwks,
                     struct id_token *out, bool *unknown_key, struct err *err)
{
    struct parts parts = {0};
    struct header header = {0};
    struct claims claims = {0};
    *unknown_key = false;
    if (!split(arena, token, &parts, err))
        return false;
    if (!JSON_DECODE_LENIENT(arena, parts.header, HEADER_FIELDS, &header, err) || header.crit)
        return refuse(err, "the header is not understood");
    const struct algorithm *algorithm = algorithm_of(header.alg);
    if (!algorithm)
        return refuse(err, "only RS256 and ES256 are taken");
    __attribute__((cleanup(pkey_release))) EVP_PKEY *key = find_key(jwks, algorithm, header.kid);
    *unknown_key = !key;
    if (!key)
        return refuse(err, "signed by an unknown key");
    if (!signature_right(&parts, algorithm, key))
        return refuse(err, "the signature is wrong");
    if (!JSON_DECODE_LENIENT(arena, parts.payload, CLAIMS_FIELDS, &claims, err))
        return refuse(err, "the claims are not complete");
    *out = (struct id_token){.subject = claims.sub,
                             .email = claims.email,
                             .name = claims.name,
                             .nickname = claims.nickname ? claims.nickname : claims.preferred_username,
                             .email_verified = json_says_true(claims.email_verified)};
    return judge_claims(arena, &claims, rules, err);
}
