/* secret.h - the server key: what it is mixed into can be checked but not made without it.
 * Each use has a purpose of its own, so a value of one can't stand for another. */
#ifndef AUTH_SECRET_H
#define AUTH_SECRET_H

#include "crypto.h"

struct secret {
    unsigned char key[SHA256_BYTES];
};

void secret_init(struct secret *secret, const void *bytes, size_t length);
/* HMAC-SHA256(key, purpose NUL bytes). */
void secret_mac(const struct secret *secret, const char *purpose, const void *bytes, size_t length,
                unsigned char out[SHA256_BYTES]);

#endif
