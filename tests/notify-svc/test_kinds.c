/* test_kinds.c - the table of kinds, templates, what users choose, and how a request is read. */
#include "codec.h"
#include "cookie.h"
#include "deliver.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

static struct arena *arena(void)
{
    static struct arena *one;
    if (!one)
        one = arena_open(16 * 1024 * 1024);
    return one;
}

/* ---- the table ---- */

static bool needs(const struct kind *kind, const char *name, size_t length)
{
    for (size_t i = 0; i < KIND_ARGS_MAX && kind->args[i]; i++)
        if (strlen(kind->args[i]) == length && memcmp(kind->args[i], name, length) == 0)
            return true;
    return false;
}

/* Every {name} is closed and is an arg that the kind needs, or has words of its own: nothing ever stays empty. */
static void check_template(const struct kind *kind, const char *pattern)
{
    REQUIRE(pattern && *pattern);
    for (const char *at = pattern; (at = strchr(at, '{')); at++) {
        const size_t length = strcspn(at + 1, "{}");
        EXPECT(at[1 + length] == '}');
        const char *bar = memchr(at + 1, '|', length);
        test_check(bar ? bar[1] != '}' : needs(kind, at + 1, length), __FILE__, __LINE__, "%s needs %.*s", kind->name,
                   (int)length, at + 1);
    }
}

TEST(every_kind_is_whole_in_both_languages, "M-54 M-55 K-41 D-47 S-45")
{
    size_t count = 0;
    for (const struct kind *kind = KINDS; kind->name; kind++, count++) {
        check_template(kind, kind->ko.title);
        check_template(kind, kind->ko.body);
        check_template(kind, kind->en.title);
        check_template(kind, kind->en.body);
        EXPECT_I64(0, kind->normally & ~kind->possible);
        EXPECT(kind->normally != 0 && kind->worth_s > 0);
        EXPECT(kind_find(kind->name) == kind);                       /* no name twice */
        EXPECT(!(kind->secret && (kind->possible & CHANNEL_INBOX))); /* what is forgotten can't be in a list */
    }
    EXPECT(count <= CHOICES_MAX);
    static const char *const WANTED[] = {"code",
                                         "session_reused",
                                         "friend_request",
                                         "friend_accepted",
                                         "meetup_application",
                                         "meetup_approved",
                                         "meetup_rejected",
                                         "meetup_banned",
                                         "meetup_changed",
                                         "meetup_new",
                                         "meetup_starting",
                                         "partner_joined",
                                         "partner_left",
                                         "match_confirmed",
                                         "comment_reply",
                                         "workspace_joined",
                                         "channel_joined",
                                         "comment_added",
                                         "payment_done",
                                         "inquiry_received",
                                         "error_reported",
                                         "round_result",
                                         "chat_message",
                                         "match_done"};
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++)
        test_check(kind_find(WANTED[i]) != NULL, __FILE__, __LINE__, "kind %s", WANTED[i]);
    EXPECT(!kind_find("") && !kind_find("codes"));
    EXPECT_I64(0, channel_bit_of("pigeon"));
    EXPECT_I64(CHANNEL_SLACK, channel_bit_of("slack"));
}

/* ---- templates ---- */

static const char *fill(const char *pattern, const char *value, size_t points_max)
{
    const struct args args = {.items = {{"a.b", value}, {"c", "C"}}, .count = 2};
    return template_fill(arena(), pattern, &args, points_max);
}

TEST(args_are_inserted_as_text, "K-41 S-45")
{
    EXPECT_TEXT("x-kim-C", fill("x-{a.b}-{c}", "kim", 100));
    EXPECT_TEXT("{c}%s", fill("{a.b}", "{c}%s", 100));
    EXPECT_TEXT("[]", fill("[{unknown}]", "", 100));
    EXPECT_TEXT("", fill("", "", 100));
    EXPECT_TEXT("kim/a device/C", fill("{a.b|x}/{d|a device}/{c|}", "kim", 100));
    EXPECT_TEXT("x", fill("{a.b|x}", "", 100));
    EXPECT_TEXT("a b c", fill("{a.b}",
                              "a\r\nb\t \xc2\x85"
                              "c",
                              100)); /* one line, one blank */
    EXPECT_TEXT("a b", fill("{a.b}",
                            "a\xe2\x80\xae"
                            "b",
                            100));                    /* and nothing that turns the writing */
    EXPECT_TEXT("openx", fill("open{a.b", "x", 100)); /* the end closes it; the table has none */
}

