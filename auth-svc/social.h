/* social.h - log-in by outside parties: Kakao, Naver, Google, and any OpenID Connect provider named in SOCIAL_OIDC.
 *
 * One table row per provider says what differs; the flow is the same: authorization code with state, nonce where there
 * is an id_token, PKCE where it is honoured. What each one wants and sends: README.md, "Social log-in". Endpoints of
 * generic providers come from their discovery document (kept 1 h); key sets are kept 1 h and read again for an unknown
 * key, at most once per SOCIAL_KEYS_SECONDS. Thread-safe. Nothing here touches the database. */
#ifndef AUTH_SOCIAL_H
#define AUTH_SOCIAL_H

#include "config.h"
#include "store.h"

struct provider;

/* Fails on a wrong SOCIAL_OIDC or SOCIAL_RETURN_TO, naming it. */
struct social *social_open(const struct auth_config *cfg, struct err *err);
void social_release(struct social **social);

/* NULL: not offered here. */
struct provider *social_find(struct social *social, const char *name);
const char *social_provider_name(const struct provider *provider);
/* `wanted` when it is on the list, the first of the list when it is NULL, else NULL. */
const char *social_return_to(const struct social *social, const char *wanted);

/* Few callbacks may talk to providers at a time, so that a slow one can't take every worker. */
bool social_enter(struct social *social);
void social_leave(struct social *social);

/* The address of the provider's log-in page, from the arena. `state`, `nonce`, `verifier`: fresh random texts. */
const char *social_authorize_url(struct social *social, struct provider *provider, struct arena *arena,
                                 const char *state, const char *nonce, const char *verifier, struct err *err);

/* Swaps the code at the provider and asks who it is. ERR_UNAVAILABLE or ERR_BAD_INPUT with the reason for the log. */
bool social_identify(struct social *social, struct provider *provider, struct arena *arena, const char *code,
                     const char *state, const char *nonce, const char *verifier, struct social_person *person,
                     struct err *err);

#endif
