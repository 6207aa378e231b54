/* The rules of push-svc without network or database: where subscriptions may lead, what answers mean, how long to wait,
 * how long texts are cut. */
#include "arena.h"
#include "codec.h"
#include "device.h"
#include "fcm.h"
#include "mem.h"
#include "message.h"
#include "outcome.h"
#include "pace.h"
#include "reach.h"
#include "test.h"
#include "utf8.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- where subscriptions may lead ---- */

static bool reaches(const struct reach *reach, const char *text)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *v4 = (void *)&storage;
    struct sockaddr_in6 *v6 = (void *)&storage;
    if (strchr(text, ':')) {
        v6->sin6_family = AF_INET6;
        EXPECT_I64(1, inet_pton(AF_INET6, text, &v6->sin6_addr));
    } else {
        v4->sin_family = AF_INET;
        EXPECT_I64(1, inet_pton(AF_INET, text, &v4->sin_addr));
    }
    return reach_address(reach, (const struct sockaddr *)&storage);
}

TEST(only_public_addresses_are_reached, "P-38")
{
    static const char *const INNER[] = {
        "0.0.0.0",         "10.1.2.3",        "100.64.0.1",      "127.0.0.1",   "127.255.255.255",
        "169.254.169.254", "172.16.0.1",      "172.31.255.255",  "192.0.0.1",   "192.168.1.1",
        "198.18.0.1",      "224.0.0.1",       "255.255.255.255", "::",          "::1",
        "fe80::1",         "fc00::1",         "fd12::1",         "ff02::1",     "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",   "2001:db8::1", "2001::1",
        "::7f00:1"};
    static const char *const PUBLIC[] = {
        "8.8.8.8",         "172.15.255.255",           "172.32.0.1",     "192.167.255.255",  "100.63.255.255",
        "223.255.255.255", "2a00:1450:4001:80f::200a", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"};
    struct reach reach;
    struct err err = {0};
    REQUIRE_OK(reach_open(&reach, "*", false, &err), &err);
    for (size_t i = 0; i < ARRAY_LENGTH(INNER); i++)
        test_check(!reaches(&reach, INNER[i]), __FILE__, __LINE__, "%s is reached", INNER[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(PUBLIC); i++)
        test_check(reaches(&reach, PUBLIC[i]), __FILE__, __LINE__, "%s is not reached", PUBLIC[i]);
    const struct sockaddr unix_socket = {.sa_family = AF_UNIX};
    EXPECT(!reach_address(&reach, &unix_socket));
    reach.allow_inner = true;
    EXPECT(reaches(&reach, "127.0.0.1") && reaches(&reach, "::1"));
    EXPECT(!reaches(&reach, "10.0.0.1") && !reaches(&reach, "169.254.169.254"));
}

TEST(endpoints_are_https_at_a_listed_host, "P-38")
{
    static const struct {
        const char *url, *problem; /* NULL: taken */
    } ROWS[] = {
        {"https://push.example.test/a?b=c", NULL},
        {"https://PUSH.example.test/a", NULL},
        {"https://push.example.test:443/a", NULL},
        {"https://eu.wild.test/", NULL},
        {"https://a.b.wild.test/", NULL},
        {"https://wild.test/", "endpoint_refused"},
        {"https://notwild.test/", "endpoint_refused"},
        {"https://push.example.test.evil.test/", "endpoint_refused"},
        {"https://push.example.test:8443/", "endpoint_refused"},
        {"https://other.test/push.example.test", "endpoint_refused"},
        {"http://push.example.test/", "bad_input"},
        {"ftp://push.example.test/", "bad_input"},
        {"push.example.test", "bad_input"},
        {"https://", "bad_input"},
        {"https://me@push.example.test/", "bad_input"},
        {"https://me:you@push.example.test/", "bad_input"},
        {"https://push.example.test/a b", "bad_input"},
        {"https://evil.test\\.wild.test/", "bad_input"},
        {"", "bad_input"},
    };
    struct reach reach;
    struct err err = {0};
    REQUIRE_OK(reach_open(&reach, "push.example.test, *.wild.test", false, &err), &err);
    for (size_t i = 0; i < ARRAY_LENGTH(ROWS); i++) {
        err_clear(&err);
        const bool taken = reach_endpoint(&reach, ROWS[i].url, &err);
        const char *code = taken ? NULL : err.problem->code;
        test_check(ROWS[i].problem ? code && strcmp(code, ROWS[i].problem) == 0 : taken, __FILE__, __LINE__, "%s: %s",
                   ROWS[i].url, code ? code : "taken");
    }
    char origin[ENDPOINT_MAX];
    reach_origin("https://push.example.test:443/a/b", origin);
    EXPECT_TEXT("https://push.example.test", origin);
    reach_origin("https://127.0.0.1:8443/a/b", origin);
    EXPECT_TEXT("https://127.0.0.1:8443", origin);
}

TEST(a_list_of_hosts_is_bounded, "P-38 I10")
{
    struct reach reach;
    struct err err = {0};
    AUTO_STR many;
    str_init(&many);
    for (int i = 0; i <= REACH_HOSTS_MAX; i++)
        str_add(&many, "a.test,");
    EXPECT(!reach_open(&reach, many.bytes, false, &err));
    str_clear(&many);
    for (int i = 0; i < REACH_HOST_BYTES; i++)
        str_add_char(&many, 'a');
    EXPECT(!reach_open(&reach, many.bytes, false, &err));
}

/* ---- how long to wait ---- */

TEST(delays_double_up_to_an_hour, "P-40")
{
    EXPECT_I64(10000, backoff_ms(10000, 1, 0));
    EXPECT_I64(20000, backoff_ms(10000, 2, 0));
    EXPECT_I64(160000, backoff_ms(10000, 5, 0));
    EXPECT_I64(BACKOFF_MOST_MS, backoff_ms(10000, 30, 0));
    EXPECT_I64(BACKOFF_MOST_MS, backoff_ms(3600 * 1000, 1000000, 0));
    EXPECT_I64(10000, backoff_ms(10000, 0, 0));
    for (int chance = 0; chance < 256; chance++) {
        const int64_t delay = backoff_ms(10000, 1, (unsigned char)chance);
        EXPECT(delay >= 10000 && delay < 12500);
    }
    EXPECT_I64(7000, retry_delay_ms(7, 10000, 3, 0));
    EXPECT(retry_delay_ms(7, 10000, 3, 255) < 7700);
    EXPECT_I64(40000, retry_delay_ms(0, 10000, 3, 0));
    EXPECT_I64((int64_t)RETRY_AFTER_MOST_S * 1000, retry_delay_ms(2000000000, 10000, 1, 0));
}

TEST(a_retry_after_the_end_is_a_drop, "P-39")
{
    struct outcome outcome = {OUTCOME_RETRY, .reason = "unavailable", .delay_ms = 5000};
    EXPECT_I64(OUTCOME_RETRY, outcome_within(outcome, 5001).state);
    EXPECT_I64(OUTCOME_DROPPED, outcome_within(outcome, 5000).state);
    EXPECT_TEXT("expired", outcome_within(outcome, -1).reason);
    outcome.state = OUTCOME_DEAD_TOKEN;
    EXPECT_I64(OUTCOME_DEAD_TOKEN, outcome_within(outcome, 0).state);
}

static const struct backoff BACKOFF = {10000, 60000};

#define DETAIL(code) "{\"@type\":\"type.googleapis.com/google.firebase.fcm.v1.FcmError\",\"errorCode\":\"" code "\"}"
#define BODY(status, message, details)                                                                                 \
    "{\"error\":{\"code\":1,\"message\":\"" message "\",\"status\":\"" status "\",\"details\":[" details "]}}"
#define QUOTA_OF(what)                                                                                                 \
    "{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{\"subject\":\"" what "\"}]}"

TEST(fcm_answers_mean_what_the_table_says, "P-39 P-40")
{
    /* clang-format off */
    static const struct {
        long status;
        const char *body;
        int retry_after_s;
        enum outcome_state state;
        const char *reason;
        int64_t delay_ms;
        bool slow, pause, alert;
    } ROWS[] = {
        {200, "{\"name\":\"projects/p/messages/1\"}", 0, OUTCOME_DELIVERED, NULL, 0, false, false, false},
        {404, BODY("NOT_FOUND", "m", DETAIL("UNREGISTERED")), 0, OUTCOME_DEAD_TOKEN, "unregistered", 0, false, false, false},
        {404, BODY("NOT_FOUND", "m", ""), 0, OUTCOME_DEAD_TOKEN, "unregistered", 0, false, false, false},
        {404, "<html>not here</html>", 0, OUTCOME_REJECTED, "unknown_answer", 0, false, false, true},
        {400, BODY("INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", DETAIL("INVALID_ARGUMENT")), 0, OUTCOME_DEAD_TOKEN, "invalid_token", 0, false, false, false},
        {400, BODY("INVALID_ARGUMENT", "Invalid value", "{\"@type\":\"type.googleapis.com/google.rpc.BadRequest\"}"), 0, OUTCOME_REJECTED, "invalid_argument", 0, false, false, true},
        {400, BODY("INVALID_ARGUMENT", "Android message is too big", DETAIL("INVALID_ARGUMENT")), 0, OUTCOME_REJECTED, "invalid_argument", 0, false, false, true},
        {403, BODY("PERMISSION_DENIED", "m", DETAIL("SENDER_ID_MISMATCH")), 0, OUTCOME_DEAD_TOKEN, "sender_id_mismatch", 0, false, false, false},
        {403, BODY("PERMISSION_DENIED", "m", ""), 0, OUTCOME_RETRY, "forbidden", 60000, false, true, true},
        {401, BODY("UNAUTHENTICATED", "m", DETAIL("THIRD_PARTY_AUTH_ERROR")), 0, OUTCOME_RETRY, "third_party_auth", 60000, false, false, true},
        {401, BODY("UNAUTHENTICATED", "m", ""), 0, OUTCOME_RETRY, "token_refused", 60000, false, true, true},
        {429, BODY("RESOURCE_EXHAUSTED", "m", DETAIL("QUOTA_EXCEEDED")), 0, OUTCOME_RETRY, "quota_exceeded", 60000, false, true, false},
        {429, BODY("RESOURCE_EXHAUSTED", "m", DETAIL("QUOTA_EXCEEDED") "," QUOTA_OF("project:1")), 5, OUTCOME_RETRY, "quota_exceeded", 5000, false, true, false},
        {429, BODY("RESOURCE_EXHAUSTED", "m", DETAIL("QUOTA_EXCEEDED") "," QUOTA_OF("device:1")), 5, OUTCOME_RETRY, "quota_exceeded", 5000, true, false, false},
        {429, "", 0, OUTCOME_RETRY, "quota_exceeded", 60000, false, true, false},
        {503, BODY("UNAVAILABLE", "m", DETAIL("UNAVAILABLE")), 0, OUTCOME_RETRY, "unavailable", 10000, false, false, false},
        {503, BODY("UNAVAILABLE", "m", DETAIL("UNAVAILABLE")), 30, OUTCOME_RETRY, "unavailable", 30000, false, false, false},
        {500, BODY("INTERNAL", "m", DETAIL("INTERNAL")), 0, OUTCOME_RETRY, "internal", 10000, false, false, false},
        {502, "<html>", 0, OUTCOME_RETRY, "unavailable", 10000, false, false, false},
        {418, "{}", 0, OUTCOME_REJECTED, "unknown_answer", 0, false, false, true},
        {301, "", 0, OUTCOME_REJECTED, "unknown_answer", 0, false, false, true},
        {400, "{\"error\":null}", 0, OUTCOME_REJECTED, "unknown_answer", 0, false, false, true},
        {400, "{\"error\":{\"status\":7,\"details\":{\"a\":1}}}", 0, OUTCOME_REJECTED, "unknown_answer", 0, false, false, true},
    };
    /* clang-format on */
    for (size_t i = 0; i < ARRAY_LENGTH(ROWS); i++) {
        const struct outcome outcome =
            fcm_outcome(ROWS[i].status, view_of(ROWS[i].body), ROWS[i].retry_after_s, &BACKOFF, 1, 0);
        const bool same_reason =
            ROWS[i].reason ? outcome.reason && strcmp(outcome.reason, ROWS[i].reason) == 0 : !outcome.reason;
        test_check(outcome.state == ROWS[i].state && same_reason && outcome.delay_ms == ROWS[i].delay_ms &&
                       outcome.slow_device == ROWS[i].slow && outcome.pause_channel == ROWS[i].pause &&
                       outcome.alert == ROWS[i].alert,
                   __FILE__, __LINE__, "row %zu (%ld): %s %s %lld %d%d%d", i, ROWS[i].status,
                   OUTCOME_NAMES[outcome.state], outcome.reason ? outcome.reason : "-", (long long)outcome.delay_ms,
                   outcome.slow_device, outcome.pause_channel, outcome.alert);
    }
    EXPECT_I64(40000, fcm_outcome(503, VIEW(""), 0, &BACKOFF, 3, 0).delay_ms);
    EXPECT(fcm_token_refused(401, view_of(BODY("UNAUTHENTICATED", "m", ""))));
    EXPECT(fcm_token_refused(401, VIEW("")));
    EXPECT(!fcm_token_refused(401, view_of(BODY("UNAUTHENTICATED", "m", DETAIL("THIRD_PARTY_AUTH_ERROR")))));
    EXPECT(!fcm_token_refused(403, VIEW("")));
}

TEST(push_services_statuses, "P-39")
{
    EXPECT_I64(OUTCOME_DELIVERED, outcome_web(201, 0, &BACKOFF, 1, 0).state);
    EXPECT_I64(OUTCOME_DEAD_TOKEN, outcome_web(404, 0, &BACKOFF, 1, 0).state);
    EXPECT_I64(OUTCOME_DEAD_TOKEN, outcome_web(410, 0, &BACKOFF, 1, 0).state);
    EXPECT_I64(OUTCOME_REJECTED, outcome_web(413, 0, &BACKOFF, 1, 0).state);
    EXPECT_I64(OUTCOME_REJECTED, outcome_web(302, 0, &BACKOFF, 1, 0).state);
    EXPECT(outcome_web(403, 0, &BACKOFF, 1, 0).alert);
    const struct outcome slow = outcome_web(429, 9, &BACKOFF, 1, 0), silent = outcome_web(429, 0, &BACKOFF, 2, 0);
    EXPECT(slow.state == OUTCOME_RETRY && slow.slow_device && slow.delay_ms == 9000);
    EXPECT_I64(120000, silent.delay_ms);
    EXPECT_I64(10000, outcome_web(503, 0, &BACKOFF, 1, 0).delay_ms);
    const struct outcome none = outcome_no_answer(&BACKOFF, 1, 0);
    EXPECT(none.state == OUTCOME_RETRY && none.delay_ms == 1000);
}

TEST(grants_are_read_with_care, "P-39")
{
    struct fcm_grant grant = {.expires_in_s = 0};
    struct err err = {0};
    str_init(&grant.token);
    REQUIRE_OK(fcm_read_grant(VIEW("{\"access_token\":\"ya29.a-b_c\",\"expires_in\":3599,\"token_type\":\"Bearer\"}"),
                              &grant, &err),
               &err);
    EXPECT_TEXT("ya29.a-b_c", grant.token.bytes);
    EXPECT_I64(3599, grant.expires_in_s);
    static const char *const BAD[] = {"",
                                      "{}",
                                      "[]",
                                      "{\"access_token\":7}",
                                      "{\"access_token\":\"\"}",
                                      "{\"access_token\":\"a\\r\\nX: y\"}",
                                      "{\"error\":\"invalid_grant\"}"};
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++)
        EXPECT(!fcm_read_grant(view_of(BAD[i]), &grant, &err));
    EXPECT_TEXT("ya29.a-b_c", grant.token.bytes);
    REQUIRE_OK(fcm_read_grant(VIEW("{\"access_token\":\"t\",\"expires_in\":\"soon\"}"), &grant, &err), &err);
    EXPECT_I64(3600, grant.expires_in_s);
    str_free(&grant.token);
}

TEST(credentials_that_are_none_stop_the_start_without_a_quote, "P-39")
{
    static const struct {
        const char *json, *says;
    } ROWS[] = {
        {"", "is not JSON"},
        {"secret words", "is not JSON"},
        {"{}", "no project_id"},
        {"{\"project_id\":\"p\",\"private_key_id\":\"k\",\"client_email\":\"e\"}", "no token_uri"},
        {"{\"project_id\":\"p\",\"private_key_id\":\"k\",\"client_email\":\"e\",\"token_uri\":\"http://x/\"}",
         "token_uri must be https"},
        {"{\"project_id\":\"p/../q\",\"private_key_id\":\"k\",\"client_email\":\"e\",\"token_uri\":\"https://x/\"}",
         "project_id is none"},
        {"{\"project_id\":\"p\",\"private_key_id\":\"k\",\"client_email\":\"e\",\"token_uri\":\"https://x/"
         "\",\"private_key\":\"secret\"}",
         "no RSA key"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(ROWS); i++) {
        struct err err = {0};
        AUTO(fcm_account) account = fcm_account_open(ROWS[i].json, false, &err);
        EXPECT(!account);
        test_check(strstr(err.message, ROWS[i].says) && !strstr(err.message, "secret"), __FILE__, __LINE__, "%s",
                   err.message);
    }
}

/* ---- what is said ---- */

static struct push push_of(const char *title, const char *body)
{
    return (struct push){.title = title,
                         .body = body,
                         .locale = "en",
                         .data = "{\"room_id\":\"r\"}",
                         .id = "id-1",
                         .high = true,
                         .ttl_s = 60,
                         .expires_s = 1700000000};
}

static cJSON *fcm_of(const struct push *push, const char *platform, size_t *length)
{
    AUTO_STR out;
    str_init(&out);
    message_fcm(push, platform, "token", &out);
    *length = out.length;
    EXPECT(utf8_valid(out.bytes, out.length));
    return cJSON_Parse(out.bytes);
}

static const char *text_at(const cJSON *node, const char *a, const char *b, const char *c)
{
    const char *const names[] = {a, b, c};
    for (size_t i = 0; i < 3 && names[i]; i++)
        node = cJSON_GetObjectItemCaseSensitive(node, names[i]);
    return cJSON_GetStringValue(node) ? cJSON_GetStringValue(node) : "(none)";
}

TEST(fcm_messages_are_whole_json_within_their_bytes, "P-39 I10")
{
    /* Every length around the limit, with characters of one to four bytes and with escapes. */
    static const char *const PIECES[] = {"a", "é", "가", "😀", "\"", "\n", "\x01", "a\"가😀\\"};
    for (size_t p = 0; p < ARRAY_LENGTH(PIECES); p++) {
        AUTO_STR body;
        str_init(&body);
        while (body.length < 5000) {
            str_add(&body, PIECES[p]);
            if (body.length < 600)
                continue;
            struct push push = push_of("title", body.bytes);
            push.collapse_key = "room";
            size_t length = 0;
            cJSON *whole = fcm_of(&push, "android", &length);
            const char *shown = text_at(whole, "message", "notification", "body");
            EXPECT(whole && length <= FCM_BYTES_MAX + strlen("token"));
            const size_t same = strlen(shown) < 3 ? 0 : strlen(shown) - 3;
            test_check(strcmp(shown, body.bytes) == 0 ||
                           (strncmp(shown, body.bytes, same) == 0 && strcmp(shown + same, "…") == 0 &&
                            length > FCM_BYTES_MAX - 10),
                       __FILE__, __LINE__, "piece %zu of %zu bytes: %zu", p, body.length, length);
            cJSON_Delete(whole);
            if (body.length > 600 && body.length < 3000) /* to where it matters */
                while (body.length < 3000)
                    str_add(&body, PIECES[p]);
        }
    }
}

TEST(each_platform_has_its_part, "P-39")
{
    struct push push = push_of("", "b");
    size_t length;
    push.collapse_key = "room:1";
    cJSON *android = fcm_of(&push, "android", &length), *ios = fcm_of(&push, "ios", &length),
          *web = fcm_of(&push, "web", &length);
    EXPECT_TEXT("New notification", text_at(android, "message", "notification", "title"));
    EXPECT_TEXT("60s", text_at(android, "message", "android", "ttl"));
    EXPECT_TEXT("HIGH", text_at(android, "message", "android", "priority"));
    EXPECT_TEXT("room:1", text_at(android, "message", "android", "collapse_key"));
    EXPECT_TEXT("id-1", text_at(android, "message", "data", "push_id"));
    const cJSON *apns = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(ios, "message"), "apns");
    EXPECT_TEXT("room:1", text_at(apns, "headers", "apns-collapse-id", NULL));
    EXPECT_TEXT("1700000000", text_at(apns, "headers", "apns-expiration", NULL));
    const cJSON *webpush =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(web, "message"), "webpush");
    EXPECT_TEXT("60", text_at(webpush, "headers", "TTL", NULL));
    EXPECT(!cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(web, "message"), "android"));
    cJSON_Delete(android);
    cJSON_Delete(ios);
    cJSON_Delete(web);
    push.locale = "ko-KR";
    push.high = false;
    android = fcm_of(&push, "android", &length);
    EXPECT_TEXT("새 알림", text_at(android, "message", "notification", "title"));
    EXPECT_TEXT("NORMAL", text_at(android, "message", "android", "priority"));
    cJSON_Delete(android);
}

