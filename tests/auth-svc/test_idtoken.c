/* id_tokens of outside providers: forms and fields that must be refused whatever the signature says. Good ones, and bad
 * ones with a good signature, are in social.test.mjs. */
#include "crypto.h"
#include "idtoken.h"
#include "mem.h"
#include "test.h"

static const struct id_token_rules RULES = {
    .issuer = "https://id.example", .client_id = "us", .nonce = "n", .now_s = 1700000000};

static void refused(const char *token, const char *jwks)
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct id_token out;
    struct err err = {0};
    bool unknown_key;
    test_check(!id_token_verify(arena, token, &RULES, view_of(jwks), &out, &unknown_key, &err), __FILE__, __LINE__,
               "%.60s", token);
    EXPECT(err.problem != NULL);
}

static void signed_with(const char *header, const char *payload, const char *signature, const char *jwks)
{
    AUTO_STR token = {0};
    crypto_base64url(header, strlen(header), &token);
    str_add_char(&token, '.');
    crypto_base64url(payload, strlen(payload), &token);
    str_add_char(&token, '.');
    str_add(&token, signature);
    refused(token.bytes, jwks);
}

#define CLAIMS                                                                                                         \
    "{\"iss\":\"https://"                                                                                              \
    "id.example\",\"sub\":\"1\",\"aud\":\"us\",\"nonce\":\"n\",\"exp\":1700000100,\"iat\":1700000000}"
/* A key pair of this test only; the signature below is no signature of it. */
static const char EC_SET[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":"
                             "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                             "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

TEST(what_is_no_jwt_is_refused, "M-08 P-03")
{
    static const char *const TOKENS[] = {"",        ".",        "..",       "a",          "a.b",
                                         "a.b.c.d", "!!.!!.!!", "e30.e30.", "e30.e30.AA", "....."};
    for (size_t i = 0; i < ARRAY_LENGTH(TOKENS); i++)
        refused(TOKENS[i], EC_SET);
}

TEST(only_rs256_and_es256_by_a_key_of_the_set, "M-08 P-03")
{
    static const char SIGNATURE[] =
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    static const char *const HEADERS[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"HS256\",\"kid\":\"a\"}",
        "{\"alg\":\"ES384\",\"kid\":\"a\"}",
        "{\"alg\":\"es256\",\"kid\":\"a\"}",
        "{\"alg\":\"RS256\",\"kid\":\"a\"}", /* the key is another kind */
        "{\"alg\":\"ES256\",\"kid\":\"b\"}",
        "{\"alg\":\"ES256\",\"kid\":\"a\",\"crit\":[\"b64\"]}",
        "{\"alg\":\"ES256\",\"kid\":\"a\"}", /* the signature is wrong */
        "{\"alg\":\"ES256\"}",
        "{\"kid\":\"a\"}",
        "[]",
        "null",
    };
    static const char *const SETS[] = {
        EC_SET,
        "",
        "[]",
        "{}",
        "{\"keys\":7}",
        "{\"keys\":[7,null,{}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":\"AA\",\"y\":\"AA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}"};
    for (size_t header = 0; header < ARRAY_LENGTH(HEADERS); header++)
        for (size_t set = 0; set < ARRAY_LENGTH(SETS); set++)
            signed_with(HEADERS[header], CLAIMS, SIGNATURE, SETS[set]);
}

TEST(a_missing_key_is_told_apart_from_a_wrong_signature, "M-08")
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct id_token out;
    struct err err = {0};
    bool unknown_key = false;
    /* {"alg":"ES256","kid":"b"}.{}. */
    EXPECT(!id_token_verify(arena, "eyJhbGciOiJFUzI1NiIsImtpZCI6ImIifQ.e30.AAAA", &RULES, VIEW(EC_SET), &out,
                            &unknown_key, &err));
    EXPECT(unknown_key);
    err_clear(&err);
    /* {"alg":"ES256","kid":"a"}.{}. */
    EXPECT(!id_token_verify(arena, "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AAAA", &RULES, VIEW(EC_SET), &out,
                            &unknown_key, &err));
    EXPECT(!unknown_key);
}

TEST(verified_means_true_in_either_form, "M-08")
{
    EXPECT(json_says_true("true") && json_says_true("\"true\""));
    EXPECT(!json_says_true("false") && !json_says_true("\"false\"") && !json_says_true("1") && !json_says_true(NULL));
}
