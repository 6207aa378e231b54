/* Every attack on tokens that we know of: the header, the form, the signature, the claims. */
#include "arena.h"
#include "crypto.h"
#include "json.h"
#include "token_world.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdatomic.h>

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