static const char *clean(const char *json)
{
    static struct str out;
    struct err err = {0};
    str_clear(&out);
    return message_data_clean(json, &out, &err) ? out.bytes : err.problem->code;
}

TEST(data_is_texts_and_bounded, "P-39 I10")
{
    EXPECT_TEXT("{}", clean("{}"));
    EXPECT_TEXT("{\"a\":\"b\",\"c.d\":\"\"}", clean(" { \"a\" : \"b\", \"c.d\": \"\" } "));
    EXPECT_TEXT("{\"from.id\":\"x\"}", clean("{\"from\":\"x\",\"from.id\":\"x\",\"Google.a\":\"\",\"gcm\":\"\","
                                             "\"message_type\":\"\",\"push_id\":\"\"}"));
    static const char *const BAD[] = {"", "[]", "7", "{\"a\":1}", "{\"a\":null}", "{\"a\":{}}", "{\"a\":[\"b\"]}"};
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++)
        EXPECT_TEXT("bad_input", clean(BAD[i]));
    AUTO_STR text;
    str_init(&text);
    str_add(&text, "{\"small\":\"1\",\"big\":\"");
    for (int i = 0; i < 500; i++)
        str_add_char(&text, 1); /* six times as long when printed */
    str_add(&text, "\",\"last\":\"2\"}");
    EXPECT_TEXT("{\"small\":\"1\",\"last\":\"2\"}", clean(text.bytes));
    str_clear(&text);
    str_add_char(&text, '{');
    for (int i = 0; i <= DATA_KEYS_MAX; i++)
        str_printf(&text, "%s\"k%d\":\"\"", i ? "," : "", i);
    str_add_char(&text, '}');
    const char *cut = clean(text.bytes);
    EXPECT(strstr(cut, "\"k31\"") && !strstr(cut, "\"k32\""));
    str_clear(&text);
    str_add(&text, "{\"a\":\"");
    while (text.length < DATA_BYTES_MAX - 2)
        str_add_char(&text, 'x');
    str_add(&text, "\"}");
    EXPECT_I64(DATA_BYTES_MAX, strlen(clean(text.bytes)));
}

