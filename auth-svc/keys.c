#include "keys.h"

#include "log.h"
#include "store.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { COORDINATE_BYTES = 32 };

/* What was read from the table: never changed, freed by who lets go last. */
struct key_set {
    atomic_int users;
    struct str jwks;
    char *kid, *private_pem; /* of the key that signs */
};

struct keys {
    struct keyset *published; /* lent */
    pthread_mutex_t mutex;    /* of the pointer below */
    struct key_set *set;      /* NULL before the first keys_refresh */
};

static void key_set_release(struct key_set **set)
{
    struct key_set *it = *set;
    *set = NULL;
    if (!it || atomic_fetch_sub(&it->users, 1) > 1)
        return;
    str_free(&it->jwks);
    free(it->kid);
    if (it->private_pem)
        OPENSSL_cleanse(it->private_pem, strlen(it->private_pem));
    free(it->private_pem);
    free(it);
}

struct keys *keys_open(struct keyset *published)
{
    struct keys *keys = MEM_NEW(keys);
    keys->published = published;
    (void)pthread_mutex_init(&keys->mutex, NULL);
    return keys;
}

void keys_release(struct keys **keys)
{
    struct keys *it = *keys;
    *keys = NULL;
    if (!it)
        return;
    key_set_release(&it->set);
    (void)pthread_mutex_destroy(&it->mutex);
    free(it);
}

/* The set of this moment; the caller releases it. */
static struct key_set *borrow(struct keys *keys)
{
    (void)pthread_mutex_lock(&keys->mutex);
    struct key_set *set = keys->set;
    if (set)
        atomic_fetch_add(&set->users, 1);
    (void)pthread_mutex_unlock(&keys->mutex);
    return set;
}

/* ---- making a key ---- */

static const char *coordinate(struct arena *arena, const EVP_PKEY *key, const char *name)
{
    BIGNUM *number = NULL;
    unsigned char bytes[COORDINATE_BYTES];
    if (EVP_PKEY_get_bn_param(key, name, &number) != 1)
        return NULL;
    bool fits = BN_bn2binpad(number, bytes, sizeof bytes) == sizeof bytes;
    BN_free(number);
    AUTO_STR text = {0};
    crypto_base64url(bytes, sizeof bytes, &text);
    return fits ? arena_text(arena, text.bytes) : NULL;
}

static const char *private_pem(struct arena *arena, EVP_PKEY *key)
{
    BIO *memory = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    const char *pem = NULL;
    if (memory && PEM_write_bio_PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL) == 1) {
        long length = BIO_get_mem_data(memory, &bytes);
        pem = arena_bytes(arena, bytes, (size_t)length);
    }
    BIO_free(memory);
    return pem;
}

static bool make_key(struct arena *arena, struct key_row *row, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char *kid = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_new(kid);
    *row = (struct key_row){.kid = kid};
    if (key) {
        row->private_pem = private_pem(arena, key);
        row->x = coordinate(arena, key, OSSL_PKEY_PARAM_EC_PUB_X);
        row->y = coordinate(arena, key, OSSL_PKEY_PARAM_EC_PUB_Y);
        EVP_PKEY_free(key);
    }
    return (row->private_pem && row->x && row->y) || err_set_internal(err, &ERR_INTERNAL, "OpenSSL made no P-256 key");
}

static bool make_due_key(const struct auth_app *app, struct arena *arena, struct err *err)
{
    bool due;
    struct key_row row;
    if (!store_key_due(app, &due, err))
        return false;
    if (!due)
        return true;
    if (!make_key(arena, &row, err) || !store_add_key(app, &row, err))
        return false;
    log_event(LOG_INFO, "signing_key_made", LOG_TEXT("kid", row.kid));
    return true;
}

/* ---- the set ---- */

static void print_key(struct str *out, const struct key_row *row)
{
    json_open(out, NULL, '{');
    json_text(out, "kty", "EC");
    json_text(out, "crv", "P-256");
    json_text(out, "x", row->x);
    json_text(out, "y", row->y);
    json_text(out, "kid", row->kid);
    json_text(out, "use", "sig");
    json_text(out, "alg", "ES256");
    json_close(out, '}');
}

static struct key_set *make_set(const struct key_row *rows, size_t count, struct err *err)
{
    struct key_set *set = MEM_NEW(key_set);
    atomic_init(&set->users, 1);
    json_open(&set->jwks, NULL, '{');
    json_open(&set->jwks, "keys", '[');
    for (size_t i = 0; i < count; i++) {
        print_key(&set->jwks, &rows[i]);
        if (rows[i].signs) {
            set->kid = mem_text(rows[i].kid);
            set->private_pem = mem_text(rows[i].private_pem);
        }
    }
    json_close(&set->jwks, ']');
    json_close(&set->jwks, '}');
    if (!set->kid) {
        key_set_release(&set);
        (void)err_set_internal(err, &ERR_INTERNAL, "no key of the table may sign now");
    }
    return set;
}

bool keys_refresh(struct keys *keys, const struct auth_app *app, struct err *err)
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct key_row *rows;
    size_t count;
    if (!make_due_key(app, arena, err) || !store_list_keys(app, arena, &rows, &count, err))
        return false;
    struct key_set *set = make_set(rows, count, err);
    if (!set)
        return false;
    if (keys->published && !keyset_load_jwks(keys->published, (struct view){set->jwks.bytes, set->jwks.length}, err)) {
        key_set_release(&set);
        return false;
    }
    (void)pthread_mutex_lock(&keys->mutex);
    struct key_set *old = keys->set;
    keys->set = set;
    (void)pthread_mutex_unlock(&keys->mutex);
    key_set_release(&old);
    return true;
}

void keys_print_jwks(struct keys *keys, struct str *out)
{
    AUTO(key_set) set = borrow(keys);
    if (set)
        str_add_bytes(out, set->jwks.bytes, set->jwks.length);
    else
        str_add(out, "{\"keys\":[]}");
}

bool keys_sign(struct keys *keys, const struct identity *identity, const char *audience, struct str *out,
               struct err *err)
{
    AUTO(key_set) set = borrow(keys);
    if (!set)
        return err_set_internal(err, &ERR_UNAVAILABLE, "no signing key is loaded");
    return token_sign(identity, set->private_pem, set->kid, audience, out, err);
}
