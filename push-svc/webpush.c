#include "webpush.h"

#include "crypto.h"
#include "json.h"
#include "mem.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <stdlib.h>

enum { SALT_BYTES = 16, TAG_BYTES = 16, KEY_BYTES = 16, NONCE_BYTES = 12, RECORD_BYTES = 4096, SECRET_BYTES = 32 };

/* ---- P-256 ---- */

/* The public point of a private key; false when the number is none. */
static bool public_of(const unsigned char private_key[VAPID_KEY_BYTES], unsigned char point[VAPID_POINT_BYTES])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *number = BN_bin2bn(private_key, VAPID_KEY_BYTES, NULL);
    EC_POINT *made = group ? EC_POINT_new(group) : NULL;
    const bool good = made && number && !BN_is_zero(number) && BN_cmp(number, EC_GROUP_get0_order(group)) < 0 &&
                      EC_POINT_mul(group, made, number, NULL, NULL, NULL) == 1 &&
                      EC_POINT_point2oct(group, made, POINT_CONVERSION_UNCOMPRESSED, point, VAPID_POINT_BYTES, NULL) ==
                          VAPID_POINT_BYTES;
    EC_POINT_free(made);
    BN_clear_free(number);
    EC_GROUP_free(group);
    return good;
}

/* `private_key` NULL: a public key. NULL when the point is not on the curve. */
static EVP_PKEY *key_of(const unsigned char *private_key, const unsigned char point[VAPID_POINT_BYTES])
{
    EVP_PKEY *key = NULL;
    BIGNUM *number = private_key ? BN_bin2bn(private_key, VAPID_KEY_BYTES, NULL) : NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    const bool built =
        build && context && (!private_key || number) &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, VAPID_POINT_BYTES) == 1 &&
        (!number || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number) == 1) &&
        (params = OSSL_PARAM_BLD_to_param(build)) != NULL;
    if (built && (EVP_PKEY_fromdata_init(context) != 1 ||
                  EVP_PKEY_fromdata(context, &key, private_key ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1))
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(context);
    BN_clear_free(number);
    return key;
}

bool webpush_key_valid(const unsigned char point[VAPID_POINT_BYTES])
{
    if (point[0] != 4) /* uncompressed: the only form browsers give */
        return false;
    EVP_PKEY *key = key_of(NULL, point);
    EVP_PKEY_CTX *context = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    const bool valid = context && EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    return valid;
}

void vapid_generate(unsigned char private_key[VAPID_KEY_BYTES])
{
    unsigned char point[VAPID_POINT_BYTES];
    do
        crypto_random(private_key, VAPID_KEY_BYTES);
    while (!public_of(private_key, point)); /* once in 2^32 */
}

static bool shared_secret(EVP_PKEY *own, EVP_PKEY *peer, unsigned char secret[SECRET_BYTES])
{
    size_t length = SECRET_BYTES;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    const bool good = context && EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, peer) == 1 &&
                      EVP_PKEY_derive(context, secret, &length) == 1 && length == SECRET_BYTES;
    EVP_PKEY_CTX_free(context);
    return good;
}

/* ---- HKDF of at most one block (RFC 5869) ---- */

static void expand(const unsigned char key[SHA256_BYTES], const void *info, size_t length,
                   unsigned char out[SHA256_BYTES])
{
    unsigned char input[256];
    memcpy(input, info, length);
    input[length] = 1;
    crypto_hmac_sha256(key, SHA256_BYTES, input, length + 1, out);
}

struct derived {
    unsigned char key[SHA256_BYTES], nonce[SHA256_BYTES]; /* the first KEY_BYTES and NONCE_BYTES count */
};

static void derive(const unsigned char auth[16], const unsigned char secret[SECRET_BYTES], const unsigned char *browser,
                   const unsigned char *ours, const unsigned char salt[SALT_BYTES], struct derived *out)
{
    static const char KEY_INFO[] = "Content-Encoding: aes128gcm",
                      NONCE_INFO[] = "Content-Encoding: nonce"; /* their NUL belongs to them */
    unsigned char first[SHA256_BYTES], input[SHA256_BYTES], second[SHA256_BYTES];
    unsigned char info[14 + 2 * VAPID_POINT_BYTES] = "WebPush: info";
    memcpy(info + 14, browser, VAPID_POINT_BYTES);
    memcpy(info + 14 + VAPID_POINT_BYTES, ours, VAPID_POINT_BYTES);
    crypto_hmac_sha256(auth, 16, secret, SECRET_BYTES, first);
    expand(first, info, sizeof info, input);
    crypto_hmac_sha256(salt, SALT_BYTES, input, sizeof input, second);
    expand(second, KEY_INFO, sizeof KEY_INFO, out->key);
    expand(second, NONCE_INFO, sizeof NONCE_INFO, out->nonce);
    OPENSSL_cleanse(first, sizeof first);
    OPENSSL_cleanse(input, sizeof input);
    OPENSSL_cleanse(second, sizeof second);
}

/* ---- one message ---- */

void webpush_chance(struct webpush_chance *chance)
{
    crypto_random(chance->salt, sizeof chance->salt);
    vapid_generate(chance->private_key);
}

/* plain, 02 (the last record), no padding -> ciphertext and tag. */
static bool encrypt(const struct derived *derived, struct view plain, struct str *out)
{
    static const unsigned char LAST = 2;
    unsigned char cipher[RECORD_BYTES], tag[TAG_BYTES];
    int used = 0, more = 0, end = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const bool good = context &&
                      EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, derived->key, derived->nonce) == 1 &&
                      EVP_EncryptUpdate(context, cipher, &used, (const void *)plain.bytes, (int)plain.length) == 1 &&
                      EVP_EncryptUpdate(context, cipher + used, &more, &LAST, 1) == 1 &&
                      EVP_EncryptFinal_ex(context, cipher + used + more, &end) == 1 &&
                      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1;
    EVP_CIPHER_CTX_free(context);
    if (good) {
        str_add_bytes(out, cipher, (size_t)used + (size_t)more + (size_t)end);
        str_add_bytes(out, tag, sizeof tag);
    }
    return good;
}