TEST(web_messages_fill_one_record, "P-39")
{
    AUTO_STR body, out;
    str_init(&body);
    str_init(&out);
    while (body.length < 5000)
        str_add(&body, "가\"");
    const struct push push = push_of("t", body.bytes);
    message_web(&push, 3993, &out);
    EXPECT(out.length <= 3993 && out.length > 3983);
    cJSON *whole = cJSON_Parse(out.bytes);
    EXPECT_TEXT("id-1", text_at(whole, "data", "push_id", NULL));
    EXPECT_TEXT("r", text_at(whole, "data", "room_id", NULL));
    cJSON_Delete(whole);
}

/* ---- what is heard ---- */

static bool preference(const char *json, struct preference *out)
{
    static struct arena *arena;
    struct err err = {0};
    arena = arena ? arena : arena_open(1 << 20);
    return codec_preference(arena, view_of(json), out, &err);
}
#define USER "\"user_id\":\"01890a5d-ac96-774b-bcce-b302099a8057\""

TEST(settings_are_read, "P-42")
{
    struct preference p;
    REQUIRE(preference("{" USER ",\"quiet_hours\":{\"from\":\"22:00\",\"to\":\"07:30\",\"time_zone\":\"Asia/"
                       "Seoul\"},\"push_off\":[\"x\",\"chat_message\"],\"version\":3}",
                       &p));
    EXPECT_I64(1320, p.quiet_start);
    EXPECT_I64(450, p.quiet_end);
    EXPECT_TEXT("Asia/Seoul", p.zone);
    EXPECT(p.chat_off);
    REQUIRE(preference("{" USER ",\"quiet_hours\":null,\"push_off\":[],\"version\":4}", &p));
    EXPECT(p.quiet_start == -1 && p.quiet_end == -1 && !p.zone && !p.chat_off);
    REQUIRE(preference("{" USER ",\"version\":4}", &p));
    EXPECT(p.quiet_start == -1);
    REQUIRE(preference(
        "{" USER ",\"quiet_hours\":{\"from\":\"22:00\",\"to\":\"22:00\",\"time_zone\":\"UTC\"},\"version\":4}", &p));
    EXPECT(p.quiet_start == -1 && !p.zone);
    static const char *const BAD[] = {"24:00", "22:60", "2200x", "ab:cd", "1:000"};
    for (size_t i = 0; i < ARRAY_LENGTH(BAD); i++) {
        char json[256];
        (void)snprintf(json, sizeof json,
                       "{" USER
                       ",\"quiet_hours\":{\"from\":\"%s\",\"to\":\"07:00\",\"time_zone\":\"UTC\"},\"version\":4}",
                       BAD[i]);
        EXPECT(!preference(json, &p));
    }
}

