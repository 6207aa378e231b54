/* Who may come in: good tokens of both signers, every attack we know of, the cache, rotation and revocation. */
#include "arena.h"
#include "clock.h"
#include "crypto.h"
#include "json.h"
#include "key_kit.h"
#include "mem.h"
#include "test.h"
#include "token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a verifier with one known key ---------------------------------------------------------------------------------
 */

struct world {
    struct key_kit *kit;
    struct keyset *keys;
    struct revoked *revoked;
    struct token_verifier *verifier;
    _Atomic int unknown_kids;
};

static void count_unknown_kid(void *payload)
{
    struct world *world = payload;
    world->unknown_kids++;
}

static void world_trust(struct world *world, const struct key_kit *const *kits)
{
    struct err err = {0};
    AUTO_STR jwks;
    str_init(&jwks);
    key_kit_jwks(kits, &jwks);
    REQUIRE_OK(keyset_load_jwks(world->keys, (struct view){jwks.bytes, jwks.length}, &err), &err);
}

static struct world *world_new(const char *audience, size_t cache_entries)
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

static void world_release(struct world **world)
{
    struct world *old = TAKE(*world);
    token_verifier_release(&old->verifier);
    revoked_release(&old->revoked);
    keyset_release(&old->keys);
    key_kit_release(&old->kit);
    free(old);
}

/* "ok", or the code of the refusal. */
static const char *verdict_for(struct world *world, const char *token, struct identity *identity)
{
    struct err err = {0};
    bool ok = token_verify(world->verifier, view_of(token), identity, &err);
    return ok ? "ok" : err.problem ? err.problem->code : "(no problem set)";
}

static const char *verdict(struct world *world, const char *token)
{
    struct identity identity;
    return verdict_for(world, token, &identity);
}

#define GOOD_HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k1\"}"
#define SUB "0190b7c4-0000-7000-8000-000000000001"
#define SID "0190b7c4-0000-7000-8000-0000000000aa"

/* A good payload in which `from` is replaced by `to` (both may be ""). */
static char *payload_with(const char *from, const char *to)
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

static void expect_payload(struct world *world, const char *expected, const char *payload, const char *file, int line)
{
    AUTO_STR token;
    str_init(&token);
    key_kit_sign(world->kit, GOOD_HEADER, payload, &token);
    test_check(strcmp(expected, verdict(world, token.bytes)) == 0, file, line, "expected %s, is %s: %s", expected,
               verdict(world, token.bytes), payload);
}

static void expect_header(struct world *world, const char *expected, const char *header, const char *file, int line)
{
    AUTO_FREE char *payload = payload_with("", "");
    AUTO_STR token;
    str_init(&token);
    key_kit_sign(world->kit, header, payload, &token);
    test_check(strcmp(expected, verdict(world, token.bytes)) == 0, file, line, "expected %s, is %s: %s", expected,
               verdict(world, token.bytes), header);
}

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

/* ---- attacks: the header -------------------------------------------------------------------------------------------
 */

TEST(only_es256_by_a_known_key_is_taken, "P-03 P-09")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    static const char *const HEADERS[] = {
        "{\"alg\":\"none\",\"kid\":\"k1\"}",
        "{\"alg\":\"None\",\"kid\":\"k1\"}",
        "{\"alg\":\"\",\"kid\":\"k1\"}",
        "{\"alg\":\"HS256\",\"kid\":\"k1\"}",
        "{\"alg\":\"RS256\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES384\",\"kid\":\"k1\"}",
        "{\"alg\":\"es256\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256 \",\"kid\":\"k1\"}",
        "{\"alg\":[\"ES256\"],\"kid\":\"k1\"}",
        "{\"alg\":null,\"kid\":\"k1\"}",
        "{\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":\"ES256\",\"kid\":\"\"}",
        "{\"alg\":\"ES256\",\"kid\":null}",
        "{\"alg\":\"ES256\",\"kid\":1}",
        "{\"alg\":\"ES256\",\"kid\":\"../../etc/passwd\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1' OR '1'='1\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\\u0000\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\\n\"}",
        "{\"alg\":\"ES256\",\"kid\":\"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\",\"crit\":[]}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\",\"crit\":null}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\",\"typ\":\"JWE\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\",\"typ\":5}",
        "{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k2\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\"} ,",
        "{\"alg\":\"ES256\",\"kid\":\"k1\"}{}",
        "[\"ES256\"]",
        "\"ES256\"",
        "",
        "{",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(HEADERS); i++)
        expect_header(world, "token_invalid", HEADERS[i], __FILE__, __LINE__);
    EXPECT_I64(0, world->unknown_kids); /* nobody makes us fetch keys with a header that is wrong anyway */
}

