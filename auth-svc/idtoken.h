/* idtoken.h - checks an OpenID Connect id_token (OpenID Connect Core 3.1.3.7): signature by a key of the provider's
 * set, RS256 or ES256 and nothing else, issuer, audience, times, nonce. Pure: keys and time come from the caller. */
#ifndef AUTH_IDTOKEN_H
#define AUTH_IDTOKEN_H

#include "arena.h"
#include "errors.h"
#include "str.h"

#include <stdint.h>

enum { ID_TOKEN_SKEW_S = 60 };

struct id_token_rules {
    const char *issuer, *other_issuer; /* the second may be NULL (Google writes its own in two ways) */
    const char *client_id, *nonce;
    int64_t now_s;
};

/* Texts are NULL when absent; they live in the arena. */
struct id_token {
    const char *subject, *email, *name, *nickname;
    bool email_verified;
};

/* ERR_BAD_INPUT with the reason in `message`. *unknown_key: the set has no key of that kid, a newer set might. */
bool id_token_verify(struct arena *arena, const char *token, const struct id_token_rules *rules, struct view jwks,
                     struct id_token *out, bool *unknown_key, struct err *err);

/* true or "true": providers write both. `raw` is JSON, or NULL. */
bool json_says_true(const char *raw);

#endif
