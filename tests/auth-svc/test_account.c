/* The rules of names, passwords, codes and refresh tokens: in memory, nothing else. */
#include "account.h"
#include "codes.h"
#include "mem.h"
#include "problems.h"
#include "refresh.h"
#include "test.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>

static bool nickname_ok(const char *text)
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct nickname nickname;
    struct err err = {0};
    bool good = account_nickname(arena, text, &nickname, &err);
    if (!good && (err.field_count != 1 || strcmp(err.fields[0].pointer, "/nickname") != 0))
        EXPECT(!"a refused nickname names its field");
    return good;
}

static bool folds_alike(const char *one, const char *other)
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct nickname a, b;
    struct err err = {0};
    return account_nickname(arena, one, &a, &err) && account_nickname(arena, other, &b, &err) &&
           strcmp(a.folded, b.folded) == 0;
}

TEST(nicknames_have_2_to_20_characters, "P-01 S-01 M-01")
{
    EXPECT(!nickname_ok(""));
    EXPECT(!nickname_ok("x"));
    EXPECT(nickname_ok("xy"));
    EXPECT(nickname_ok("가나"));
    EXPECT(!nickname_ok("가"));
    EXPECT(nickname_ok("가나다라마바사아자차가나다라마바사아자차"));    /* 20 */
    EXPECT(!nickname_ok("가나다라마바사아자차가나다라마바사아자차가")); /* 21 */
    EXPECT(!nickname_ok("  a  "));
    EXPECT(!nickname_ok("a\nb"));
    EXPECT(!nickname_ok("\xe2\x80\x8b\xe2\x80\x8b\xe2\x80\x8b")); /* three invisible characters are no name */
    EXPECT(!nickname_ok("a\xe2\x80\xae"
                        "b")); /* a bidi override */
    EXPECT(!nickname_ok("a\xe2\x80\xa8"
                        "b")); /* a line separator */
    EXPECT(!nickname_ok("a\xee\x80\x80"
                        "b"));                                                /* private use */
    EXPECT(nickname_ok("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80 yard")); /* an astronaut */
}

TEST(nicknames_that_look_the_same_are_the_same, "M-01 M-02")
{
    EXPECT(folds_alike("Yard", "yARD"));
    EXPECT(folds_alike("  Yard  Cat ", "yard cat"));
    EXPECT(folds_alike("가나", "\xe1\x84\x80\xe1\x85\xa1\xe1\x84\x82\xe1\x85\xa1")); /* NFC and NFD */
    EXPECT(folds_alike("Ｙａｒｄ", "yard"));                                         /* full-width */
    EXPECT(!folds_alike("yard", "yards"));
}

