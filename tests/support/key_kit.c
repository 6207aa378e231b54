#include "key_kit.h"

#include "clock.h"
#include "crypto.h"
#include "mem.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

struct key_kit {
    char kid[64];
    EVP_PKEY *key;
    char *private_pem, *public_pem;
    unsigned char point[65];
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "key_kit: %s failed\n", what);
        abort();
    }
}

static char *pem_of(EVP_PKEY *key, bool private_part)
{
    BIO *bio = BIO_new(BIO_s_mem());
    must(private_part ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) : PEM_write_bio_PUBKEY(bio, key),
         "writing PEM");
    char *bytes;
    long length = BIO_get_mem_data(bio, &bytes);
    char *text = mem_new((size_t)length + 1, 1);
    memcpy(text, bytes, (size_t)length);
    BIO_free(bio);
    return text;
}

struct key_kit *key_kit_new(const char *kid)
{
    struct key_kit *kit = MEM_NEW(key_kit);
    (void)snprintf(kit->kid, sizeof kit->kid, "%s", kid);
    kit->key = EVP_EC_gen("P-256");
    must(kit->key, "making a key");
    size_t length = 0;
    must(EVP_PKEY_get_octet_string_param(kit->key, OSSL_PKEY_PARAM_PUB_KEY, kit->point, sizeof kit->point, &length) &&
             length == sizeof kit->point,
         "reading the point");
    kit->private_pem = pem_of(kit->key, true);
    kit->public_pem = pem_of(kit->key, false);
    return kit;
}

void key_kit_release(struct key_kit **kit)
{
    struct key_kit *old = TAKE(*kit);
    if (!old)
        return;
    EVP_PKEY_free(old->key);
    free(old->private_pem);
    free(old->public_pem);
    free(old);
}

const char *key_kit_kid(const struct key_kit *kit)
{
    return kit->kid;
}

const char *key_kit_private_pem(const struct key_kit *kit)
{
    return kit->private_pem;
}

const char *key_kit_public_pem(const struct key_kit *kit)
{
    return kit->public_pem;
}

void key_kit_jwk(const struct key_kit *kit, struct str *out)
{
    str_printf(out, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"%s\",\"x\":\"",
               kit->kid);
    crypto_base64url(kit->point + 1, 32, out);
    str_add(out, "\",\"y\":\"");
    crypto_base64url(kit->point + 33, 32, out);
    str_add(out, "\"}");
}

void key_kit_jwks(const struct key_kit *const *kits, struct str *out)
{
    str_add(out, "{\"keys\":[");
    for (size_t i = 0; kits[i]; i++) {
        str_add(out, i ? "," : "");
        key_kit_jwk(kits[i], out);
    }
    str_add(out, "]}");
}

/* r and s of the DER signature as 32 bytes each. */
static void raw_signature(const struct key_kit *kit, const struct str *input, unsigned char out[64])
{
    unsigned char der[80];
    size_t length = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, kit->key) == 1 &&
             EVP_DigestSign(context, der, &length, (const unsigned char *)input->bytes, input->length) == 1,
         "signing");
    EVP_MD_CTX_free(context);
    const unsigned char *at = der;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)length);
    must(signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, 32) == 32 &&
             BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + 32, 32) == 32,
         "reading the signature");
    ECDSA_SIG_free(signature);
}

void key_kit_sign(const struct key_kit *kit, const char *header, const char *payload, struct str *out)
{
    AUTO_STR input;
    str_init(&input);
    crypto_base64url(header, strlen(header), &input);
    str_add_char(&input, '.');
    crypto_base64url(payload, strlen(payload), &input);
    unsigned char signature[64];
    raw_signature(kit, &input, signature);
    str_add_bytes(out, input.bytes, input.length);
    str_add_char(out, '.');
    crypto_base64url(signature, sizeof signature, out);
}

void key_kit_token(const struct key_kit *kit, const struct identity *identity, const char *audience, struct str *out)
{
    struct err err = {0};
    must(token_sign(identity, kit->private_pem, kit->kid, audience, out, &err), "token_sign");
}

struct identity key_kit_identity(void)
{
    struct identity identity = {.role = ROLE_USER, .role_version = 3, .handle = "mina", .nickname = "미나"};
    uuid_new(identity.user_id);
    uuid_new(identity.session_id);
    identity.issued_at_s = clock_now_ms() / 1000;
    identity.expires_at_s = identity.issued_at_s + 300;
    return identity;
}