TEST(a_key_inside_the_token_is_never_used, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 0);
    AUTO(key_kit) thief = key_kit_new("k1");
    AUTO_FREE char *payload = payload_with("", "");
    AUTO_STR jwk, header, token;
    str_init(&jwk);
    str_init(&header);
    str_init(&token);
    key_kit_jwk(thief, &jwk);
    str_printf(&header, "{\"alg\":\"ES256\",\"kid\":\"k1\",\"jku\":\"https://example.com/k\",\"jwk\":%s}", jwk.bytes);
    key_kit_sign(thief, header.bytes, payload, &token);
    EXPECT_TEXT("token_invalid", verdict(world, token.bytes));
    str_clear(&token);
    key_kit_sign(world->kit, header.bytes, payload,
                 &token); /* our own key signed it: then those members are only noise */
    EXPECT_TEXT("ok", verdict(world, token.bytes));
}

TEST(an_unknown_key_asks_for_a_fresh_set, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    AUTO(key_kit) next = key_kit_new("k2");
    struct identity identity = key_kit_identity();
    AUTO_STR token;
    str_init(&token);
    key_kit_token(next, &identity, TOKEN_AUDIENCE, &token);
    EXPECT_TEXT("token_invalid", verdict(world, token.bytes));
    EXPECT_I64(1, world->unknown_kids);
    world_trust(world, (const struct key_kit *const[]){world->kit, next, NULL});
    EXPECT_TEXT("ok", verdict(world, token.bytes));
    EXPECT_I64(1, world->unknown_kids);
}

TEST(hs256_with_the_public_key_as_secret_is_refused, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 0);
    AUTO_FREE char *payload = payload_with("\"role\":\"user\"", "\"role\":\"admin\"");
    const char *header = "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}", *pem = key_kit_public_pem(world->kit);
    AUTO_STR token;
    str_init(&token);
    crypto_base64url(header, strlen(header), &token);
    str_add_char(&token, '.');
    crypto_base64url(payload, strlen(payload), &token);
    unsigned char mac[64] = {0};
    crypto_hmac_sha256(pem, strlen(pem), token.bytes, token.length, mac);
    AUTO_STR padded; /* once as HS256 makes it, once padded to the length of an ES256 signature */
    str_init(&padded);
    str_add_bytes(&padded, token.bytes, token.length);
    str_add_char(&token, '.');
    crypto_base64url(mac, SHA256_BYTES, &token);
    str_add_char(&padded, '.');
    crypto_base64url(mac, sizeof mac, &padded);
    EXPECT_TEXT("token_invalid", verdict(world, token.bytes));
    EXPECT_TEXT("token_invalid", verdict(world, padded.bytes));
}

/* ---- attacks: the form ---------------------------------------------------------------------------------------------
 */

/* `form` with each marker #1, #2 ... replaced by that part. */
static void compose(const char *form, const char *const *parts, struct str *out)
{
    str_clear(out);
    for (; *form; form++) {
        if (*form == '#')
            str_add(out, parts[*++form - '1']);
        else
            str_add_char(out, *form);
    }
}