TEST(words_of_the_list_are_found_whatever_stands_between_their_letters, "M-02")
{
    static const char *const REFUSED[] = {"fuck you", "FuCkYou", "f.u.c.k", "f-u c_k",  "f1u2c3k",  "ＦＵＣＫ",
                                          "xxshitxx", "씨발",    "씨1발",   "시 발",    "병-신",    "개새끼들",
                                          "ㅅㅂ놈아", "ㅅ.ㅂ",   "지 1 랄", "asshole9", "b!i!t!c!h"};
    static const char *const ALLOWED[] = {"classic",   "grassland", "Dickens",  "사과나무",    "보름달",
                                          "assistant", "cocktails", "신발가게", "병아리 신사", "user12345"};
    for (size_t i = 0; i < ARRAY_LENGTH(REFUSED); i++)
        test_check(!nickname_ok(REFUSED[i]), __FILE__, __LINE__, "%s is refused", REFUSED[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(ALLOWED); i++)
        test_check(nickname_ok(ALLOWED[i]), __FILE__, __LINE__, "%s is allowed", ALLOWED[i]);
}

TEST(handles_are_short_and_plain, "P-01")
{
    static const char *const GOOD[] = {"ab", "a.b_c9", "123456789012345678901234567890"};
    static const char *const BAD[] = {"", "a", "Ab", "a b", "a-b", "가나", "a@b", "1234567890123456789012345678901"};
    for (size_t i = 0; i < ARRAY_LENGTH(GOOD); i++) {
        struct err err = {0};
        test_check(account_handle(GOOD[i], &err), __FILE__, __LINE__, "%s is a handle", GOOD[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        struct err err = {0};
        test_check(!account_handle(BAD[i], &err), __FILE__, __LINE__, "%s is no handle", BAD[i]);
        EXPECT_PROBLEM("bad_input", &err);
    }
    for (int i = 0; i < 1000; i++) {
        char handle[HANDLE_MAX + 1], nickname[32];
        struct err err = {0};
        account_make_handle(handle);
        account_make_nickname(i % 2, nickname);
        REQUIRE(account_handle(handle, &err));
        REQUIRE(nickname_ok(nickname));
    }
}

static bool password_ok(const char *password)
{
    AUTO(arena) arena = arena_open(1 << 20);
    const char *names[] = {"sun@yard.example", NULL, "Sunny Day 1"};
    struct err err = {0};
    return account_password(arena, password, names, ARRAY_LENGTH(names), "/password", &err);
}

TEST(passwords_are_8_to_128_with_a_letter_and_a_digit, "P-01 S-01 M-01 D-01 K-02")
{
    char longest[PASSWORD_MAX + 1], too_long[PASSWORD_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[PASSWORD_MAX - 1] = '1';
    longest[PASSWORD_MAX] = '\0';
    (void)snprintf(too_long, sizeof too_long, "a%s", longest);
    EXPECT(password_ok("abcdefg1"));
    EXPECT(password_ok("비밀번호는이것1"));
    EXPECT(password_ok("with space 7 and $@!%*?&()_"));
    EXPECT(password_ok(longest));
    EXPECT(!password_ok(too_long));
    EXPECT(!password_ok("abcdef1"));
    EXPECT(!password_ok("abcdefgh"));
    EXPECT(!password_ok("12345678"));
    EXPECT(!password_ok("abcdefg1\x01"));
}

TEST(a_password_is_none_of_the_account_s_names, "S-01 K-02")
{
    EXPECT(!password_ok("sunny day 1"));
    EXPECT(!password_ok("SUNNY DAY 1"));
    EXPECT(password_ok("sunny day 12"));
    AUTO(arena) arena = arena_open(1 << 20);
    const char *names[] = {"sun1@yard.example"};
    struct err err = {0};
    EXPECT(!account_password(arena, "Sun1@Yard.example", names, 1, "/new_password", &err));
    EXPECT_TEXT("/new_password", err.fields[0].pointer);
}

TEST(a_password_typed_on_another_keyboard_is_the_same, "P-02")
{
    AUTO(arena) arena = arena_open(1 << 20);
    EXPECT_TEXT(account_password_form(arena, "가1234567"), account_password_form(arena, "\xe1\x84\x80\xe1\x85\xa1"
                                                                                        "1234567"));
}

TEST(e_mail_addresses_are_compared_without_case, "P-01 S-02")
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct err err = {0};
    EXPECT_TEXT("sun@yard.example", account_email(arena, "Sun@Yard.EXAMPLE", "/email", &err));
    EXPECT(!account_email(arena, "sun@", "/email", &err));
    EXPECT_TEXT("/email", err.fields[0].pointer);
}

TEST(phone_numbers_are_compared_without_dashes, "M-04")
{
    static const struct {
        const char *typed, *stored;
    } CASES[] = {
        {"010-1234-5678", "01012345678"},
        {"010 1234 5678", "01012345678"},
        {"+82 10-1234-5678", "01012345678"},
        {"+82-010-1234-5678", "01012345678"},
        {"02-123-4567", "021234567"},
        {"+1 (415) 555-0100", "+14155550100"},
        {"12345678", NULL},
        {"010-12x4-5678", NULL},
        {"", NULL},
        {"+", NULL},
        {"+82", NULL},
        {"0", NULL},
        {"010123456789012345678901234", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        char phone[PHONE_BYTES];
        bool good = account_phone(CASES[i].typed, phone);
        test_check(good == (CASES[i].stored != NULL), __FILE__, __LINE__, "\"%s\"", CASES[i].typed);
        if (good && CASES[i].stored)
            EXPECT_TEXT(CASES[i].stored, phone);
    }
}

TEST(birth_dates_are_days_that_were, "M-01")
{
    static const char *const GOOD[] = {"1900-01-01", "2000-02-29", "2024-02-29", "2025-11-20"};
    static const char *const BAD[] = {"1899-12-31",
                                      "1900-02-29",
                                      "2023-02-29",
                                      "2025-13-01",
                                      "2025-00-10",
                                      "2025-04-31",
                                      "2025-11-21",
                                      "2025-1-1",
                                      "20250101",
                                      "2025-01-01T00:00:00Z",
                                      ""};
    for (size_t i = 0; i < ARRAY_LENGTH(GOOD); i++) {
        struct err err = {0};
        test_check(account_birth_date(GOOD[i], "2025-11-20", &err), __FILE__, __LINE__, "%s", GOOD[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        struct err err = {0};
        test_check(!account_birth_date(BAD[i], "2025-11-20", &err), __FILE__, __LINE__, "%s", BAD[i]);
    }
}

TEST(all_wrong_fields_are_told_at_once, "P-01")
{
    AUTO(arena) arena = arena_open(1 << 20);
    struct nickname nickname;
    struct err err = {0};
    (void)account_nickname(arena, "x", &nickname, &err);
    (void)account_handle("X", &err);
    (void)account_email(arena, "nobody", "/email", &err);
    (void)account_password(arena, "short", NULL, 0, "/password", &err);
    EXPECT_PROBLEM("bad_input", &err);
    EXPECT_I64(4, err.field_count);
}

/* ---- codes ---- */

TEST(a_code_is_bound_to_purpose_and_address, "P-07 M-03")
{
    struct secret secret, other;
    secret_init(&secret, "one", 3);
    secret_init(&other, "two", 3);
    const struct code_purpose *verify = code_purpose_find("verify_email"), *reset = code_purpose_find("reset_password");
    REQUIRE(verify && reset && !code_purpose_find("admin"));
    unsigned char mac[SHA256_BYTES], same[SHA256_BYTES], different[SHA256_BYTES];
    code_mac(&secret, verify, "a@b.example", "123456", mac);
    code_mac(&secret, verify, "a@b.example", "123456", same);
    EXPECT(memcmp(mac, same, sizeof mac) == 0);
    code_mac(&secret, reset, "a@b.example", "123456", different);
    EXPECT(memcmp(mac, different, sizeof mac) != 0);
    code_mac(&secret, verify, "c@b.example", "123456", different);
    EXPECT(memcmp(mac, different, sizeof mac) != 0);
    code_mac(&secret, verify, "a@b.example", "123457", different);
    EXPECT(memcmp(mac, different, sizeof mac) != 0);
    code_mac(&other, verify, "a@b.example", "123456", different);
    EXPECT(memcmp(mac, different, sizeof mac) != 0);
}

TEST(each_purpose_wants_its_kind_of_address, "M-03 M-04")
{
    AUTO(arena) arena = arena_open(1 << 20);
    const struct code_purpose *by_mail = code_purpose_find("verify_email"), *by_sms = code_purpose_find("find_login");
    struct err err = {0};
    EXPECT_TEXT("a@b.example", code_address(arena, by_mail, "A@b.example", NULL, &err));
    EXPECT_TEXT("01012345678", code_address(arena, by_sms, NULL, "010-1234-5678", &err));
    EXPECT(!err.problem);
    EXPECT(!code_address(arena, by_mail, NULL, "010-1234-5678", &err));
    EXPECT_I64(2, err.field_count); /* one too many, one missing */
    err_clear(&err);
    EXPECT(!code_address(arena, by_sms, "a@b.example", "010-1234-5678", &err));
    EXPECT(!code_address(arena, by_sms, NULL, "12", &err));
}

/* ---- refresh tokens ---- */

#define SESSION "01980000-0000-7000-8000-00000000abcd"

TEST(a_refresh_token_names_its_session_and_can_t_be_made_up, "P-04 K-04")
{
    struct secret secret, other;
    secret_init(&secret, "one", 3);
    secret_init(&other, "two", 3);
    struct refresh_token token, read;
    refresh_new(&secret, SESSION, &token);
    EXPECT_I64(REFRESH_TEXT_BYTES - 1, strlen(token.text));
    REQUIRE(refresh_read(&secret, token.text, &read));
    EXPECT_TEXT(SESSION, read.session_id);
    EXPECT(memcmp(read.hash, token.hash, sizeof token.hash) == 0);
    EXPECT(!refresh_read(&other, token.text, &read));
    EXPECT(!refresh_read(&secret, "", &read));
    EXPECT(!refresh_read(&secret, "x", &read));
    for (size_t i = 0; i < strlen(token.text); i++) { /* every character counts */
        char changed[REFRESH_TEXT_BYTES];
        memcpy(changed, token.text, sizeof changed);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        test_check(!refresh_read(&secret, changed, &read), __FILE__, __LINE__, "changed at %zu", i);
    }
}

TEST(two_tabs_get_the_same_successor, "P-04 M-06")
{
    struct secret secret;
    secret_init(&secret, "one", 3);
    struct refresh_token token, next, again, after;
    refresh_new(&secret, SESSION, &token);
    refresh_successor(&secret, &token, &next);
    refresh_successor(&secret, &token, &again);
    refresh_successor(&secret, &next, &after);
    EXPECT_TEXT(next.text, again.text);
    EXPECT(strcmp(token.text, next.text) != 0 && strcmp(next.text, after.text) != 0);
    EXPECT_TEXT(SESSION, next.session_id);
}

TEST(what_a_presented_token_means, "P-04 K-04 D-02")
{
    struct secret secret;
    secret_init(&secret, "one", 3);
    struct refresh_token first, second, third, twin;
    refresh_new(&secret, SESSION, &first);
    refresh_successor(&secret, &first, &second);
    refresh_successor(&secret, &second, &third);
    refresh_new(&secret, SESSION, &twin);
    struct refresh_state state = {.has_previous = true, .rotated_ago_ms = 9000};
    memcpy(state.current, second.hash, sizeof state.current);
    memcpy(state.previous, first.hash, sizeof state.previous);
    EXPECT_I64(REFRESH_ROTATE, refresh_judge(&state, &second, 10000));
    EXPECT_I64(REFRESH_REPEAT, refresh_judge(&state, &first, 10000));
    EXPECT_I64(REFRESH_REUSED, refresh_judge(&state, &twin, 10000));
    state.rotated_ago_ms = 10001;
    EXPECT_I64(REFRESH_REUSED, refresh_judge(&state, &first, 10000));
    EXPECT_I64(REFRESH_ROTATE, refresh_judge(&state, &second, 10000));
    state.has_twin = true;
    memcpy(state.twin, twin.hash, sizeof state.twin);
    EXPECT_I64(REFRESH_ROTATE, refresh_judge(&state, &twin, 10000));
    /* third is current: first is older than the one before, even at once */
    memcpy(state.current, third.hash, sizeof state.current);
    memcpy(state.previous, second.hash, sizeof state.previous);
    state.rotated_ago_ms = 0;
    EXPECT_I64(REFRESH_REUSED, refresh_judge(&state, &first, 10000));
    state.ended = true;
    EXPECT_I64(REFRESH_GONE, refresh_judge(&state, &third, 10000));
    state.ended_by_reuse = true;
    EXPECT_I64(REFRESH_REUSED, refresh_judge(&state, &third, 10000));
    state.ended = state.ended_by_reuse = false;
    state.expired = true;
    EXPECT_I64(REFRESH_GONE, refresh_judge(&state, &third, 10000));
}
