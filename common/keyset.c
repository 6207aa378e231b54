#include "keyset.h"

#include "crypto.h"
#include "mem.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { COORDINATE_BYTES = 32, COORDINATE_TEXT = 43, JWKS_MAX = 64 * 1024 };

struct public_key {
    char kid[sizeof((struct token_parts *)0)->kid];
    unsigned char point[1 + 2 * COORDINATE_BYTES]; /* 04, x, y */
    EVP_PKEY_CTX *verify;                          /* ready to verify; only ever copied, so that threads share it */
};

struct snapshot {
    _Atomic int references;
    uint64_t epoch;
    size_t count;
    struct public_key keys[KEYSET_MAX];
};

struct keyset {
    pthread_rwlock_t lock; /* guards the pointer, not what it points to */
    struct snapshot *current;
    _Atomic uint64_t epoch;
};

static void snapshot_release(struct snapshot **snapshot)
{
    struct snapshot *old = TAKE(*snapshot);
    if (!old || atomic_fetch_sub(&old->references, 1) > 1)
        return;
    for (size_t i = 0; i < old->count; i++)
        EVP_PKEY_CTX_free(old->keys[i].verify);
    free(old);
}

static struct snapshot *snapshot_new(void)
{
    struct snapshot *snapshot = MEM_NEW(snapshot);
    snapshot->references = 1;
    return snapshot;
}

static struct snapshot *snapshot_get(struct keyset *keys)
{
    pthread_rwlock_rdlock(&keys->lock);
    struct snapshot *snapshot = keys->current;
    atomic_fetch_add(&snapshot->references, 1);
    pthread_rwlock_unlock(&keys->lock);
    return snapshot;
}

struct keyset *keyset_open(void)
{
    struct keyset *keys = MEM_NEW(keyset);
    pthread_rwlock_init(&keys->lock, NULL);
    keys->current = snapshot_new();
    return keys;
}

void keyset_release(struct keyset **keys)
{
    struct keyset *old = TAKE(*keys);
    if (!old)
        return;
    snapshot_release(&old->current);
    pthread_rwlock_destroy(&old->lock);
    free(old);
}

size_t keyset_count(const struct keyset *keys)
{
    AUTO(snapshot) snapshot = snapshot_get((struct keyset *)keys); /* the lock inside is all that changes */
    return snapshot->count;
}

uint64_t keyset_epoch(const struct keyset *keys)
{
    return atomic_load_explicit(&keys->epoch, memory_order_acquire);
}

static const struct public_key *snapshot_find(const struct snapshot *snapshot, const char *kid)
{
    for (size_t i = 0; i < snapshot->count; i++)
        if (strcmp(snapshot->keys[i].kid, kid) == 0)
            return &snapshot->keys[i];
    return NULL;
}

/* ---- reading a document --------------------------------------------------------------------------------------------
 */

static const char *member_text(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static bool member_is(const cJSON *object, const char *name, const char *wanted, bool may_be_absent)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!member)
        return may_be_absent;
    return cJSON_IsString(member) && strcmp(member->valuestring, wanted) == 0;
}

static bool read_coordinate(const cJSON *object, const char *name, unsigned char *out)
{
    const char *text = member_text(object, name);
    unsigned char bytes[COORDINATE_BYTES + 3];
    if (!text || strlen(text) != COORDINATE_TEXT ||
        crypto_base64url_decode(text, COORDINATE_TEXT, bytes) != COORDINATE_BYTES)
        return false;
    memcpy(out, bytes, COORDINATE_BYTES);
    return true;
}

/* NULL when the point is not on the curve. */
static EVP_PKEY_CTX *verify_context(const unsigned char point[1 + 2 * COORDINATE_BYTES])
{
    char group[] = "prime256v1";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point, 1 + 2 * COORDINATE_BYTES),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *verify = NULL, *maker = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL), *checker = NULL;
    if (maker && EVP_PKEY_fromdata_init(maker) > 0 && EVP_PKEY_fromdata(maker, &key, EVP_PKEY_PUBLIC_KEY, params) > 0 &&
        (checker = EVP_PKEY_CTX_new(key, NULL)) && EVP_PKEY_public_check(checker) > 0 &&
        (verify = EVP_PKEY_CTX_new(key, NULL)) && EVP_PKEY_verify_init(verify) <= 0) {
        EVP_PKEY_CTX_free(verify);
        verify = NULL;
    }
    EVP_PKEY_CTX_free(checker);
    EVP_PKEY_CTX_free(maker);
    EVP_PKEY_free(key); /* the context holds it */
    ERR_clear_error();
    return verify;
}