TEST(anything_but_three_strict_parts_is_refused, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    AUTO_FREE char *payload = payload_with("", "");
    AUTO_STR token, text;
    str_init(&token);
    str_init(&text);
    key_kit_sign(world->kit, GOOD_HEADER, payload, &token);
    const char *dot = strchr(token.bytes, '.'), *last = strrchr(token.bytes, '.');
    AUTO_FREE char *part1 = strndup(token.bytes, (size_t)(dot - token.bytes));
    AUTO_FREE char *part2 = strndup(dot + 1, (size_t)(last - dot - 1));
    const char *const parts[] = {part1, part2, last + 1};
    compose("#1.#2.#3", parts, &text);
    EXPECT_TEXT("ok", verdict(world, text.bytes));
    static const char *const FORMS[] = {
        "#1.#2",     "#1.#2.",     ".#2.#3",    "#1..#3",     "#1.#2.#3.",        "#1.#2.#3.x", ".#1.#2.#3",
        "#1.#2.#3=", "#1.#2.#3==", "#1=.#2.#3", "#1.#2==.#3", " #1.#2.#3",        "#1.#2.#3 ",  "#1.#2.#3\n",
        "#1 .#2.#3", "#1.#2.#3A",  "#1.#2.A#3", "#2.#1.#3",   "Bearer #1.#2.#3",  "#1.#2+.#3",  "#1.#2/.#3",
        "#1#2#3",    "",           ".",         "..",         "#1.#2\xc3\xa9.#3", "...",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(FORMS); i++) {
        compose(FORMS[i], parts, &text);
        test_check(strcmp("token_invalid", verdict(world, text.bytes)) == 0, __FILE__, __LINE__, "%s: %s", FORMS[i],
                   verdict(world, text.bytes));
    }
    /* Every cut of a good token. */
    for (size_t length = 0; length < token.length; length++) {
        struct identity identity;
        struct err err = {0};
        if (!EXPECT(!token_verify(world->verifier, (struct view){token.bytes, length}, &identity, &err)) ||
            !EXPECT_PROBLEM("token_invalid", &err))
            return;
    }
}

TEST(no_character_of_a_token_can_be_changed, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 0);
    AUTO_FREE char *payload = payload_with("", "");
    AUTO_STR token;
    str_init(&token);
    key_kit_sign(world->kit, GOOD_HEADER, payload, &token);
    REQUIRE(strcmp("ok", verdict(world, token.bytes)) == 0);
    for (size_t i = 0; i < token.length; i++) {
        char old = token.bytes[i];
        /* The neighbour in the alphabet: at the end of a part this is also the text that decodes to the same bytes. */
        token.bytes[i] = old == 'Z'   ? 'a'
                         : old == 'z' ? '0'
                         : old == '9' ? '-'
                         : old == '-' ? '_'
                         : old == '_' ? 'A'
                                      : old + 1;
        test_check(strcmp("ok", verdict(world, token.bytes)) != 0, __FILE__, __LINE__, "character %zu", i);
        token.bytes[i] = old;
    }
    EXPECT_TEXT("ok", verdict(world, token.bytes));
}

TEST(over_long_parts_are_refused, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    AUTO_STR long_text;
    str_init(&long_text);
    for (int i = 0; i < 3000; i++)
        str_add_char(&long_text, 'x');
    AUTO_STR header;
    str_init(&header);
    str_printf(&header, "{\"alg\":\"ES256\",\"kid\":\"k1\",\"x\":\"%s\"}", long_text.bytes);
    expect_header(world, "token_invalid", header.bytes, __FILE__, __LINE__);
    AUTO_FREE char *payload = payload_with("mina", long_text.bytes);
    expect_payload(world, "token_invalid", payload, __FILE__, __LINE__);
    AUTO_STR huge;
    str_init(&huge);
    for (int i = 0; i < 1000000; i++)
        str_add_char(&huge, i % 1000 ? 'A' : '.');
    EXPECT_TEXT("token_invalid", verdict(world, huge.bytes));
}

/* ---- attacks: the signature ----------------------------------------------------------------------------------------
 */

static void expect_signature(struct world *world, const unsigned char signature[64], const char *what)
{
    AUTO_FREE char *payload = payload_with("", "");
    AUTO_STR token;
    str_init(&token);
    crypto_base64url(GOOD_HEADER, strlen(GOOD_HEADER), &token);
    str_add_char(&token, '.');
    crypto_base64url(payload, strlen(payload), &token);
    str_add_char(&token, '.');
    crypto_base64url(signature, 64, &token);
    test_check(strcmp("token_invalid", verdict(world, token.bytes)) == 0, __FILE__, __LINE__, "%s", what);
}

