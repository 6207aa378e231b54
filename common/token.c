#include "token.h"

#include "clock.h"
#include "crypto.h"
#include "json.h"
#include "keyset.h"
#include "mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEEWAY_S = 10,
    LIFE_MAX_S = 24 * 3600, /* a token that claims to live longer is none of ours */
    WAYS = 4,
    SHARDS = 16, /* locks; a set belongs to one */
    CACHE_ENTRIES_MAX = 1 << 20,
    TOKEN_TEXT_MIN = 100, /* the signature alone has 86 characters */
    TOKEN_TEXT_MAX = 4096,
    ARENA_MAX = 64 * 1024,
    CACHE_LINE = 64,
};

/* A verified token, as it was presented and as it was understood: about 400 bytes and the token's length. */
struct known {
    uint64_t epoch; /* of the key set */
    struct uuid session, user;
    struct identity identity;
    size_t token_length;
    char token[];
};

/* A set is one cache line. */
struct set {
    struct {
        uint64_t hash;
        struct known *known; /* NULL: free */
    } ways[WAYS];
} __attribute__((aligned(CACHE_LINE)));

struct shard {
    pthread_mutex_t lock;
} __attribute__((aligned(CACHE_LINE)));

struct token_verifier {
    struct token_options options;
    bool wants_jti;
    uint64_t seed;
    size_t set_count; /* a power of two, or 0: no cache */
    struct set *sets;
    struct shard shards[SHARDS];
};

static const char *const ROLE_NAMES[ROLES] = {
    [ROLE_GUEST] = "guest", [ROLE_USER] = "user", [ROLE_TUTOR] = "tutor", [ROLE_ADMIN] = "admin"};

const char *role_name(enum role role)
{
    return (unsigned)role < ROLES ? ROLE_NAMES[role] : "";
}

bool role_parse(const char *name, enum role *role)
{
    for (size_t i = 0; i < ROLES; i++) {
        if (strcmp(name, ROLE_NAMES[i]) == 0) {
            *role = (enum role)i;
            return true;
        }
    }
    return false;
}

/* ---- the verifier --------------------------------------------------------------------------------------------------
 */

struct token_verifier *token_verifier_open(const struct token_options *options, struct err *err)
{
    if (!options->keys || !options->revoked || !options->issuer || !options->audience ||
        options->cache_entries > CACHE_ENTRIES_MAX) {
        err_set_internal(err, &ERR_INTERNAL, "token verifier: keys, revoked, issuer, audience; cache up to %d entries",
                         CACHE_ENTRIES_MAX);
        return NULL;
    }
    struct token_verifier *verifier =
        aligned_alloc(_Alignof(struct token_verifier), sizeof *verifier); /* the shards want their own cache lines */
    if (!verifier)
        abort();
    memset(verifier, 0, sizeof *verifier);
    verifier->options = *options;
    verifier->wants_jti = strcmp(options->audience, TICKET_AUDIENCE) == 0;
    crypto_random(&verifier->seed, sizeof verifier->seed);
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&verifier->shards[i].lock, NULL);
    if (options->cache_entries > 0) {
        for (verifier->set_count = 1; verifier->set_count * WAYS < options->cache_entries;)
            verifier->set_count *= 2;
        verifier->sets = aligned_alloc(_Alignof(struct set), verifier->set_count * sizeof *verifier->sets);
        if (!verifier->sets)
            abort();
        memset(verifier->sets, 0, verifier->set_count * sizeof *verifier->sets);
    }
    return verifier;
}

void token_verifier_release(struct token_verifier **verifier)
{
    struct token_verifier *old = TAKE(*verifier);
    if (!old)
        return;
    for (size_t i = 0; i < old->set_count; i++)
        for (size_t way = 0; way < WAYS; way++)
            free(old->sets[i].ways[way].known);
    free(old->sets);
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&old->shards[i].lock);
    free(old);
}

/* ---- the cache -----------------------------------------------------------------------------------------------------
 */

/* Hashes the last 64 characters. They are signature, and only verified tokens get into the cache, so nobody can choose
 * them to meet in one set; the whole token is compared afterwards. */
