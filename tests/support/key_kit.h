/* key_kit.h - keys for tests: a fresh P-256 key, its JWKS, and tokens with any header and payload, right or wrong,
 * signed by OpenSSL alone (so that token_sign's libjwt and this check each other). Threads: one at a time. */
#ifndef MADANG_KEY_KIT_H
#define MADANG_KEY_KIT_H

#include "str.h"
#include "token.h"

struct key_kit;

struct key_kit *key_kit_new(const char *kid);
void key_kit_release(struct key_kit **kit);
const char *key_kit_kid(const struct key_kit *kit);
const char *key_kit_private_pem(const struct key_kit *kit);
const char *key_kit_public_pem(const struct key_kit *kit);
void key_kit_jwk(const struct key_kit *kit, struct str *out);
/* {"keys":[...]} of a NULL-ended list. */
void key_kit_jwks(const struct key_kit *const *kits, struct str *out);

/* base64url(header).base64url(payload).ES256 */
void key_kit_sign(const struct key_kit *kit, const char *header, const char *payload, struct str *out);
/* What auth-svc would issue now for five minutes. */
void key_kit_token(const struct key_kit *kit, const struct identity *identity, const char *audience, struct str *out);
/* Somebody with fresh ids, role user, valid from now for five minutes. */
struct identity key_kit_identity(void);

#endif