TEST(signatures_outside_the_range_are_refused, "P-03")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 0);
    /* The order n of P-256 (FIPS 186-4, D.1.2.3). */
    static const unsigned char N[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,    0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                        0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    unsigned char zero[32] = {0}, one[32] = {0}, all[32], n_and_one[32];
    one[31] = 1;
    memset(all, 0xff, sizeof all);
    memcpy(n_and_one, N, sizeof N);
    n_and_one[31]++;
    const unsigned char *const VALUES[] = {zero, one, N, n_and_one, all};
    for (size_t r = 0; r < ARRAY_LENGTH(VALUES); r++)
        for (size_t s = 0; s < ARRAY_LENGTH(VALUES); s++) {
            unsigned char signature[64];
            char what[40];
            memcpy(signature, VALUES[r], 32);
            memcpy(signature + 32, VALUES[s], 32);
            (void)snprintf(what, sizeof what, "r %zu, s %zu", r, s);
            expect_signature(world, signature, what);
        }
}

TEST(swapped_claims_and_foreign_signatures_are_refused, "P-03 P-04")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    AUTO(key_kit) thief = key_kit_new("k1");
    AUTO_FREE char *mine = payload_with("", "");
    AUTO_FREE char *wanted = payload_with("\"role\":\"user\"", "\"role\":\"admin\"");
    AUTO_STR good, other, mixed;
    str_init(&good);
    str_init(&other);
    str_init(&mixed);
    key_kit_sign(world->kit, GOOD_HEADER, mine, &good);
    key_kit_sign(thief, GOOD_HEADER, wanted, &other);
    EXPECT_TEXT("ok", verdict(world, good.bytes));
    EXPECT_TEXT("token_invalid", verdict(world, other.bytes));
    /* the thief's claims under a signature that is good for other claims (and that the cache knows) */
    str_add_bytes(&mixed, other.bytes, (size_t)(strrchr(other.bytes, '.') - other.bytes));
    str_add(&mixed, strrchr(good.bytes, '.'));
    EXPECT_TEXT("token_invalid", verdict(world, mixed.bytes));
    EXPECT_TEXT("ok", verdict(world, good.bytes));
}

/* ---- attacks: the claims -------------------------------------------------------------------------------------------
 */

TEST(claims_are_complete_ours_and_bounded, "P-03 P-04")
{
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    static const struct {
        const char *from, *to;
    } CHANGES[] = {
        {"\"iss\":\"madang\"", "\"iss\":\"else\""},
        {"\"iss\":\"madang\"", "\"iss\":\"madang2\""},
        {"\"iss\":\"madang\"", "\"iss\":null"},
        {"\"iss\":\"madang\",", ""},
        {"\"aud\":\"madang\"", "\"aud\":\"ticket\""},
        {"\"aud\":\"madang\"", "\"aud\":[\"madang\"]"},
        {"\"aud\":\"madang\",", ""},
        {"\"sub\":\"" SUB "\"", "\"sub\":\"1\""},
        {"\"sub\":\"" SUB "\"", "\"sub\":\"" SUB "0\""},
        {"\"sub\":\"" SUB "\"", "\"sub\":1"},
        {"\"sub\":\"" SUB "\",", ""},
        {"\"sid\":\"" SID "\"", "\"sid\":\"\""},
        {"\"sid\":\"" SID "\",", ""},
        {"\"role\":\"user\"", "\"role\":\"root\""},
        {"\"role\":\"user\"", "\"role\":\"USER\""},
        {"\"role\":\"user\"", "\"role\":[\"user\",\"admin\"]"},
        {"\"role\":\"user\",", ""},
        {"\"rv\":3", "\"rv\":-1"},
        {"\"rv\":3", "\"rv\":\"3\""},
        {"\"rv\":3", "\"rv\":3.5"},
        {"\"rv\":3", "\"rv\":99999999999999999999"},
        {"\"rv\":3,", ""},
        {"\"handle\":\"mina\",", ""},
        {"\"handle\":\"mina\"", "\"handle\":7"},
        {"\"handle\":\"mina\"", "\"handle\":\"mi\\u0000na\""},
        {"\"name\":\"미나\",", ""},
        {"\"name\":\"미나\"", "\"name\":{}"},
        {"\"iat\":", "\"iat\":-"},
        {"\"iat\":", "\"iat\":1"},
        {"\"exp\":", "\"exp\":9"},
        {"\"exp\":", "\"xp\":"},
        {"\"iat\":", "\"it\":"},
        {"\"role\":\"user\"", "\"role\":\"user\",\"role\":\"admin\""},
        {"\"sub\":\"" SUB "\"", "\"sub\":\"" SUB "\",\"sub\":\"" SID "\""},
        {"\"rv\":3", "\"rv\":3,\"exp\":99999999999"},
        {"\"rv\":3", "\"rv\":3,\"jti\":\"x\""},
        {"}", "},{}"},
        {"}", ""},
        {"{", "[{"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CHANGES); i++) {
        AUTO_FREE char *payload = payload_with(CHANGES[i].from, CHANGES[i].to);
        expect_payload(world, "token_invalid", payload, __FILE__, __LINE__);
    }
    /* 63 code points of three bytes each fit the table, not the identity */
    AUTO_STR name;
    str_init(&name);
    for (int i = 0; i < 63; i++)
        str_add(&name, "가");
    AUTO_FREE char *payload = payload_with("미나", name.bytes);
    expect_payload(world, "token_invalid", payload, __FILE__, __LINE__);
}