static uint64_t token_hash(const struct token_verifier *verifier, struct view token)
{
    uint64_t words[8], hash = verifier->seed;
    memcpy(words, token.bytes + token.length - sizeof words, sizeof words);
    for (size_t i = 0; i < 8; i += 2) {
        __uint128_t product = (__uint128_t)(words[i] ^ hash) * (words[i + 1] ^ 0xa0761d6478bd642fU);
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return hash;
}

static struct set *cache_lock(struct token_verifier *verifier, uint64_t hash, pthread_mutex_t **lock)
{
    size_t at = (size_t)hash & (verifier->set_count - 1);
    *lock = &verifier->shards[at % SHARDS].lock;
    pthread_mutex_lock(*lock);
    return &verifier->sets[at];
}

/* Asks for all of it at once: with thousands of tokens nothing of it is in the processor's cache, and one line after
 * the other would cost a dozen waits. */
static void prefetch(const struct known *known, size_t length)
{
    for (size_t at = 0; at < sizeof *known + length; at += CACHE_LINE)
        __builtin_prefetch((const char *)known + at);
}

static bool cache_find(struct token_verifier *verifier, struct view token, uint64_t hash, struct known *out)
{
    uint64_t epoch = keyset_epoch(verifier->options.keys);
    bool found = false;
    pthread_mutex_t *lock;
    const struct set *set = cache_lock(verifier, hash, &lock);
    for (size_t way = 0; way < WAYS && !found; way++) {
        const struct known *known = set->ways[way].known;
        if (!known || set->ways[way].hash != hash)
            continue;
        prefetch(known, token.length);
        found = known->token_length == token.length && memcmp(known->token, token.bytes, token.length) == 0 &&
                known->epoch == epoch;
        if (found)
            *out = *known; /* without the text behind it */
    }
    pthread_mutex_unlock(lock);
    return found;
}

/* Takes the place of the same token, a free one, one of an earlier epoch, or the one that expires first. */
static void cache_keep(struct token_verifier *verifier, struct view token, uint64_t hash, const struct known *verified)
{
    struct known *fresh = mem_new(1, sizeof *fresh + token.length);
    *fresh = *verified;
    fresh->token_length = token.length;
    memcpy(fresh->token, token.bytes, token.length);
    pthread_mutex_t *lock;
    struct set *set = cache_lock(verifier, hash, &lock);
    size_t chosen = 0;
    int64_t lowest = INT64_MAX;
    for (size_t way = 0; way < WAYS; way++) {
        const struct known *known = set->ways[way].known;
        int64_t worth = !known || known->epoch != verified->epoch ? 0 : known->identity.expires_at_s;
        if (known && set->ways[way].hash == hash)
            worth = -1;
        if (worth < lowest) {
            lowest = worth;
            chosen = way;
        }
    }
    struct known *old = set->ways[chosen].known;
    set->ways[chosen].hash = hash;
    set->ways[chosen].known = fresh;
    pthread_mutex_unlock(lock);
    free(old);
}

/* ---- verifying -----------------------------------------------------------------------------------------------------
 */

struct claims {
    const char *iss, *aud, *sub, *sid, *role, *handle, *name, *jti;
    int64_t rv, iat, exp;
};

enum {
    HANDLE_MAX = sizeof((struct identity *)0)->handle - 1,
    NAME_MAX_BYTES = sizeof((struct identity *)0)->nickname - 1
};
#define SECONDS_MAX ((int64_t)1 << 40)

static const struct field CLAIMS_FIELDS[] = {
    FIELD_TEXT(struct claims, iss, .required = true, .max = 200),
    FIELD_TEXT(struct claims, aud, .required = true, .max = 200),
    FIELD_UUID(struct claims, sub, .required = true),
    FIELD_UUID(struct claims, sid, .required = true),
    FIELD_TEXT(struct claims, role, .required = true, .max = 16),
    FIELD_I64(struct claims, rv, .required = true, .min = 0, .max = INT64_MAX),
    FIELD_TEXT(struct claims, handle, .required = true, .max = HANDLE_MAX),
    FIELD_TEXT(struct claims, name, .required = true, .max = NAME_MAX_BYTES),
    FIELD_I64(struct claims, iat, .required = true, .min = 0, .max = SECONDS_MAX),
    FIELD_I64(struct claims, exp, .required = true, .min = 0, .max = SECONDS_MAX),
    FIELD_UUID(struct claims, jti),
    {0},
};

static bool read_identity(const struct token_verifier *verifier, const struct claims *claims, struct known *out,
                          struct err *err)
{
    struct identity *identity = &out->identity;
    if (strcmp(claims->iss, verifier->options.issuer) != 0 || strcmp(claims->aud, verifier->options.audience) != 0)
        return err_set(err, &ERR_TOKEN_INVALID, "the token is not for us");
    /* The table counts code points, the identity has bytes. */
    if (!role_parse(claims->role, &identity->role) || strlen(claims->handle) > HANDLE_MAX ||
        strlen(claims->name) > NAME_MAX_BYTES || (verifier->wants_jti && !claims->jti))
        return err_set(err, &ERR_TOKEN_INVALID, "the token's claims are not complete");
    if (claims->exp <= claims->iat || claims->exp - claims->iat > LIFE_MAX_S)
        return err_set(err, &ERR_TOKEN_INVALID, "the token's times make no sense");
    if (!uuid_parse(claims->sub, &out->user) || !uuid_parse(claims->sid, &out->session))
        return err_set(err, &ERR_TOKEN_INVALID, "the token's claims are not complete");
    uuid_format(&out->user, identity->user_id);
    uuid_format(&out->session, identity->session_id);
    if (claims->jti)
        memcpy(identity->jti, claims->jti, UUID_TEXT_BYTES);
    memcpy(identity->handle, claims->handle, strlen(claims->handle) + 1);
    memcpy(identity->nickname, claims->name, strlen(claims->name) + 1);
    identity->role_version = claims->rv;
    identity->issued_at_s = claims->iat;
    identity->expires_at_s = claims->exp;
    return true;
}

/* All but the time and the revocations, which are asked each time. */
static bool verify_anew(struct token_verifier *verifier, struct view token, struct known *out, struct err *err)
{
    struct token_parts parts;
    if (!token_split(token, &parts, err))
        return false;
    switch (keyset_check(verifier->options.keys, parts.kid, parts.signing_input, parts.signature, &out->epoch)) {
    case KEY_UNKNOWN:
        if (verifier->options.unknown_kid)
            verifier->options.unknown_kid(verifier->options.payload);
        return err_set(err, &ERR_TOKEN_INVALID, "the token's key is not known");
    case KEY_SIGNATURE_WRONG:
        return err_set(err, &ERR_TOKEN_INVALID, "the token's signature is wrong");
    case KEY_SIGNATURE_GOOD:
        break;
    }
    AUTO(arena) arena = arena_open(ARENA_MAX);
    struct claims claims;
    struct view payload = {(const char *)parts.payload, parts.payload_length};
    if (!JSON_DECODE_LENIENT(arena, payload, CLAIMS_FIELDS, &claims, err))
        return err_set(err, &ERR_TOKEN_INVALID, "the token's claims are not complete");
    return read_identity(verifier, &claims, out, err);
}

static bool check_times(const struct identity *identity, struct err *err)
{
    const int64_t now_s = clock_coarse_s();
    if (identity->issued_at_s - LEEWAY_S > now_s)
        return err_set(err, &ERR_TOKEN_INVALID, "the token is from the future");
    if (identity->expires_at_s + LEEWAY_S <= now_s)
        return err_set(err, &ERR_TOKEN_EXPIRED, "the token has expired");
    return true;
}

static bool check_revoked(const struct token_verifier *verifier, const struct known *known, struct err *err)
{
    if (revoked_session(verifier->options.revoked, &known->session))
        return err_set(err, &ERR_SESSION_ENDED, "the session has ended");
    if (known->identity.role_version < revoked_least_role_version(verifier->options.revoked, &known->user))
        return err_set(err, &ERR_TOKEN_STALE, "the account has changed since the token was issued");
    return true;
}

enum token_recall token_recall(struct token_verifier *verifier, struct view token, struct identity *identity,
                               struct err *err)
{
    struct known known;
    if (verifier->set_count == 0 || token.length < TOKEN_TEXT_MIN || token.length > TOKEN_TEXT_MAX)
        return TOKEN_STRANGE;
    if (verifier->options.ready && !verifier->options.ready(verifier->options.payload)) {
        err_set_retry(err, &ERR_UNAVAILABLE, 1, "tokens can't be checked yet");
        return TOKEN_REFUSED;
    }
    if (!cache_find(verifier, token, token_hash(verifier, token), &known))
        return TOKEN_STRANGE;
    if (!check_times(&known.identity, err) || !check_revoked(verifier, &known, err))
        return TOKEN_REFUSED;
    *identity = known.identity;
    return TOKEN_GOOD;
}

bool token_verify(struct token_verifier *verifier, struct view token, struct identity *identity, struct err *err)
{
    if (token.length < TOKEN_TEXT_MIN || token.length > TOKEN_TEXT_MAX)
        return err_set(err, &ERR_TOKEN_INVALID, "the token is malformed: length");
    const enum token_recall recalled = token_recall(verifier, token, identity, err);
    if (recalled != TOKEN_STRANGE)
        return recalled == TOKEN_GOOD;
    if (verifier->options.ready && !verifier->options.ready(verifier->options.payload))
        return err_set_retry(err, &ERR_UNAVAILABLE, 1, "tokens can't be checked yet");
    struct known known = {0};
    if (!verify_anew(verifier, token, &known, err) || !check_times(&known.identity, err))
        return false;
    if (verifier->set_count > 0)
        cache_keep(verifier, token, token_hash(verifier, token), &known);
    if (!check_revoked(verifier, &known, err))
        return false;
    *identity = known.identity;
    return true;
}
