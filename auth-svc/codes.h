/* codes.h - the rules of six-digit codes: what they can be for, where they go, and how they are kept.
 * Pure, but for randomness. */
#ifndef AUTH_CODES_H
#define AUTH_CODES_H

#include "account.h"
#include "secret.h"

enum { CODE_DIGITS = 6 };

struct code_purpose {
    const char *name;
    bool by_sms;        /* the address is a phone number, else an e-mail address */
    bool needs_account; /* nothing leaves when nobody has the address */
    bool gives_proof;   /* else the answer itself is what was asked for */
};
/* NULL for an unknown one. */
const struct code_purpose *code_purpose_find(const char *name);

/* The form of the address that is compared, from the field the purpose needs; the other one must be absent. Fields of
 * err. */
const char *code_address(struct arena *arena, const struct code_purpose *purpose, const char *email, const char *phone,
                         struct err *err);
void code_mac(const struct secret *secret, const struct code_purpose *purpose, const char *address, const char *code,
              unsigned char mac[SHA256_BYTES]);

#endif
