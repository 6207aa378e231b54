#include "secret.h"

#include <string.h>

void secret_init(struct secret *secret, const void *bytes, size_t length)
{
    static const char CONTEXT[] = "madang auth-svc server key";
    crypto_hmac_sha256(CONTEXT, sizeof CONTEXT - 1, bytes, length, secret->key);
}

void secret_mac(const struct secret *secret, const char *purpose, const void *bytes, size_t length,
                unsigned char out[SHA256_BYTES])
{
    AUTO_STR input = {0};
    str_add_bytes(&input, purpose, strlen(purpose) + 1);
    str_add_bytes(&input, bytes, length);
    crypto_hmac_sha256(secret->key, sizeof secret->key, input.bytes, input.length, out);
}
