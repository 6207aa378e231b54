/* social_parts.h - what social.c (who the providers are) and social_flow.c (talking to them) share. For them alone. */
#ifndef AUTH_SOCIAL_PARTS_H
#define AUTH_SOCIAL_PARTS_H

#include "httpclient.h"
#include "idtoken.h"
#include "problems.h"
#include "social.h"

#include <pthread.h>
#include <stdatomic.h>

enum { PROVIDERS_MAX = 16, RETURN_TO_MAX = 32, DISCOVERY_MS = 3600 * 1000, ENDPOINT_BYTES = 512 };

/* Where a provider is reached. "" : it has none. */
struct endpoints {
    char authorize_url[ENDPOINT_BYTES], token_url[ENDPOINT_BYTES], user_url[ENDPOINT_BYTES], jwks_url[ENDPOINT_BYTES];
    bool pkce, basic_auth; /* credentials in the header instead of the form */
};

/* One call's context. */
struct social_call {
    struct social *social;
    struct provider *provider;
    struct arena *arena;
    struct endpoints endpoints;
    const char *code, *state, *nonce, *verifier;
    const char *access_token, *id_token; /* of the token reply */
};

struct provider {
    const char *name, *client_id, *client_secret, *scope;
    const char *issuer, *other_issuer; /* "" : sends no id_token */
    bool discovers;                    /* endpoints come from the issuer */
    bool state_at_token;               /* Naver wants the state again */
    bool trust_email;                  /* its email_verified may link accounts */
    /* Fills the person from what the provider says after the token reply. */
    bool (*identify)(struct social_call *call, struct social_person *person, struct err *err);

    pthread_mutex_t mutex; /* of what follows */
    struct endpoints endpoints;
    int64_t discovered_ms; /* monotonic; 0: never */
    struct str jwks;
    int64_t jwks_ms; /* monotonic; 0: never */
};

struct social {
    const struct auth_config *cfg;
    struct httpclient *http;
    struct provider providers[PROVIDERS_MAX];
    size_t provider_count;
    char *return_to_list; /* the setting, cut into the texts below */
    const char *return_to[RETURN_TO_MAX];
    size_t return_to_count;
    void *oidc; /* the parsed SOCIAL_OIDC, which owns the texts of generic providers */
    atomic_int inside;
    int inside_max;
};

bool identify_kakao(struct social_call *call, struct social_person *person, struct err *err);
bool identify_naver(struct social_call *call, struct social_person *person, struct err *err);
bool identify_openid(struct social_call *call, struct social_person *person, struct err *err);

/* A copy of the provider's endpoints, discovered when they are not known or too old. */
bool provider_endpoints(struct social *social, struct provider *provider, struct arena *arena,
                        struct endpoints *endpoints, struct err *err);
/* A copy of its key set from the arena; `newer`: the kept one did not have the key. */
bool provider_jwks(struct social_call *call, bool newer, struct view *jwks, struct err *err);

/* GET with an optional bearer token; the body of a 200. */
bool social_get(struct social *social, struct arena *arena, const char *url, const char *bearer, struct view *body,
                struct err *err);

#endif
