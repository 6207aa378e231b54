/* Names and words: one form for what looks the same, nothing that hides, and the pieces that search uses. */
#include "mem.h"
#include "str.h"
#include "test.h"
#include "text.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>

static struct arena *arena;

__attribute__((constructor)) static void open_arena(void)
{
    arena = arena_open(64 * 1024 * 1024);
}

__attribute__((destructor)) static void close_arena(void)
{
    arena_release(&arena);
}

TEST(decomposed_hangul_becomes_composed, "P-12 M-02")
{
    EXPECT_TEXT("한글", text_nfc(arena, "\u1112\u1161\u11ab\u1100\u1173\u11af", false));
    EXPECT_TEXT("é", text_nfc(arena, "e\u0301", false));
    EXPECT_TEXT("ﬁ", text_nfc(arena, "ﬁ", false)); /* only composed, not changed */
    EXPECT_TEXT("", text_nfc(arena, "", false));
}

TEST(control_characters_and_broken_utf8_are_refused, "P-12 M-02")
{
    static const char *const NEVER[] = {"a\x01",    "\x7f",         "a\xc2\x85z",       "a\rb",     "\xff",
                                        "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "a\x1b[31m"};
    for (size_t i = 0; i < ARRAY_LENGTH(NEVER); i++) {
        test_check(!text_nfc(arena, NEVER[i], false), __FILE__, __LINE__, "taken: %zu", i);
        test_check(!text_nfc(arena, NEVER[i], true), __FILE__, __LINE__, "taken on several lines: %zu", i);
    }
    static const char *const ONE_LINE[] = {"a\tb", "a\nb", "a\u2028b", "mina\u202enimda", "\u2066a\u2069"};
    for (size_t i = 0; i < ARRAY_LENGTH(ONE_LINE); i++) {
        test_check(!text_nfc(arena, ONE_LINE[i], false), __FILE__, __LINE__, "taken: %zu", i);
        test_check(text_nfc(arena, ONE_LINE[i], true), __FILE__, __LINE__, "refused on several lines: %zu", i);
    }
    EXPECT_TEXT("👩\u200d💻", text_nfc(arena, "👩\u200d💻", false)); /* joined emoji stay whole */
}

TEST(what_looks_the_same_folds_the_same, "P-12 M-02")
{
    static const struct {
        const char *a, *b;
    } PAIRS[] = {
        {"MINA", "mina"},
        {"ＭＩＮＡ", "mina"}, /* full-width */
        {"ﬁne", "FINE"},      /* a ligature */
        {"Straße", "STRASSE"},
        {"mi\u200bna", "mina"},             /* zero-width space */
        {"mi\u200d\u200cna", "mina"},       /* joiner, non-joiner */
        {"\ufeffmina\u00ad", "mina"},       /* byte order mark, soft hyphen */
        {"mina\u3164\uffa0\u115f", "mina"}, /* fillers that show nothing */
        {"mina\ufe0f", "mina"},             /* variation selector */
        {"\u1112\u1161\u11ab글", "한글"},
        {"ｶﾞ", "ガ"},
        {"①", "1"},
        {"Ἀθήνα", "ἀθήνα"},
        {"ΣΑΣ", "σας"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(PAIRS); i++) {
        const char *a = text_fold(arena, PAIRS[i].a), *b = text_fold(arena, PAIRS[i].b);
        EXPECT_TEXT(b, a);
    }
    EXPECT(strcmp(text_fold(arena, "미나"), text_fold(arena, "민아")) != 0);
    EXPECT(text_fold(arena, "\xff") == NULL);
}

static size_t put_utf8(uint32_t code, char *out)
{
    if (code < 0x80)
        return (size_t)snprintf(out, 5, "%c", (int)code);
    if (code < 0x800)
        return (size_t)snprintf(out, 5, "%c%c", (int)(0xc0 | code >> 6), (int)(0x80 | (code & 63)));
    if (code < 0x10000)
        return (size_t)snprintf(out, 5, "%c%c%c", (int)(0xe0 | code >> 12), (int)(0x80 | (code >> 6 & 63)),
                                (int)(0x80 | (code & 63)));
    return (size_t)snprintf(out, 5, "%c%c%c%c", (int)(0xf0 | code >> 18), (int)(0x80 | (code >> 12 & 63)),
                            (int)(0x80 | (code >> 6 & 63)), (int)(0x80 | (code & 63)));
}

TEST(folding_and_composing_twice_changes_nothing, "P-12")
{
    AUTO(arena) own = arena_open(1024 * 1024);
    for (uint32_t code = 1; code <= 0x10ffff; code++) {
        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        char text[8] = "";
        (void)put_utf8(code, text);
        arena_reset(own);
        const char *folded = text_fold(own, text);
        if (!test_check(folded && strcmp(folded, text_fold(own, folded)) == 0, __FILE__, __LINE__, "fold U+%04X", code))
            return;
        const char *composed = text_nfc(own, text, true);
        if (composed && !test_check(strcmp(composed, text_nfc(own, composed, true)) == 0 &&
                                        strcmp(folded, text_fold(own, composed)) == 0,
                                    __FILE__, __LINE__, "nfc U+%04X", code))
            return;
    }
}

TEST(trim_leaves_single_spaces_inside, "P-12 M-02")
{
    EXPECT_TEXT("a b", text_trim(arena, "  a \t\u3000\n b\u00a0"));
    EXPECT_TEXT("", text_trim(arena, " \u2003\u205f "));
    EXPECT_TEXT("", text_trim(arena, ""));
    EXPECT_TEXT("미 나", text_trim(arena, "미\u2029나 "));
    EXPECT(text_trim(arena, " \xff") == NULL);
}

static void expect_bigrams(const char *text, const char *expected)
{
    size_t count;
    const char **bigrams = text_bigrams(arena, text, &count);
    AUTO_STR joined;
    str_init(&joined);
    for (size_t i = 0; i < count; i++)
        str_printf(&joined, "%s%s", i ? "|" : "", bigrams[i]);
    EXPECT_TEXT(expected, joined.bytes);
}

TEST(bigrams_are_distinct_and_in_order, "P-12")
{
    expect_bigrams("", "");
    expect_bigrams("강", "");
    expect_bigrams("강남", "강남");
    expect_bigrams("강남역", "강남|남역");
    expect_bigrams("abab", "ab|ba");
    expect_bigrams("aaaa", "aa");
    expect_bigrams("a b", "a | b");
    expect_bigrams("👩가", "👩가");
}

TEST(bigrams_end_at_256, "P-12 I9")
{
    AUTO_STR text;
    str_init(&text);
    for (uint32_t code = 0xac00; code < 0xac00 + 2000; code++) {
        char one[5];
        (void)put_utf8(code, one);
        str_add(&text, one);
    }
    size_t count;
    const char **bigrams = text_bigrams(arena, text.bytes, &count);
    EXPECT_I64(256, count);
    EXPECT_TEXT("가각", bigrams[0]);
}

TEST(email_addresses_as_clients_mean_them, "P-01 S-01 M-01")
{
    static const char *const GOOD[] = {"a@b.co",
                                       "mina.kim+tag@example.com",
                                       "o'hara@example.co.kr",
                                       "A_B-C@sub-domain.example",
                                       "1@2.c3",
                                       "a@xn--3e0b707e.example",
                                       "x@123.com"};
    for (size_t i = 0; i < ARRAY_LENGTH(GOOD); i++)
        test_check(text_is_email(GOOD[i]), __FILE__, __LINE__, "refused: %s", GOOD[i]);
    static const char *const WRONG[] = {"",
                                        "@",
                                        "a",
                                        "a@",
                                        "@b.co",
                                        "a@b",
                                        "a@b.",
                                        "a@.b.co",
                                        "a@b..co",
                                        ".a@b.co",
                                        "a.@b.co",
                                        "a..b@b.co",
                                        "a b@b.co",
                                        "\"a b\"@b.co",
                                        "a@b.co ",
                                        " a@b.co",
                                        "a@b.co\n",
                                        "a@b.co\r\nBcc: x@y.z",
                                        "a@[127.0.0.1]",
                                        "a@127.0.0.1",
                                        "a@-b.co",
                                        "a@b-.co",
                                        "a@b_c.co",
                                        "a@b@c.co",
                                        "a,b@c.co",
                                        "<a@b.co>",
                                        "미나@example.com",
                                        "a@한글.kr",
                                        "a@b.co\x7f"};
    for (size_t i = 0; i < ARRAY_LENGTH(WRONG); i++)
        test_check(!text_is_email(WRONG[i]), __FILE__, __LINE__, "taken: %s", WRONG[i]);
}

TEST(email_addresses_have_bounds, "P-01 I10")
{
    char text[400];
    (void)snprintf(text, sizeof text, "%064d@example.com", 0);
    EXPECT(text_is_email(text));
    (void)snprintf(text, sizeof text, "%065d@example.com", 0);
    EXPECT(!text_is_email(text));
    (void)snprintf(text, sizeof text, "a@%063d.com", 0);
    EXPECT(text_is_email(text));
    (void)snprintf(text, sizeof text, "a@%064d.com", 0);
    EXPECT(!text_is_email(text));
    (void)snprintf(text, sizeof text, "%061d@%060d.%060d.%060d.example", 0, 0, 0, 0);
    EXPECT_I64(252, strlen(text));
    EXPECT(text_is_email(text));
    (void)snprintf(text, sizeof text, "%064d@%060d.%060d.%060d.example", 0, 0, 0, 0);
    EXPECT_I64(255, strlen(text));
    EXPECT(!text_is_email(text));
}

TEST(masked_addresses_keep_one_letter_and_the_domain, "P-12")
{
    EXPECT_TEXT("j***@example.com", text_mask_email(arena, "jane@example.com"));
    EXPECT_TEXT("j***@example.com", text_mask_email(arena, "j@example.com"));
    EXPECT_TEXT("***", text_mask_email(arena, "@example.com"));
    EXPECT_TEXT("***", text_mask_email(arena, "nobody"));
    EXPECT_TEXT("***", text_mask_email(arena, ""));
}