TEST(requests_have_a_time_to_live, "P-39")
{
    static const struct {
        const char *ttl;
        int64_t seconds;
    } ROWS[] = {{"", TTL_DEFAULT_S},
                {",\"ttl_seconds\":0", TTL_LEAST_S},
                {",\"ttl_seconds\":3", TTL_LEAST_S},
                {",\"ttl_seconds\":3600", 3600}};
    AUTO(arena) arena = arena_open(1 << 20);
    for (size_t i = 0; i < ARRAY_LENGTH(ROWS); i++) {
        struct push_request request;
        struct err err = {0};
        const char *json = arena_printf(arena, "{" USER ",\"dedupe_id\":\"d\",\"source\":\"chat\"%s}", ROWS[i].ttl);
        REQUIRE_OK(codec_push_request(arena, view_of(json), 1000000, &request, &err), &err);
        EXPECT_I64(1000000 + ROWS[i].seconds * 1000, request.expires_ms);
        EXPECT_TEXT("{}", request.data);
        EXPECT_TEXT("", request.title);
        EXPECT(!request.urgent && !request.collapse_key);
    }
}

/* ---- pace ---- */

TEST(the_pace_is_even_and_saves_one_second, "P-40")
{
    struct pace pace;
    pace_open(&pace, 600, 0); /* ten a second */
    EXPECT_I64(10, pace_allows(&pace, 0));
    pace_use(&pace, 10);
    EXPECT_I64(0, pace_allows(&pace, 99000));
    EXPECT_I64(1, pace_allows(&pace, 100000));
    EXPECT_I64(5, pace_allows(&pace, 500000));
    EXPECT_I64(10, pace_allows(&pace, 60000000));
    int64_t sent = 0;
    pace_use(&pace, 10);
    for (int64_t at = 60000000; at < 120000000; at += 1000) {
        const int64_t count = pace_allows(&pace, at);
        pace_use(&pace, count);
        sent += count;
    }
    EXPECT(sent >= 599 && sent <= 600);
    pace_open(&pace, 6, 0); /* one every ten seconds */
    EXPECT_I64(1, pace_allows(&pace, 0));
    pace_use(&pace, 1);
    EXPECT_I64(0, pace_allows(&pace, 9000000));
    EXPECT_I64(1, pace_allows(&pace, 10000000));
}

TEST(device_ids_are_plain, "P-38")
{
    EXPECT(device_id_valid("a") && device_id_valid("A-9_.:z"));
    EXPECT(!device_id_valid("") && !device_id_valid("a b") && !device_id_valid("a/b") && !device_id_valid("é"));
    char long_id[DEVICE_ID_MAX + 2];
    memset(long_id, 'a', sizeof long_id);
    long_id[DEVICE_ID_MAX + 1] = '\0';
    EXPECT(!device_id_valid(long_id));
    long_id[DEVICE_ID_MAX] = '\0';
    EXPECT(device_id_valid(long_id));
}