TEST(times_are_checked_with_ten_seconds_of_leeway, "P-03 K-03")
{
    static const struct {
        int iat, exp;
        const char *expected;
    } TIMES[] = {
        {-300, 300, "ok"},
        {-300, -8, "ok"},
        {-300, -12, "token_expired"},
        {-90000, -86000, "token_expired"},
        {8, 300, "ok"},
        {12, 300, "token_invalid"},
        {0, 86400, "ok"},
        {0, 86402, "token_invalid"},
        {0, 0, "token_invalid"},
        {100, 50, "token_invalid"},
    };
    AUTO(world) world = world_new(TOKEN_AUDIENCE, 64);
    for (size_t i = 0; i < ARRAY_LENGTH(TIMES); i++) {
        struct identity identity = key_kit_identity();
        identity.expires_at_s = identity.issued_at_s + TIMES[i].exp;
        identity.issued_at_s += TIMES[i].iat;
        AUTO_STR token;
        str_init(&token);
        key_kit_token(world->kit, &identity, TOKEN_AUDIENCE, &token);
        test_check(strcmp(TIMES[i].expected, verdict(world, token.bytes)) == 0, __FILE__, __LINE__,
                   "iat %+d, exp %+d: expected %s, is %s", TIMES[i].iat, TIMES[i].exp, TIMES[i].expected,
                   verdict(world, token.bytes));
    }
}

TEST(a_ticket_is_no_token_and_a_token_no_ticket, "P-03")
{
    AUTO(world) rest = world_new(TOKEN_AUDIENCE, 64);
    AUTO(world) socket = world_new(TICKET_AUDIENCE, 64);
    struct identity identity = key_kit_identity();
    uuid_new(identity.jti);
    AUTO_STR token;
    str_init(&token);
    key_kit_token(rest->kit, &identity, TICKET_AUDIENCE, &token);
    EXPECT_TEXT("token_invalid", verdict(rest, token.bytes));
    str_clear(&token);
    key_kit_token(socket->kit, &identity, TOKEN_AUDIENCE, &token);
    EXPECT_TEXT("token_invalid", verdict(socket, token.bytes));

    str_clear(&token);
    key_kit_token(socket->kit, &identity, TICKET_AUDIENCE, &token);
    struct identity read;
    EXPECT_TEXT("ok", verdict_for(socket, token.bytes, &read));
    EXPECT_TEXT(identity.jti, read.jti);
    str_clear(&token);
    identity.jti[0] = '\0'; /* without jti it could not be redeemed only once */
    key_kit_token(socket->kit, &identity, TICKET_AUDIENCE, &token);
    EXPECT_TEXT("token_invalid", verdict(socket, token.bytes));
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