TEST(inserted_text_is_bounded_in_code_points, "K-41")
{
    char long_text[3 * 400 + 1] = "";
    for (int i = 0; i < 400; i++)
        memcpy(long_text + 3 * i, "긴", 4);
    const char *one = fill("{a.b}", long_text, 1000);
    EXPECT_I64(3 * ARG_POINTS_MAX + 3, strlen(one)); /* and the ellipsis */
    const char *whole = fill("{a.b}{a.b}", long_text, 100);
    EXPECT_I64(3 * 99 + 3, strlen(whole));
    EXPECT_TEXT("…", whole + strlen(whole) - 3);
}

TEST(languages, "M-54")
{
    static const struct {
        const char *locale, *language;
    } CASES[] = {{NULL, "ko"}, {"", "ko"},      {"ko", "ko"}, {"ko-KR", "ko"}, {"KO", "ko"},
                 {"en", "en"}, {"en_US", "en"}, {"de", "en"}, {"k", "en"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        EXPECT_TEXT(CASES[i].language, template_language(CASES[i].locale));
}

/* ---- choices ---- */

TEST(what_a_user_chose_comes_over_what_was_asked, "P-42 M-54")
{
    const struct kind *kind = kind_find("friend_request"), *code = kind_find("code");
    struct choice choice = {kind, CHANNEL_PUSH | CHANNEL_EMAIL, CHANNEL_EMAIL};
    EXPECT_I64(CHANNEL_INBOX | CHANNEL_PUSH, choice_channels(kind, 0, NULL));
    EXPECT_I64(CHANNEL_INBOX | CHANNEL_EMAIL, choice_channels(kind, 0, &choice));
    EXPECT_I64(CHANNEL_EMAIL, choice_channels(kind, CHANNEL_PUSH, &choice));
    EXPECT_I64(CHANNEL_INBOX, choice_channels(kind, CHANNEL_INBOX | CHANNEL_SMS, NULL)); /* never what a kind can't */
    choice = (struct choice){code, CHANNEL_EMAIL, 0};
    EXPECT_I64(CHANNEL_EMAIL, choice_channels(code, CHANNEL_EMAIL, &choice)); /* safety is not a matter of taste */
}

TEST(choices_change_bit_by_bit, "P-42")
{
    const struct kind *kind = kind_find("friend_request"), *code = kind_find("code");
    struct choice now = {.kind = kind};
    struct err err = {0};
    EXPECT(choice_change(&now, &(struct choice){kind, CHANNEL_PUSH, 0}, &err));
    EXPECT(choice_change(&now, &(struct choice){kind, CHANNEL_EMAIL, CHANNEL_EMAIL}, &err));
    EXPECT_I64(CHANNEL_PUSH | CHANNEL_EMAIL, now.named);
    EXPECT_I64(CHANNEL_EMAIL, now.wanted);
    EXPECT(choice_change(&now, &(struct choice){kind, CHANNEL_PUSH | CHANNEL_EMAIL, CHANNEL_PUSH}, &err));
    EXPECT_I64(CHANNEL_PUSH, now.wanted);
    struct choice locked = {.kind = code};
    EXPECT(choice_change(&locked, &(struct choice){code, CHANNEL_EMAIL, CHANNEL_EMAIL}, &err)); /* as it is: fine */
    EXPECT(!choice_change(&locked, &(struct choice){code, CHANNEL_EMAIL, 0}, &err));
    EXPECT_PROBLEM("kind_locked", &err);
    err_clear(&err);
    const struct kind *chat = kind_find("chat_message");
    EXPECT(!choice_change(&(struct choice){.kind = chat}, &(struct choice){chat, CHANNEL_SLACK, CHANNEL_SLACK}, &err));
    EXPECT_PROBLEM("bad_input", &err);
    err_clear(&err);
    EXPECT(choice_change(&(struct choice){.kind = chat}, &(struct choice){chat, CHANNEL_SLACK, 0}, &err));
}

TEST(quiet_times_and_zones, "P-42")
{
    static const char *const GOOD[] = {"00:00", "23:59", "09:30"}, *const BAD[] = {"",      "24:00", "9:30", "09:60",
                                                                                   "09-30", "0a:00", "09:3", "09:300"};
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++)
        EXPECT(quiet_time_valid(GOOD[i]));
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        EXPECT(!quiet_time_valid(BAD[i]));
    EXPECT(quiet_zone_plausible("Asia/Seoul") && quiet_zone_plausible("UTC") && quiet_zone_plausible("Etc/GMT+9"));
    EXPECT(!quiet_zone_plausible("") && !quiet_zone_plausible("asia/seoul") && !quiet_zone_plausible("Asia/Seo ul") &&
           !quiet_zone_plausible("A'; --"));
}

/* ---- requests ---- */

#define USER "0190a0a0-0000-7000-8000-000000000001"

static bool read_request(const char *json, struct notice_request *request, struct err *err)
{
    const struct kafka_record record = {.payload = view_of(json), .timestamp_ms = 1767225600000};
    err_clear(err);
    return codec_request(arena(), &record, request, err);
}

TEST(a_request_is_read_whole, "K-45")
{
    struct notice_request request;
    struct err err = {0};
    REQUIRE_OK(read_request("{\"v\":1,\"id\":\"x\",\"at\":\"2025-12-31T23:59:59.500Z\",\"kind\":\"friend_request\","
                            "\"to\":{\"user\":\"0190A0A0-0000-7000-8000-000000000001\"},"
                            "\"channels\":[\"inbox\",\"push\"],\"args\":{\"from\":{\"id\":\"i\",\"nickname\":\"kim\"},"
                            "\"n\":7,\"b\":true,\"list\":[1],\"none\":null,\"deep\":{\"er\":{\"est\":\"d\"}}},"
                            "\"dedupe_id\":\"d\",\"locale\":\"ko\",\"later\":{}}",
                            &request, &err),
               &err);
    EXPECT_TEXT("friend_request", request.kind->name);
    EXPECT_I64(1, request.users.count);
    EXPECT_TEXT(USER, request.users.items[0]);
    EXPECT_I64(CHANNEL_INBOX | CHANNEL_PUSH, request.asked);
    EXPECT_I64(1767225599500, request.at_ms);
    EXPECT_TEXT("kim", args_find(&request.args, "from.nickname"));
    EXPECT_TEXT("7", args_find(&request.args, "n"));
    EXPECT_TEXT("true", args_find(&request.args, "b"));
    EXPECT_TEXT("d", args_find(&request.args, "deep.er.est"));
    EXPECT(!args_find(&request.args, "list") && !args_find(&request.args, "none") && !args_find(&request.args, "from"));
    EXPECT(strstr(request.args_json, "\"list\":[1]") != NULL);
}

TEST(times_ahead_of_the_broker_do_not_lengthen_anything, "D-48")
{
    struct notice_request request;
    struct err err = {0};
#define CODE_AT(at)                                                                                                    \
    "{\"at\":\"" at "\",\"kind\":\"code\",\"to\":{\"email\":\"a@b.c\"},\"args\":{\"code\":\"1\",\"purpose\":\"p\"},"   \
    "\"dedupe_id\":\"d\"}"
    REQUIRE_OK(read_request(CODE_AT("2999-01-01T00:00:00.000Z"), &request, &err), &err);
    EXPECT_I64(1767225600000, request.at_ms);
    REQUIRE_OK(read_request(CODE_AT("yesterday"), &request, &err), &err);
    EXPECT_I64(1767225600000, request.at_ms);
    EXPECT_TEXT("a@b.c", request.email);
}

TEST(what_is_no_request_says_why, "K-45")
{
    static const struct {
        const char *json, *why;
    } CASES[] = {
        {"", "bad_request"},
        {"[]", "bad_request"},
        {"{\"kind\":\"nothing\",\"to\":{\"user\":\"" USER "\"},\"dedupe_id\":\"d\"}", "unknown_kind"},
        {"{\"kind\":\"match_confirmed\",\"to\":{\"user\":\"" USER "\"},\"dedupe_id\":\"d\"}", "missing_arg"},
        {"{\"kind\":\"match_confirmed\",\"to\":{\"user\":\"" USER
         "\"},\"dedupe_id\":\"d\",\"args\":{\"article\":{\"id\":\"\"}}}",
         "missing_arg"},
        {"{\"kind\":\"match_confirmed\",\"to\":{\"user\":\"" USER "\"},\"dedupe_id\":\"d\",\"args\":[]}",
         "bad_request"},
        {"{\"kind\":\"match_confirmed\",\"to\":\"" USER "\",\"dedupe_id\":\"d\",\"args\":{\"article\":{\"id\":1}}}",
         "bad_request"},
        {"{\"kind\":\"match_confirmed\",\"to\":{\"users\":[]},\"dedupe_id\":\"d\",\"args\":{\"article\":{\"id\":1}}}",
         "bad_request"},
        {"{\"kind\":\"match_confirmed\",\"to\":{\"users\":[\"x\"]},\"dedupe_id\":\"d\",\"args\":{\"article\":{\"id\":1}"
         "}}",
         "bad_request"},
        {"{\"kind\":\"match_confirmed\",\"to\":{\"email\":\"a@b.c\",\"phone\":\"+82101234\"},\"dedupe_id\":\"d\","
         "\"args\":{\"article\":{\"id\":1}}}",
         "bad_request"},
        {"{\"kind\":\"match_confirmed\",\"to\":{\"user\":\"" USER "\"},\"args\":{\"article\":{\"id\":1}}}",
         "bad_request"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct notice_request request;
        struct err err = {0};
        EXPECT(!read_request(CASES[i].json, &request, &err));
        EXPECT_PROBLEM("bad_input", &err); /* what sends it to the dead letters */
        test_check(strcmp(CASES[i].why, err.detail) == 0, __FILE__, __LINE__, "%s: %s", CASES[i].json, err.detail);
    }
}

TEST(random_bytes_are_no_request_and_no_crash, "K-45")
{
    static const char SEED[] =
        "{\"kind\":\"friend_request\",\"to\":{\"users\":[\"" USER
        "\"]},\"args\":{\"from\":{\"id\":\"i\",\"nickname\":\"k\"}},\"dedupe_id\":\"d\",\"channels\":[\"inbox\"]}";
    int read = 0;
    for (int round = 0; round < 20000; round++) {
        char json[sizeof SEED];
        memcpy(json, SEED, sizeof SEED);
        for (uint64_t n = test_random() % 4; n > 0; n--)
            json[test_random() % (sizeof SEED - 1)] = (char)(test_random() & 0xff);
        struct arena *scratch = arena_open(1 << 20);
        const struct kafka_record record = {.payload = {json, sizeof SEED - 1}, .timestamp_ms = 1};
        struct notice_request request;
        struct err err = {0};
        if (codec_request(scratch, &record, &request, &err)) {
            (void)template_fill(scratch, request.kind->en.body, &request.args, BODY_POINTS_MAX);
            read++;
        }
        arena_release(&scratch);
    }
    EXPECT(read > 1000 && read < 20000);
}

/* ---- settings, cursors, cookies, waiting ---- */

TEST(settings_as_told_are_settings_as_asked, "P-42")
{
    struct settings settings = {.choice_count = 1, .quiet = {"22:00", "07:00", "Asia/Seoul"}};
    settings.choices[0] = (struct choice){kind_find("comment_reply"), CHANNEL_PUSH | CHANNEL_SLACK, CHANNEL_SLACK};
    AUTO_STR first = {0}, second = {0};
    codec_settings(&first, &settings);
    struct settings wish, after = {0};
    struct err err = {0};
    REQUIRE_OK(codec_settings_wish(arena(), (struct view){first.bytes, first.length}, &wish, &err), &err);
    for (size_t i = 0; i < wish.choice_count; i++) {
        after.choices[i].kind = wish.choices[i].kind;
        REQUIRE_OK(choice_change(&after.choices[i], &wish.choices[i], &err), &err);
        after.choice_count++;
    }
    after.quiet = wish.quiet;
    codec_settings(&second, &after);
    EXPECT_TEXT(first.bytes, second.bytes);
    EXPECT(strstr(first.bytes, "\"comment_reply\":{\"inbox\":true,\"push\":false,\"email\":false,\"slack\":true}") !=
           NULL);
}

TEST(cookies_say_one_session_and_nothing_else, "P-03")
{
    unsigned char key[COOKIE_KEY_BYTES] = {1}, other[COOKIE_KEY_BYTES] = {2};
    char text[COOKIE_TEXT_BYTES], session[UUID_TEXT_BYTES];
    cookie_print(key, USER, text);
    EXPECT_I64(COOKIE_TEXT_BYTES - 1, strlen(text));
    EXPECT(cookie_read(key, text, session));
    EXPECT_TEXT(USER, session);
    EXPECT(!cookie_read(other, text, session));
    for (size_t i = 0; i < COOKIE_TEXT_BYTES - 1; i++) {
        char wrong[COOKIE_TEXT_BYTES];
        memcpy(wrong, text, sizeof wrong);
        wrong[i] = wrong[i] == 'a' ? 'b' : 'a';
        EXPECT(!cookie_read(key, wrong, session));
    }
    EXPECT(!cookie_read(key, "", session) && !cookie_read(key, USER, session));
}

TEST(waits_grow_and_have_an_end, "D-48")
{
    for (int attempt = 1; attempt < 200; attempt++) {
        const int64_t least = deliver_backoff_ms(1000, attempt, 0),
                      any = deliver_backoff_ms(1000, attempt, test_random());
        const int64_t full = attempt > 9 ? 300000 : 1000LL << (attempt - 1);
        EXPECT_I64(full > 300000 ? 150000 : full / 2, least);
        EXPECT(any >= least && any <= 2 * least);
    }
    EXPECT(deliver_backoff_ms(1, 1, UINT64_MAX) >= 0);
}
