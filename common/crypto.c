#include "crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char BASE64URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char HEX[] = "0123456789abcdef";

void crypto_random(void *bytes, size_t length)
{
    unsigned char *at = bytes;
    while (length > 0) {
        int piece = length > INT_MAX ? INT_MAX : (int)length;
        if (RAND_bytes(at, piece) != 1) {
            (void)fputs("{\"log.level\":\"error\",\"message\":\"no randomness\"}\n", stderr);
            abort();
        }
        at += piece;
        length -= (size_t)piece;
    }
}

/* Writes (length * 8 + 5) / 6 characters, no NUL. */
static size_t encode_base64url(const unsigned char *bytes, size_t length, char *out)
{
    size_t used = 0;
    uint32_t bits = 0;
    int count = 0;
    for (size_t i = 0; i < length; i++) {
        bits = bits << 8 | bytes[i];
        for (count += 8; count >= 6; count -= 6)
            out[used++] = BASE64URL[bits >> (count - 6) & 63];
    }
    if (count > 0)
        out[used++] = BASE64URL[bits << (6 - count) & 63];
    return used;
}

void crypto_random_text(char text[RANDOM_TEXT_BYTES])
{
    unsigned char bytes[32];
    crypto_random(bytes, sizeof bytes);
    text[encode_base64url(bytes, sizeof bytes, text)] = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
}

void crypto_random_digits(char *text, size_t digits)
{
    for (size_t i = 0; i < digits;) {
        unsigned char byte;
        crypto_random(&byte, 1);
        if (byte < 250) /* 250..255 would make 0 to 5 likelier */
            text[i++] = (char)('0' + byte % 10);
    }
    text[digits] = '\0';
}

void crypto_sha256(const void *bytes, size_t length, unsigned char out[SHA256_BYTES])
{
    SHA256(bytes, length, out);
}

void crypto_sha256_hex(const void *bytes, size_t length, char out[SHA256_HEX_BYTES])
{
    unsigned char hash[SHA256_BYTES];
    crypto_sha256(bytes, length, hash);
    crypto_hex(hash, sizeof hash, out);
}

void crypto_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                        unsigned char out[SHA256_BYTES])
{
    unsigned int out_length = SHA256_BYTES;
    if (key_length > INT_MAX ||
        !HMAC(EVP_sha256(), key_length ? key : "", (int)key_length, bytes, length, out, &out_length)) {
        (void)fputs("{\"log.level\":\"error\",\"message\":\"HMAC-SHA256 failed\"}\n", stderr);
        abort();
    }
}

bool crypto_equal(const void *a, size_t a_length, const void *b, size_t b_length)
{
    return a_length == b_length && (a_length == 0 || CRYPTO_memcmp(a, b, a_length) == 0);
}

void crypto_hex(const void *bytes, size_t length, char *out)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++) {
        *out++ = HEX[at[i] >> 4];
        *out++ = HEX[at[i] & 15];
    }
    *out = '\0';
}

void crypto_base64url(const void *bytes, size_t length, struct str *out)
{
    enum { PIECE = 192 }; /* a multiple of three, so that pieces join without a seam */
    const unsigned char *at = bytes;
    while (length > 0) {
        char text[PIECE / 3 * 4];
        size_t piece = length < PIECE ? length : PIECE;
        str_add_bytes(out, text, encode_base64url(at, piece, text));
        at += piece;
        length -= piece;
    }
}

static int base64url_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long crypto_base64url_decode(const char *text, size_t length, unsigned char *out)
{
    if (length % 4 == 1 || length > LONG_MAX)
        return -1;
    long used = 0;
    uint32_t bits = 0;
    int count = 0;
    for (size_t i = 0; i < length; i++) {
        int value = base64url_value((unsigned char)text[i]);
        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[used++] = (unsigned char)(bits >> count & 255);
        }
    }
    /* Bits that no byte takes must be zero, or one value would have several texts. */
    if (bits & ((1U << count) - 1))
        return -1;
    return used;
}
