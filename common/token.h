/* token.h - who is calling: verifies access tokens (ES256 JWT, RFC 7515/7518/7519) against the key set, with a cache.
 *
 * A token is good when: three strict base64url parts, header {alg: ES256, kid known, no crit}, signature right, iss and
 * aud ours, exp in the future and iat not in the future (leeway 10 s), claims complete and bounded - and its session
 * has not ended and its role version is not below the least one (revoked.h). A verified token is kept in a 4-way set
 * associative cache until it expires (the whole token is compared), but sid and rv are looked up each time.
 * Threads: a verifier is thread-safe; the gateway opens one per loop, with its own cache, sharing keys and revocations.
 */
#ifndef MADANG_TOKEN_H
#define MADANG_TOKEN_H

#include "errors.h"
#include "str.h"
#include "uuid.h"

#include <stdint.h>

enum role { ROLE_GUEST, ROLE_USER, ROLE_TUTOR, ROLE_ADMIN, ROLES };

struct identity {
    char user_id[UUID_TEXT_BYTES];
    char session_id[UUID_TEXT_BYTES];
    enum role role;
    int64_t role_version;
    char handle[64];
    char nickname[96];
    int64_t issued_at_s, expires_at_s;
    char jti[UUID_TEXT_BYTES]; /* tickets only */
};

const char *role_name(enum role role);
bool role_parse(const char *name, enum role *role);

/* The public keys in use: an immutable snapshot that is swapped when the set changes. */
struct keyset;
struct keyset *keyset_open(void);
void keyset_release(struct keyset **keys);
/* Takes a JWKS document (RFC 7517): keys that are not EC P-256 for signatures are skipped; the old set stays when the
 * document is wrong. `generation` of the set grows when it changed. */
bool keyset_load_jwks(struct keyset *keys, struct view jwks, struct err *err);
size_t keyset_count(const struct keyset *keys);

/* Sessions that ended and least role versions. */
struct revoked;
struct revoked *revoked_open(void);
void revoked_release(struct revoked **revoked);
void revoked_add_session(struct revoked *revoked, const struct uuid *session, int64_t until_ms);
void revoked_add_user(struct revoked *revoked, const struct uuid *user, int64_t least_role_version, int64_t until_ms);
bool revoked_session(const struct revoked *revoked, const struct uuid *session);
int64_t revoked_least_role_version(const struct revoked *revoked, const struct uuid *user); /* 0: none */
size_t revoked_count(const struct revoked *revoked);

struct token_options {
    struct keyset *keys;                /* lent */
    struct revoked *revoked;            /* lent */
    const char *issuer;                 /* "madang" */
    const char *audience;               /* "madang" for access tokens, "ticket" for socket tickets */
    size_t cache_entries;               /* 0: no cache; rounded up to a power of two; about 1.2 kB each when filled */
    void (*unknown_kid)(void *payload); /* asks for a fresh key set (auth_feed_refresh); may be NULL */
    bool (*ready)(
        void *payload); /* keys and revocations are known (auth_feed_ready); until then: unavailable. NULL: always */
    void *payload;
};
#define TOKEN_ISSUER "madang"
#define TOKEN_AUDIENCE "madang"
#define TICKET_AUDIENCE "ticket"

struct token_verifier;
struct token_verifier *token_verifier_open(const struct token_options *options, struct err *err);
void token_verifier_release(struct token_verifier **verifier);

/* `token` is the compact form without "Bearer ". err: token_invalid, token_expired, session_ended, token_stale.
 * An expired token with a good signature says token_expired, all other faults token_invalid. Before the first key set
 * and the first list of revocations nobody can be believed or refused: unavailable. */
bool token_verify(struct token_verifier *verifier, struct view token, struct identity *identity, struct err *err);

/* The same for a token that was verified before and is remembered, which costs next to nothing. TOKEN_STRANGE: it is
 * not; ask token_verify. TOKEN_REFUSED: it has expired or ended since, err says which. */
enum token_recall { TOKEN_STRANGE, TOKEN_GOOD, TOKEN_REFUSED };
enum token_recall token_recall(struct token_verifier *verifier, struct view token, struct identity *identity,
                               struct err *err);

/* Splits and decodes a token without believing it (fuzzed): the three parts, alg and kid. */
struct token_parts {
    struct view signing_input; /* header.payload */
    unsigned char signature[64];
    char kid[64];
    size_t payload_length;
    unsigned char payload[2048]; /* NUL-terminated JSON */
};
bool token_split(struct view token, struct token_parts *parts, struct err *err);

/* Signs an identity as the compact token: auth-svc and tests. `key_pem`: EC P-256 private key in PEM. Uses libjwt. */
bool token_sign(const struct identity *identity, const char *key_pem, const char *kid, const char *audience,
                struct str *out, struct err *err);

/* The thread that follows auth-svc: the key set each 30 s (and once, at most every 5 s, when a kid is unknown) and
 * GET /internal/revoked?after=N each second. Asks the instance that `find` names (registry), keeps what it knows while
 * auth-svc is away. */
struct auth_feed;
struct auth_feed_options {
    struct keyset *keys;
    struct revoked *revoked;
    /* Writes an address "host:port" of auth-svc; false when none is known. Called on the feed's thread. */
    bool (*find)(void *payload, char *address, size_t size);
    void *payload;
};
struct auth_feed *auth_feed_start(const struct auth_feed_options *options, struct err *err);
void auth_feed_release(struct auth_feed **feed);
bool auth_feed_ready(void *feed);   /* both have answered once; a ready_check */
void auth_feed_refresh(void *feed); /* asks for keys soon; never waits */

#endif
