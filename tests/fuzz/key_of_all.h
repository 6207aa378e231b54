/* key_of_all.h - a P-256 key that everybody knows (its private number is 1, 2, 3 ... 32), for fuzz_token and its seeds.
 */
#ifndef MADANG_KEY_OF_ALL_H
#define MADANG_KEY_OF_ALL_H

#include "crypto.h"
#include "str.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#define FUZZ_NOW_S INT64_C(1767225600) /* 2026-01-01T00:00:00Z */

static EVP_PKEY *key_of_all;
static unsigned char key_of_all_point[65];

static void key_of_all_make(void)
{
    unsigned char number[32];
    for (size_t i = 0; i < sizeof number; i++)
        number[i] = (unsigned char)(i + 1);
    BIGNUM *secret = BN_bin2bn(number, sizeof number, NULL);
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = EC_POINT_new(group);
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (EC_POINT_mul(group, point, secret, NULL, NULL, NULL) != 1 ||
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, key_of_all_point, sizeof key_of_all_point,
                           NULL) != sizeof key_of_all_point ||
        !OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) ||
        !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret) ||
        !OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, key_of_all_point, sizeof key_of_all_point))
        abort();
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    if (EVP_PKEY_fromdata_init(maker) != 1 || EVP_PKEY_fromdata(maker, &key_of_all, EVP_PKEY_KEYPAIR, params) != 1)
        abort();
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(maker);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    BN_free(secret);
}

static inline void key_of_all_jwks(struct str *out)
{
    if (!key_of_all)
        key_of_all_make();
    str_add(out,
            "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"k1\",\"x\":\"");
    crypto_base64url(key_of_all_point + 1, 32, out);
    str_add(out, "\",\"y\":\"");
    crypto_base64url(key_of_all_point + 33, 32, out);
    str_add(out, "\"}]}");
}

static inline void key_of_all_sign(struct view header, struct view payload, struct str *out)
{
    if (!key_of_all)
        key_of_all_make();
    crypto_base64url(header.bytes, header.length, out);
    str_add_char(out, '.');
    crypto_base64url(payload.bytes, payload.length, out);
    unsigned char der[80], raw[64];
    size_t der_length = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key_of_all) != 1 ||
        EVP_DigestSign(context, der, &der_length, (const unsigned char *)out->bytes, out->length) != 1)
        abort();
    EVP_MD_CTX_free(context);
    const unsigned char *at = der;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)der_length);
    if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, 32) != 32 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + 32, 32) != 32)
        abort();
    ECDSA_SIG_free(signature);
    str_add_char(out, '.');
    crypto_base64url(raw, sizeof raw, out);
}

#endif