bool webpush_seal(const unsigned char p256dh[VAPID_POINT_BYTES], const unsigned char auth[16], struct view plain,
                  const struct webpush_chance *chance, struct str *out, struct err *err)
{
    static const unsigned char SIZES[] = {0, 0, RECORD_BYTES >> 8, RECORD_BYTES & 255, VAPID_POINT_BYTES};
    unsigned char ours[VAPID_POINT_BYTES], secret[SECRET_BYTES];
    struct derived derived;
    if (plain.length > WEBPUSH_PLAIN_MAX)
        return err_set(err, &ERR_BAD_INPUT, "longer than one record");
    EVP_PKEY *peer = key_of(NULL, p256dh);
    EVP_PKEY *own = public_of(chance->private_key, ours) ? key_of(chance->private_key, ours) : NULL;
    bool good = peer && own && shared_secret(own, peer, secret);
    if (good) {
        derive(auth, secret, p256dh, ours, chance->salt, &derived);
        str_add_bytes(out, chance->salt, SALT_BYTES);
        str_add_bytes(out, SIZES, sizeof SIZES);
        str_add_bytes(out, ours, sizeof ours);
        good = encrypt(&derived, plain, out);
    }
    EVP_PKEY_free(own);
    EVP_PKEY_free(peer);
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(&derived, sizeof derived);
    return good || err_set_internal(err, &ERR_INTERNAL, "a web push could not be encrypted");
}

void webpush_topic(const char *collapse_key, char topic[WEBPUSH_TOPIC_BYTES])
{
    unsigned char hash[SHA256_BYTES];
    AUTO_STR text;
    str_init(&text);
    crypto_sha256(collapse_key, strlen(collapse_key), hash);
    crypto_base64url(hash, sizeof hash, &text);
    memcpy(topic, text.bytes, WEBPUSH_TOPIC_BYTES - 1);
    topic[WEBPUSH_TOPIC_BYTES - 1] = '\0';
}

/* ---- VAPID ---- */

struct vapid {
    EVP_PKEY *key;
    struct str public_text;
    char *subject;
};

struct vapid *vapid_open(const unsigned char private_key[VAPID_KEY_BYTES], const char *subject, struct err *err)
{
    unsigned char point[VAPID_POINT_BYTES];
    AUTO(vapid) vapid = MEM_NEW(vapid);
    str_init(&vapid->public_text);
    vapid->subject = mem_text(subject);
    if (strncmp(subject, "mailto:", 7) != 0 && strncmp(subject, "https://", 8) != 0) {
        err_set(err, &ERR_BAD_INPUT, "VAPID_SUBJECT must be mailto: or https:");
        return NULL;
    }
    if (!public_of(private_key, point) || !(vapid->key = key_of(private_key, point))) {
        err_set(err, &ERR_BAD_INPUT, "VAPID_PRIVATE_KEY is not a private key of P-256");
        return NULL;
    }
    crypto_base64url(point, sizeof point, &vapid->public_text);
    return TAKE(vapid);
}

void vapid_release(struct vapid **place)
{
    struct vapid *vapid = TAKE(*place);
    if (!vapid)
        return;
    EVP_PKEY_free(vapid->key);
    str_free(&vapid->public_text);
    free(vapid->subject);
    free(vapid);
}

const char *vapid_public(const struct vapid *vapid)
{
    return vapid->public_text.bytes;
}

/* ES256 wants r and s side by side, OpenSSL gives them in DER. */
static bool sign_es256(EVP_PKEY *key, const struct str *input, unsigned char raw[64])
{
    unsigned char der[128];
    const unsigned char *at = der;
    size_t length = sizeof der;
    ECDSA_SIG *pair = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool good = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                      EVP_DigestSign(context, der, &length, (const void *)input->bytes, input->length) == 1 &&
                      (pair = d2i_ECDSA_SIG(NULL, &at, (long)length)) != NULL &&
                      BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, 32) == 32 &&
                      BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + 32, 32) == 32;
    ECDSA_SIG_free(pair);
    EVP_MD_CTX_free(context);
    return good;
}

bool vapid_authorization(const struct vapid *vapid, const char *origin, int64_t now_s, struct str *out, struct err *err)
{
    static const char HEADER[] = "{\"typ\":\"JWT\",\"alg\":\"ES256\"}";
    unsigned char signature[64];
    AUTO_STR claims, token;
    str_init(&claims);
    str_init(&token);
    json_open(&claims, NULL, '{');
    json_text(&claims, "aud", origin);
    json_i64(&claims, "exp", now_s + VAPID_TOKEN_S);
    json_text(&claims, "sub", vapid->subject);
    json_close(&claims, '}');
    crypto_base64url(HEADER, sizeof HEADER - 1, &token);
    str_add_char(&token, '.');
    crypto_base64url(claims.bytes, claims.length, &token);
    if (!sign_es256(vapid->key, &token, signature))
        return err_set_internal(err, &ERR_INTERNAL, "VAPID could not be signed");
    str_add_char(&token, '.');
    crypto_base64url(signature, sizeof signature, &token);
    str_printf(out, "vapid t=%s, k=%s", token.bytes, vapid->public_text.bytes);
    return true;
}
