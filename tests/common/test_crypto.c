/* Hashes and codes against published values; randomness against its shape. */
#include "crypto.h"
#include "test.h"

TEST(sha256_and_hmac_match_the_published_vectors, "P-03")
{
    char hex[SHA256_HEX_BYTES];
    crypto_sha256_hex("abc", 3, hex); /* FIPS 180-2, appendix B.1 */
    EXPECT_TEXT("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", hex);
    crypto_sha256_hex("", 0, hex);
    EXPECT_TEXT("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", hex);

    unsigned char mac[SHA256_BYTES];
    const char *question = "what do ya want for nothing?"; /* RFC 4231, test case 2 */
    crypto_hmac_sha256("Jefe", 4, question, strlen(question), mac);
    crypto_hex(mac, sizeof mac, hex);
    EXPECT_TEXT("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", hex);
    crypto_hmac_sha256("", 0, "", 0, mac);
    crypto_hex(mac, sizeof mac, hex);
    EXPECT_TEXT("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", hex);
}

TEST(base64url_has_one_text_for_each_value, "P-03")
{
    static const struct {
        const char *plain, *text;
    } RFC4648[] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
                   {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};
    for (size_t i = 0; i < sizeof RFC4648 / sizeof RFC4648[0]; i++) {
        AUTO_STR text;
        str_init(&text);
        crypto_base64url(RFC4648[i].plain, strlen(RFC4648[i].plain), &text);
        EXPECT_TEXT(RFC4648[i].text, text.bytes);
        unsigned char back[16];
        long length = crypto_base64url_decode(text.bytes, text.length, back);
        EXPECT_I64((long)strlen(RFC4648[i].plain), length);
        EXPECT(length >= 0 && memcmp(back, RFC4648[i].plain, (size_t)length) == 0);
    }
    static const char *const WRONG[] = {"Z",    "Zg==",  "Zh",   "Zm9",  "Zm9v Yg", "Zm+v",
                                        "Zm/v", "Zm9vY", "\nZg", "Zg\n", "Z.g"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        unsigned char back[16];
        test_check(crypto_base64url_decode(WRONG[i], strlen(WRONG[i]), back) == -1, __FILE__, __LINE__, "taken: \"%s\"",
                   WRONG[i]);
    }
}

TEST(base64url_comes_back_for_every_length, "P-03")
{
    unsigned char bytes[700], back[700];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)test_random();
    for (size_t length = 0; length <= sizeof bytes; length++) {
        AUTO_STR text;
        str_init(&text);
        crypto_base64url(bytes, length, &text);
        if (!EXPECT_I64((length * 8 + 5) / 6, text.length) ||
            !EXPECT_I64((long)length, crypto_base64url_decode(text.bytes, text.length, back)) ||
            !EXPECT(memcmp(bytes, back, length) == 0))
            return;
    }
}

TEST(equal_compares_length_and_bytes, "P-03")
{
    EXPECT(crypto_equal("abc", 3, "abc", 3));
    EXPECT(!crypto_equal("abc", 3, "abd", 3));
    EXPECT(!crypto_equal("abc", 3, "ab", 2));
    EXPECT(crypto_equal(NULL, 0, "", 0));
}

TEST(random_texts_have_their_shape_and_differ, "P-04 P-07")
{
    char a[RANDOM_TEXT_BYTES], b[RANDOM_TEXT_BYTES];
    crypto_random_text(a);
    crypto_random_text(b);
    EXPECT_I64(43, strlen(a));
    EXPECT(strcmp(a, b) != 0);
    unsigned char bytes[32];
    EXPECT_I64(32, crypto_base64url_decode(a, strlen(a), bytes));

    int seen[10] = {0};
    for (int round = 0; round < 500; round++) {
        char digits[7];
        crypto_random_digits(digits, 6);
        EXPECT_I64(6, strlen(digits));
        EXPECT_I64(6, strspn(digits, "0123456789"));
        for (int i = 0; i < 6; i++)
            seen[(unsigned char)digits[i] - '0']++;
    }
    for (int digit = 0; digit < 10; digit++) /* 300 each on average; 150 is nine deviations away */
        test_check(seen[digit] > 150 && seen[digit] < 450, __FILE__, __LINE__, "digit %d came %d times of 3000", digit,
                   seen[digit]);
}
