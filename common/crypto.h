/* crypto.h - what we need of OpenSSL, in plain words. Bytes in, bytes out; nothing is kept. Thread-safe.
 * Randomness comes from RAND_bytes; a machine that can't give it ends the process. */
#ifndef MADANG_CRYPTO_H
#define MADANG_CRYPTO_H

#include "str.h"

#include <stdbool.h>
#include <stddef.h>

enum { SHA256_BYTES = 32, SHA256_HEX_BYTES = 65, RANDOM_TEXT_BYTES = 44 };

void crypto_random(void *bytes, size_t length);
/* 256 random bits as base64url without padding: 43 characters and a NUL. */
void crypto_random_text(char text[RANDOM_TEXT_BYTES]);
/* `digits` decimal digits, each equally likely, and a NUL. */
void crypto_random_digits(char *text, size_t digits);
void crypto_sha256(const void *bytes, size_t length, unsigned char out[SHA256_BYTES]);
void crypto_sha256_hex(const void *bytes, size_t length, char out[SHA256_HEX_BYTES]);
void crypto_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                        unsigned char out[SHA256_BYTES]);
/* True when both are equal; the time depends only on the lengths. */
bool crypto_equal(const void *a, size_t a_length, const void *b, size_t b_length);
void crypto_hex(const void *bytes, size_t length, char *out); /* 2 * length characters and a NUL */
/* base64url without padding (RFC 4648 section 5): strict, no white space, no stray bits at the end. */
void crypto_base64url(const void *bytes, size_t length, struct str *out);
/* Bytes written to `out` (room: length * 3 / 4 + 3), or -1. */
long crypto_base64url_decode(const char *text, size_t length, unsigned char *out);

#endif
