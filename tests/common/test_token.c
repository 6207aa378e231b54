/* Who may come in: good tokens of both signers, the cache, rotation and revocation, the key set. */
#include "arena.h"
#include "crypto.h"
#include "json.h"
#include "token_world.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- good ones -----------------------------------------------------------------------------------------------------
 */

TEST(a_token_of_the_issuer_tells_who_it_is, "P-03 K-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    for (enum role role = ROLE_GUEST; role < ROLES; role++) {
        struct identity issued = key_kit_identity(), read;
        issued.role = role;
        AUTO_STR token;
        str_init(&token);
        key_kit_token(world->kit, &issued, TOKEN_AUDIENCE, &token);
        for (int time = 0; time < 2; time++) { /* verified, then from the cache */
            EXPECT_TEXT("ok", verdict_for(world, token.bytes, &read));
            EXPECT_TEXT(issued.user_id, read.user_id);
            EXPECT_TEXT(issued.session_id, read.session_id);
            EXPECT_TEXT(issued.handle, read.handle);
            EXPECT_TEXT(issued.nickname, read.nickname);
            EXPECT_TEXT(role_name(role), role_name(read.role));
            EXPECT_I64(issued.role_version, read.role_version);
            EXPECT_I64(issued.issued_at_s, read.issued_at_s);
            EXPECT_I64(issued.expires_at_s, read.expires_at_s);
            EXPECT_TEXT("", read.jti);
        }
    }
}

TEST(a_token_signed_by_another_library_is_as_good, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 0);
    for (int i = 0; i < 300; i++) { /* many signatures, so that r and s with leading zeros come by */
        AUTO_FREE char *payload = payload_with("", "");
        AUTO_STR token;
        str_init(&token);
        key_kit_sign(world->kit, GOOD_HEADER, payload, &token);
        struct identity identity;
        if (!EXPECT_TEXT("ok", verdict_for(world, token.bytes, &identity)))
            return;
        EXPECT_TEXT(SUB, identity.user_id);
        EXPECT_TEXT("미나", identity.nickname);
    }
}

TEST(what_libjwt_signs_openssl_verifies, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 0);
    for (int i = 0; i < 300; i++) {
        struct identity issued = key_kit_identity();
        AUTO_STR token;
        str_init(&token);
        key_kit_token(world->kit, &issued, TOKEN_AUDIENCE, &token);
        if (!EXPECT_TEXT("ok", verdict(world, token.bytes)))
            return;
    }
}

TEST(unknown_claims_and_header_members_do_not_matter, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    AUTO_FREE char *more = payload_with("\"rv\":3", "\"rv\":3,\"scope\":[\"a\",{\"b\":1}]");
    expect_payload(world, "ok", more, __FILE__, __LINE__);
    AUTO_FREE char *nameless = payload_with("미나", "");
    expect_payload(world, "ok", nameless, __FILE__, __LINE__); /* a guest before the profile is complete */
    expect_header(world, "ok", "{\"alg\":\"ES256\",\"kid\":\"k1\",\"x\":1}", __FILE__, __LINE__);
}

/* ---- the cache, rotation, revocation -------------------------------------------------------------------------------
 */

TEST(a_cached_token_still_expires, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    struct identity identity = key_kit_identity();
    AUTO_STR token;
    str_init(&token);
    key_kit_token(world->kit, &identity, TOKEN_AUDIENCE, &token);
    EXPECT_TEXT("ok", verdict(world, token.bytes));
    clock_shift_ms(312000);
    EXPECT_TEXT("token_expired", verdict(world, token.bytes));
    clock_shift_ms(-312000);
    EXPECT_TEXT("ok", verdict(world, token.bytes));
}