/* Adds the key, or skips one that is not for ES256 signatures; false when it says it is one but cannot be. */
static bool snapshot_add(struct snapshot *snapshot, const cJSON *item, struct err *err)
{
    if (!member_is(item, "kty", "EC", false) || !member_is(item, "crv", "P-256", false) ||
        !member_is(item, "use", "sig", true) || !member_is(item, "alg", "ES256", true))
        return true;
    const char *kid = member_text(item, "kid");
    size_t kid_length = kid ? strlen(kid) : 0;
    if (kid_length == 0 || kid_length >= sizeof snapshot->keys[0].kid || snapshot_find(snapshot, kid))
        return err_set(err, &ERR_BAD_INPUT, "the key set has a key without an id of its own");
    if (snapshot->count == KEYSET_MAX)
        return err_set(err, &ERR_BAD_INPUT, "the key set has more than %d keys", KEYSET_MAX);
    struct public_key *key = &snapshot->keys[snapshot->count];
    key->point[0] = 4; /* uncompressed (SEC 1, section 2.3.3) */
    if (!read_coordinate(item, "x", key->point + 1) || !read_coordinate(item, "y", key->point + 1 + COORDINATE_BYTES) ||
        !(key->verify = verify_context(key->point)))
        return err_set(err, &ERR_BAD_INPUT, "a key of the key set is not a point of P-256");
    memcpy(key->kid, kid, kid_length + 1);
    snapshot->count++;
    return true;
}

static struct snapshot *snapshot_read(struct view jwks, struct err *err)
{
    if (jwks.length > JWKS_MAX) {
        err_set(err, &ERR_BAD_INPUT, "the key set is over %d bytes", JWKS_MAX);
        return NULL;
    }
    cJSON *document = cJSON_ParseWithLength(jwks.bytes, jwks.length);
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(document, "keys"), *item;
    AUTO(snapshot) snapshot = snapshot_new();
    bool ok = cJSON_IsArray(items) || err_set(err, &ERR_BAD_INPUT, "the key set has no array `keys`");
    if (ok)
        cJSON_ArrayForEach(item, items) ok = ok && snapshot_add(snapshot, item, err);
    if (ok && snapshot->count == 0) /* taking it would lock everybody out */
        ok = err_set(err, &ERR_BAD_INPUT, "the key set has no key for ES256 signatures");
    cJSON_Delete(document);
    return ok ? TAKE(snapshot) : NULL;
}

/* ---- taking it -----------------------------------------------------------------------------------------------------
 */

/* True when every key of `some` is in `all`, the same. */
static bool snapshot_within(const struct snapshot *some, const struct snapshot *all)
{
    for (size_t i = 0; i < some->count; i++) {
        const struct public_key *same = snapshot_find(all, some->keys[i].kid);
        if (!same || memcmp(same->point, some->keys[i].point, sizeof same->point) != 0)
            return false;
    }
    return true;
}

bool keyset_load_jwks(struct keyset *keys, struct view jwks, struct err *err)
{
    AUTO(snapshot) fresh = snapshot_read(jwks, err);
    if (!fresh)
        return false;
    pthread_rwlock_wrlock(&keys->lock);
    struct snapshot *old = keys->current;
    bool kept = snapshot_within(old, fresh);
    if (!kept || fresh->count != old->count) {
        fresh->epoch = old->epoch + (kept ? 0 : 1);
        keys->current = fresh;
        atomic_store_explicit(&keys->epoch, fresh->epoch, memory_order_release);
        fresh = old; /* released below; readers may hold it a little longer */
    }
    pthread_rwlock_unlock(&keys->lock);
    return true;
}

/* ---- verifying -----------------------------------------------------------------------------------------------------
 */

/* One DER INTEGER of 32 big-endian bytes; returns its length (at most 35). */
static size_t put_integer(const unsigned char *bytes, unsigned char *out)
{
    size_t skip = 0;
    while (skip < COORDINATE_BYTES - 1 && bytes[skip] == 0)
        skip++;
    size_t length = COORDINATE_BYTES - skip, sign = bytes[skip] >> 7; /* a set top bit needs a zero before it */
    out[0] = 2;
    out[1] = (unsigned char)(length + sign);
    out[2] = 0;
    memcpy(out + 2 + sign, bytes + skip, length);
    return 2 + sign + length;
}

enum key_verdict keyset_check(struct keyset *keys, const char *kid, struct view signed_bytes,
                              const unsigned char signature[KEY_SIGNATURE_BYTES], uint64_t *epoch)
{
    AUTO(snapshot) snapshot = snapshot_get(keys);
    *epoch = snapshot->epoch;
    const struct public_key *key = snapshot_find(snapshot, kid);
    if (!key)
        return KEY_UNKNOWN;

    unsigned char hash[SHA256_BYTES], der[2 + 2 * 35] = {0x30};
    crypto_sha256(signed_bytes.bytes, signed_bytes.length, hash);
    size_t length = put_integer(signature, der + 2);
    length += put_integer(signature + COORDINATE_BYTES, der + 2 + length);
    der[1] = (unsigned char)length;

    /* The copy skips the look-up of algorithm and key that a new context would do. r and s of 0 or beyond the order
     * are refused by OpenSSL. */
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_dup(key->verify);
    bool good = context && EVP_PKEY_verify(context, der, length + 2, hash, sizeof hash) == 1;
    EVP_PKEY_CTX_free(context);
    if (!good)
        ERR_clear_error(); /* or the next TLS call on this thread would find our error in its queue */
    return good ? KEY_SIGNATURE_GOOD : KEY_SIGNATURE_WRONG;
}
