/* token_world.h - a verifier of tokens with one known key, and payloads to bend: for tests of tokens. Header only, so
 * that each test program stands alone. */
#ifndef MADANG_TEST_TOKEN_WORLD_H
#define MADANG_TEST_TOKEN_WORLD_H

#include "clock.h"
#include "key_kit.h"
#include "mem.h"
#include "test.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
    struct key_kit *kit;
    struct keyset *keys;
    struct revoked *revoked;
    struct token_verifier *verifier;
    _Atomic int unknown_kids;
};

static inline void count_unknown_kid(void *payload)
{
    struct world *world = payload;
    world->unknown_kids++;
}

static inline void world_trust(struct world *world, const struct key_kit *const *kits)
{
    struct err err = {0};
    AUTO_STR jwks;
    str_init(&jwks);
    key_kit_jwks(kits, &jwks);
    REQUIRE_OK(keyset_load_jwks(world->keys, (struct view){jwks.bytes, jwks.length}, &err), &err);
}

static inline struct world *world_new(const char *audience, size_t cache_entries)
{
    struct world *world = MEM_NEW(world);
    struct err err = {0};
    world->kit = key_kit_new("k1");
    world->keys = keyset_open();
    world->revoked = revoked_open();
    world_trust(world, (const struct key_kit *const[]){world->kit, NULL});
    world->verifier = token_verifier_open(&(struct token_options){.keys = world->keys,
                                                                  .revoked = world->revoked,
                                                                  .issuer = TOKEN_ISSUER,
                                                                  .audience = audience,
                                                                  .cache_entries = cache_entries,
                                                                  .unknown_kid = count_unknown_kid,
                                                                  .payload = world},
                                          &err);
    if (!world->verifier)
        abort();
    return world;
}

static inline void world_release(struct world **world)
{
    struct world *old = TAKE(*world);
    token_verifier_release(&old->verifier);
    revoked_release(&old->revoked);
    keyset_release(&old->keys);
    key_kit_release(&old->kit);
    free(old);
}

/* "ok", or the code of the refusal. */
static inline const char *verdict_for(struct world *world, const char *token, struct identity *identity)
{
    struct err err = {0};
    bool ok = token_verify(world->verifier, view_of(token), identity, &err);
    return ok ? "ok" : err.problem ? err.problem->code : "(no problem set)";
}

static inline const char *verdict(struct world *world, const char *token)
{
    struct identity identity;
    return verdict_for(world, token, &identity);
}

#define GOOD_HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k1\"}"
#define SUB "0190b7c4-0000-7000-8000-000000000001"
#define SID "0190b7c4-0000-7000-8000-0000000000aa"

/* A good payload in which `from` is replaced by `to` (both may be ""). */
static inline char *payload_with(const char *from, const char *to)
{
    int64_t now_s = clock_now_ms() / 1000;
    char base[1024];
    (void)snprintf(base, sizeof base,
                   "{\"iss\":\"madang\",\"aud\":\"madang\",\"sub\":\"" SUB "\",\"sid\":\"" SID
                   "\",\"role\":\"user\",\"rv\":3,\"handle\":\"mina\",\"name\":\"미나\",\"iat\":%lld,\"exp\":%lld}",
                   (long long)now_s, (long long)now_s + 300);
    const char *at = strstr(base, from);
    if (!at) {
        (void)fprintf(stderr, "payload_with: no %s\n", from);
        abort();
    }
    AUTO_STR out;
    str_init(&out);
    str_add_bytes(&out, base, (size_t)(at - base));
    str_add(&out, to);
    str_add(&out, at + strlen(from));
    return mem_text(out.bytes);
}

static inline void expect_payload(struct world *world, const char *expected, const char *payload, const char *file,
                                  int line)
{
    AUTO_STR token;
    str_init(&token);
    key_kit_sign(world->kit, GOOD_HEADER, payload, &token);
    test_check(strcmp(expected, verdict(world, token.bytes)) == 0, file, line, "expected %s, is %s: %s", expected,
               verdict(world, token.bytes), payload);
}

static inline void expect_header(struct world *world, const char *expected, const char *header, const char *file,
                                 int line)
{
    AUTO_FREE char *payload = payload_with("", "");
    AUTO_STR token;
    str_init(&token);
    key_kit_sign(world->kit, header, payload, &token);
    test_check(strcmp(expected, verdict(world, token.bytes)) == 0, file, line, "expected %s, is %s: %s", expected,
               verdict(world, token.bytes), header);
}

/* `form` with each marker #1, #2 ... replaced by that part. */
static inline void compose(const char *form, const char *const *parts, struct str *out)
{
    str_clear(out);
    for (; *form; form++) {
        if (*form == '#')
            str_add(out, parts[*++form - '1']);
        else
            str_add_char(out, *form);
    }
}

#endif