TEST(a_cached_token_is_refused_once_its_session_or_role_ended, "P-05 P-06 K-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    struct identity identity = key_kit_identity(), other = key_kit_identity();
    AUTO_STR token, others;
    str_init(&token);
    str_init(&others);
    key_kit_token(world->kit, &identity, TOKEN_AUDIENCE, &token);
    key_kit_token(world->kit, &other, TOKEN_AUDIENCE, &others);
    EXPECT_TEXT("ok", verdict(world, token.bytes));
    EXPECT_TEXT("ok", verdict(world, others.bytes));

    struct uuid user, session;
    REQUIRE(uuid_parse(identity.user_id, &user) && uuid_parse(identity.session_id, &session));
    int64_t until_ms = clock_now_ms() + 310000;
    revoked_add_user(world->revoked, &user, identity.role_version, until_ms);
    EXPECT_TEXT("ok", verdict(world, token.bytes));
    revoked_add_user(world->revoked, &user, identity.role_version + 1, until_ms);
    EXPECT_TEXT("token_stale", verdict(world, token.bytes));
    revoked_add_session(world->revoked, &session, until_ms);
    EXPECT_TEXT("session_ended", verdict(world, token.bytes));
    EXPECT_TEXT("ok", verdict(world, others.bytes));

    /* an expired token of an ended session: the client is told to refresh, and learns it there */
    clock_shift_ms(312000);
    EXPECT_TEXT("token_expired", verdict(world, token.bytes));
    clock_shift_ms(-312000);
}

TEST(tokens_of_a_withdrawn_key_leave_the_cache, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    AUTO(key_kit) next = key_kit_new("k2");
    AUTO(key_kit) replaced = key_kit_new("k2");
    struct identity identity = key_kit_identity();
    AUTO_STR old, fresh;
    str_init(&old);
    str_init(&fresh);
    key_kit_token(world->kit, &identity, TOKEN_AUDIENCE, &old);
    key_kit_token(next, &identity, TOKEN_AUDIENCE, &fresh);
    EXPECT_TEXT("ok", verdict(world, old.bytes));
    world_trust(world, (const struct key_kit *const[]){world->kit, next, NULL});
    EXPECT_TEXT("ok", verdict(world, old.bytes));
    EXPECT_TEXT("ok", verdict(world, fresh.bytes));
    world_trust(world, (const struct key_kit *const[]){next, NULL});
    EXPECT_TEXT("token_invalid", verdict(world, old.bytes));
    EXPECT_TEXT("ok", verdict(world, fresh.bytes));
    world_trust(world, (const struct key_kit *const[]){replaced, NULL}); /* the same id, another key */
    EXPECT_TEXT("token_invalid", verdict(world, fresh.bytes));
}

TEST(a_small_cache_gives_right_answers_to_many_tokens, "P-03")
{
    enum { TOKENS = 200 };
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 16);
    static struct identity identities[TOKENS];
    static struct str tokens[TOKENS];
    for (size_t i = 0; i < TOKENS; i++) {
        identities[i] = key_kit_identity();
        str_init(&tokens[i]);
        key_kit_token(world->kit, &identities[i], TOKEN_AUDIENCE, &tokens[i]);
    }
    for (int turn = 0; turn < 1000; turn++) {
        size_t i = (size_t)(test_random() % TOKENS);
        struct identity read;
        if (!EXPECT_TEXT("ok", verdict_for(world, tokens[i].bytes, &read)) ||
            !EXPECT_TEXT(identities[i].session_id, read.session_id))
            break;
    }
    for (size_t i = 0; i < TOKENS; i++)
        str_free(&tokens[i]);
}

struct crowd {
    struct world *world;
    const char *token, *session_id;
    _Atomic bool stop;
    _Atomic int right, wrong;
};

static void *verify_again_and_again(void *payload)
{
    struct crowd *crowd = payload;
    while (!crowd->stop) {
        struct identity identity;
        bool ok = strcmp("ok", verdict_for(crowd->world, crowd->token, &identity)) == 0 &&
                  strcmp(identity.session_id, crowd->session_id) == 0;
        if (ok)
            crowd->right++;
        else
            crowd->wrong++;
    }
    return NULL;
}

TEST(keys_and_revocations_change_under_the_readers, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 4);
    AUTO(key_kit) other = key_kit_new("k2");
    struct identity identity = key_kit_identity();
    AUTO_STR token;
    str_init(&token);
    key_kit_token(world->kit, &identity, TOKEN_AUDIENCE, &token);
    struct crowd crowd = {.world = world, .token = token.bytes, .session_id = identity.session_id};
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        pthread_create(&threads[i], NULL, verify_again_and_again, &crowd);
    for (int i = 0; i < 100; i++) {
        world_trust(world, i % 2 ? (const struct key_kit *const[]){world->kit, NULL}
                                 : (const struct key_kit *const[]){world->kit, other, NULL});
        char text[UUID_TEXT_BYTES];
        struct uuid id;
        uuid_new(text);
        uuid_parse(text, &id);
        revoked_add_session(world->revoked, &id, clock_now_ms() + 60000);
        int seen = crowd.right + crowd.wrong;
        EVENTUALLY(10000, crowd.right + crowd.wrong > seen + 4);
    }
    crowd.stop = true;
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
    EXPECT_I64(0, crowd.wrong);
    EXPECT(crowd.right > 400);
    EXPECT_I64(100, revoked_count(world->revoked));
}

