/* What one token check costs: from the cache (one token; 5,000 tokens in a cache of 16,384), without cache, and with 4
 * threads sharing a verifier; beside libjwt, which does less (no claims, no revocations). Processor time, best of 20
 * rounds. */
#include "../fuzz/key_of_all.h"

#include "clock.h"
#include "mem.h"
#include "token.h"

#include <inttypes.h>
#include <jwt.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TOKENS = 5000, ROUNDS = 20, THREADS = 4, ENDED = 1000 };

static struct str tokens[TOKENS];
static struct token_verifier *cached, *uncached;
static char public_pem[512];

static void make_tokens(void)
{
    int64_t now_s = clock_now_ms() / 1000;
    for (size_t i = 0; i < TOKENS; i++) {
        char user[UUID_TEXT_BYTES], session[UUID_TEXT_BYTES];
        AUTO_STR payload;
        uuid_new(user);
        uuid_new(session);
        str_init(&payload);
        str_printf(&payload,
                   "{\"iss\":\"madang\",\"aud\":\"madang\",\"sub\":\"%s\",\"sid\":\"%s\",\"role\":\"user\",\"rv\":1,"
                   "\"handle\":\"user%zu\",\"name\":\"user %zu\",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}",
                   user, session, i, i, now_s, now_s + 3600);
        str_init(&tokens[i]);
        key_of_all_sign(VIEW("{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k1\"}"),
                        (struct view){payload.bytes, payload.length}, &tokens[i]);
    }
}

static void make_verifiers(void)
{
    struct err err = {0};
    AUTO_STR jwks;
    str_init(&jwks);
    key_of_all_jwks(&jwks);
    struct keyset *keys = keyset_open();
    struct revoked *revoked = revoked_open();
    for (int i = 0; i < ENDED; i++) { /* so that look-ups cost what they cost */
        char text[UUID_TEXT_BYTES];
        struct uuid id;
        uuid_new(text);
        (void)uuid_parse(text, &id);
        revoked_add_session(revoked, &id, clock_now_ms() + 3600000);
        revoked_add_user(revoked, &id, 1, clock_now_ms() + 3600000);
    }
    struct token_options options = {
        .keys = keys, .revoked = revoked, .issuer = TOKEN_ISSUER, .audience = TOKEN_AUDIENCE};
    bool ok = keyset_load_jwks(keys, (struct view){jwks.bytes, jwks.length}, &err);
    uncached = token_verifier_open(&options, &err);
    options.cache_entries = 16384;
    cached = token_verifier_open(&options, &err);
    BIO *bio = BIO_new(BIO_s_mem());
    if (!ok || !uncached || !cached || !PEM_write_bio_PUBKEY(bio, key_of_all) ||
        BIO_read(bio, public_pem, sizeof public_pem - 1) <= 0)
        abort();
    BIO_free(bio);
}

static void verify(struct token_verifier *verifier, size_t i)
{
    struct identity identity;
    struct err err = {0};
    if (!token_verify(verifier, (struct view){tokens[i].bytes, tokens[i].length}, &identity, &err))
        abort();
}

static void verify_one_cached(size_t i)
{
    (void)i;
    verify(cached, 0);
}

static void verify_many_cached(size_t i)
{
    verify(cached, i * 2654435761U % TOKENS);
}

static void verify_uncached(size_t i)
{
    verify(uncached, i % TOKENS);
}

static void verify_by_libjwt(size_t i)
{
    jwt_t *jwt = NULL;
    if (jwt_decode(&jwt, tokens[i % TOKENS].bytes, (const unsigned char *)public_pem, (int)strlen(public_pem)) != 0)
        abort();
    jwt_free(jwt);
}

static const struct {
    const char *name;
    void (*run)(size_t i);
    size_t times;
} CASES[] = {
    {"cached, one token", verify_one_cached, 100000},
    {"cached, 5,000 tokens", verify_many_cached, 100000},
    {"not cached", verify_uncached, 500},
    {"libjwt", verify_by_libjwt, 200},
};

static double cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double best_ns(void (*run)(size_t), size_t times)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double began_ns = cpu_ns();
        for (size_t i = 0; i < times; i++)
            run(i);
        double ns = (cpu_ns() - began_ns) / (double)times;
        best = round == 0 || ns < best ? ns : best;
    }
    return best;
}

static void *verify_by_a_thread(void *payload)
{
    double *ns = payload;
    *ns = best_ns(verify_many_cached, 100000);
    return NULL;
}

int main(void)
{
    make_tokens();
    make_verifiers();
    for (size_t i = 0; i < TOKENS; i++)
        verify(cached, i);
    printf("token of %zu bytes; %d sessions and %d users revoked\n", tokens[0].length, ENDED, ENDED);
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++)
        printf("%-28s %10.0f ns\n", CASES[i].name, best_ns(CASES[i].run, CASES[i].times));

    pthread_t threads[THREADS];
    double ns[THREADS], sum = 0;
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, verify_by_a_thread, &ns[i]);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += ns[i];
    }
    printf("%-28s %10.0f ns\n", "the same, 4 threads sharing", sum / THREADS);
    return 0;
}
