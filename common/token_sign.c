#include "token.h"

#include <jwt.h>
#include <stdlib.h>
#include <string.h>

/* All of them; jti only where there is one. */
static bool add_claims(jwt_t *jwt, const struct identity *identity, const char *audience)
{
    const struct {
        const char *name, *value;
    } texts[] = {
        {"iss", TOKEN_ISSUER},
        {"aud", audience},
        {"sub", identity->user_id},
        {"sid", identity->session_id},
        {"role", role_name(identity->role)},
        {"handle", identity->handle},
        {"name", identity->nickname},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (jwt_add_grant(jwt, texts[i].name, texts[i].value) != 0)
            return false;
    return (!identity->jti[0] || jwt_add_grant(jwt, "jti", identity->jti) == 0) &&
           jwt_add_grant_int(jwt, "rv", (long)identity->role_version) == 0 &&
           jwt_add_grant_int(jwt, "iat", (long)identity->issued_at_s) == 0 &&
           jwt_add_grant_int(jwt, "exp", (long)identity->expires_at_s) == 0;
}

bool token_sign(const struct identity *identity, const char *key_pem, const char *kid, const char *audience,
                struct str *out, struct err *err)
{
    jwt_t *jwt = NULL;
    if (jwt_new(&jwt) != 0)
        return err_set_internal(err, &ERR_INTERNAL, "token: libjwt has no memory");
    char *text = NULL;
    if (add_claims(jwt, identity, audience) && jwt_add_header(jwt, "kid", kid) == 0 &&
        jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)key_pem, (int)strlen(key_pem)) == 0)
        text = jwt_encode_str(jwt);
    jwt_free(jwt);
    if (!text)
        return err_set_internal(err, &ERR_INTERNAL, "token: libjwt could not sign with key %s", kid);
    str_add(out, text);
    free(text);
    return true;
}