/* ---- the key set ---------------------------------------------------------------------------------------------------
 */

TEST(a_wrong_key_set_leaves_the_old_one, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 0);
    AUTO_STR jwk, text;
    str_init(&jwk);
    str_init(&text);
    key_kit_jwk(world->kit, &jwk);
    static const char *const DOCUMENTS[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[1,null,\"x\"]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k1\",\"k\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k9\",\"x\":\"AQAB\",\"y\":\"AQAB\"}]}",
        /* not on the curve: (1, 1) */
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k9\",\"x\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
        "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
        "{\"keys\":[#1,#1]}", /* one id twice */
        "{\"keys\":[#1,{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(DOCUMENTS); i++) {
        struct err err = {0};
        AUTO_STR document;
        str_init(&document);
        compose(DOCUMENTS[i], (const char *const[]){jwk.bytes}, &document);
        test_check(!keyset_load_jwks(world->keys, (struct view){document.bytes, document.length}, &err), __FILE__,
                   __LINE__, "taken: %s", document.bytes);
        EXPECT_PROBLEM("bad_input", &err);
        EXPECT_I64(1, keyset_count(world->keys));
    }
    struct identity identity = key_kit_identity();
    key_kit_token(world->kit, &identity, TOKEN_AUDIENCE, &text);
    EXPECT_TEXT("ok", verdict(world, text.bytes));
}

TEST(other_kinds_of_keys_are_skipped_and_seventeen_are_too_many, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 0);
    struct err err = {0};
    AUTO_STR jwk, text;
    str_init(&jwk);
    str_init(&text);
    key_kit_jwk(world->kit, &jwk);
    str_printf(
        &text,
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\"},{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"p\"},{\"kty\":\"EC\","
        "\"crv\":\"P-256\",\"kid\":\"e\",\"use\":\"enc\"},%s]}",
        jwk.bytes);
    REQUIRE_OK(keyset_load_jwks(world->keys, (struct view){text.bytes, text.length}, &err), &err);
    EXPECT_I64(1, keyset_count(world->keys));

    const struct key_kit *kits[18] = {0};
    for (int i = 0; i < 17; i++) {
        char kid[8];
        (void)snprintf(kid, sizeof kid, "k%d", i);
        kits[i] = key_kit_new(kid);
    }
    str_clear(&text);
    key_kit_jwks(kits, &text);
    EXPECT(!keyset_load_jwks(world->keys, (struct view){text.bytes, text.length}, &err));
    EXPECT_I64(1, keyset_count(world->keys));
    key_kit_release((struct key_kit **)&kits[16]);
    str_clear(&text);
    key_kit_jwks(kits, &text);
    REQUIRE_OK(keyset_load_jwks(world->keys, (struct view){text.bytes, text.length}, &err), &err);
    EXPECT_I64(16, keyset_count(world->keys));
    for (int i = 0; i < 16; i++)
        key_kit_release((struct key_kit **)&kits[i]);
}

TEST(roles_have_names, "P-03")
{
    enum role role;
    EXPECT(role_parse("tutor", &role) && role == ROLE_TUTOR);
    EXPECT(!role_parse("", &role));
    EXPECT_TEXT("admin", role_name(ROLE_ADMIN));
    EXPECT_TEXT("", role_name(ROLES));
}

TEST(signing_needs_an_ec_key, "P-09")
{
    struct identity identity = key_kit_identity();
    struct err err = {0};
    AUTO_STR token;
    str_init(&token);
    EXPECT(!token_sign(&identity, "no key", "k1", TOKEN_AUDIENCE, &token, &err));
    EXPECT_PROBLEM("internal", &err);
    EXPECT(strstr(err.detail, "no key") == NULL);
    EXPECT_I64(0, token.length);
}
