/* Web Push: the example of RFC 8291 byte for byte, keys that are none, VAPID. */
#include "crypto.h"
#include "mem.h"
#include "test.h"
#include "webpush.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

static void bytes_of(const char *text, unsigned char *out, long wanted)
{
    unsigned char bytes[512];
    const long length = crypto_base64url_decode(text, strlen(text), bytes);
    EXPECT_I64(wanted, length);
    memcpy(out, bytes, (size_t)wanted);
}

TEST(the_example_of_rfc_8291, "P-39")
{
    static const char PLAIN[] = "When I grow up, I want to be a watermelon";
    static const char MESSAGE[] = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
                                  "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
                                  "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
    unsigned char browser[VAPID_POINT_BYTES], auth[16];
    struct webpush_chance chance;
    struct err err = {0};
    AUTO_STR out, text;
    str_init(&out);
    str_init(&text);
    bytes_of("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", browser,
             sizeof browser);
    bytes_of("BTBZMqHH6r4Tts7J_aSIgg", auth, sizeof auth);
    bytes_of("DGv6ra1nlYgDCS1FRnbzlw", chance.salt, sizeof chance.salt);
    bytes_of("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw", chance.private_key, sizeof chance.private_key);
    REQUIRE_OK(webpush_seal(browser, auth, VIEW(PLAIN), &chance, &out, &err), &err);
    crypto_base64url(out.bytes, out.length, &text);
    EXPECT_TEXT(MESSAGE, text.bytes);
}

TEST(a_record_has_room_for_3993_bytes, "P-39 I10")
{
    unsigned char browser[VAPID_POINT_BYTES], auth[16] = {0};
    char plain[WEBPUSH_PLAIN_MAX + 1];
    struct webpush_chance chance, other;
    struct err err = {0};
    AUTO_STR out;
    str_init(&out);
    bytes_of("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", browser,
             sizeof browser);
    memset(plain, 'x', sizeof plain);
    webpush_chance(&chance);
    webpush_chance(&other);
    EXPECT(memcmp(&chance, &other, sizeof chance) != 0);
    REQUIRE_OK(webpush_seal(browser, auth, (struct view){plain, WEBPUSH_PLAIN_MAX}, &chance, &out, &err), &err);
    EXPECT_I64(4096, out.length);
    EXPECT(!webpush_seal(browser, auth, (struct view){plain, WEBPUSH_PLAIN_MAX + 1}, &chance, &out, &err));
    EXPECT_PROBLEM("bad_input", &err);
    REQUIRE_OK(webpush_seal(browser, auth, (struct view){plain, 0}, &chance, &out, &err), &err);
}

TEST(keys_off_the_curve_are_none, "P-38")
{
    unsigned char point[VAPID_POINT_BYTES], zero[VAPID_POINT_BYTES] = {4};
    bytes_of("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", point,
             sizeof point);
    EXPECT(webpush_key_valid(point));
    EXPECT(!webpush_key_valid(zero));
    for (int i = 0; i < VAPID_POINT_BYTES; i++) {
        point[i] ^= 1;
        test_check(!webpush_key_valid(point), __FILE__, __LINE__, "byte %d", i);
        point[i] ^= 1;
    }
}

TEST(vapid_says_who_for_whom_and_until_when, "P-39")
{
    unsigned char key[VAPID_KEY_BYTES], decoded[512];
    struct err err = {0};
    AUTO_STR header;
    str_init(&header);
    vapid_generate(key);
    AUTO(vapid) vapid = vapid_open(key, "mailto:a@example.test", &err);
    REQUIRE(vapid);
    EXPECT_I64(87, strlen(vapid_public(vapid)));
    REQUIRE_OK(vapid_authorization(vapid, "https://push.example.test", 1700000000, &header, &err), &err);
    const char *claims = strchr(header.bytes, '.') + 1;
    const size_t length = strcspn(claims, ".");
    const long size = crypto_base64url_decode(claims, length, decoded);
    REQUIRE(size > 0);
    cJSON *document = cJSON_ParseWithLength((const char *)decoded, (size_t)size);
    EXPECT_TEXT("https://push.example.test", cJSON_GetStringValue(cJSON_GetObjectItem(document, "aud")));
    EXPECT_TEXT("mailto:a@example.test", cJSON_GetStringValue(cJSON_GetObjectItem(document, "sub")));
    EXPECT_I64(1700000000 + VAPID_TOKEN_S, cJSON_GetNumberValue(cJSON_GetObjectItem(document, "exp")));
    cJSON_Delete(document);
    EXPECT(strncmp(header.bytes, "vapid t=", 8) == 0 && strstr(header.bytes, vapid_public(vapid)));
    EXPECT_I64(86, strcspn(strchr(claims, '.') + 1, ","));
}

TEST(vapid_keys_that_are_none, "P-39")
{
    static const unsigned char ZERO[VAPID_KEY_BYTES] = {0};
    unsigned char most[VAPID_KEY_BYTES], good[VAPID_KEY_BYTES];
    struct err err = {0};
    memset(most, 0xff, sizeof most);
    vapid_generate(good);
    EXPECT(!vapid_open(ZERO, "mailto:a@example.test", &err));
    EXPECT(!vapid_open(most, "mailto:a@example.test", &err));
    EXPECT(!vapid_open(good, "a@example.test", &err));
}

TEST(topics_are_short_and_stable, "P-39")
{
    char one[WEBPUSH_TOPIC_BYTES], two[WEBPUSH_TOPIC_BYTES], other[WEBPUSH_TOPIC_BYTES];
    webpush_topic("room:1", one);
    webpush_topic("room:1", two);
    webpush_topic("room:2", other);
    EXPECT_TEXT(one, two);
    EXPECT(strcmp(one, other) != 0 && strlen(one) == 32);
}
