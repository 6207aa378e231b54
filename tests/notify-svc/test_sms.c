/* test_sms.c - texts, numbers, and both providers against stand-ins that check signatures (tests/standins/sms.mjs). */
#include "channel_sms.h"
#include "child.h"
#include "kinds.h"
#include "mem.h"
#include "sms.h"
#include "utf8.h"

#include <cjson/cJSON.h>
#include <iconv.h>

/* ---- texts ---- */

static size_t put_utf8(uint32_t code, char out[5])
{
    size_t n = 0;
    if (code < 0x80) {
        out[n++] = (char)code;
    } else if (code < 0x800) {
        out[n++] = (char)(0xc0 | code >> 6);
        out[n++] = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        out[n++] = (char)(0xe0 | code >> 12);
        out[n++] = (char)(0x80 | (code >> 6 & 0x3f));
        out[n++] = (char)(0x80 | (code & 0x3f));
    } else {
        out[n++] = (char)(0xf0 | code >> 18);
        out[n++] = (char)(0x80 | (code >> 12 & 0x3f));
        out[n++] = (char)(0x80 | (code >> 6 & 0x3f));
        out[n++] = (char)(0x80 | (code & 0x3f));
    }
    out[n] = 0;
    return n;
}

TEST(bytes_are_those_of_euc_kr_for_every_letter_it_has, "D-51")
{
    iconv_t converter = iconv_open("EUC-KR", "UTF-8");
    int known = 0, wrong = 0;
    REQUIRE(converter != (iconv_t)-1);
    for (uint32_t code = 1; code < 0x110000; code++) {
        if (code >= 0xd800 && code < 0xe000)
            continue;
        char utf8[5], korean[16], *in = utf8, *out = korean;
        size_t in_left = put_utf8(code, utf8), out_left = sizeof korean;
        size_t lossy = iconv(converter, &in, &in_left, &out, &out_left);
        bool is_control = code >= 0x80 && code < 0xa0,
             is_skipped = out_left == sizeof korean; /* tags (U+E00xx) leave nothing */
        if (lossy != 0 || is_control || is_skipped)
            continue;
        known++;
        wrong += sms_bytes(utf8) != sizeof korean - out_left;
    }
    (void)iconv_close(converter);
    EXPECT(known > 8000);
    EXPECT_I64(0, wrong);
}

TEST(texts_are_cut_between_letters, "D-51")
{
    AUTO(arena) arena = arena_open(65536);
    EXPECT_TEXT("마당", sms_cut(arena, "마당입니다", 5));
    EXPECT_TEXT("마당입", sms_cut(arena, "마당입니다", 6));
    EXPECT_TEXT("a마", sms_cut(arena, "a마당", 4));
    EXPECT_TEXT("", sms_cut(arena, "마", 1));
    EXPECT_TEXT("abc", sms_cut(arena, "abc", 90));
    EXPECT_I64(2, sms_bytes("🎉"));
    EXPECT_I64(0, sms_bytes(""));
}

TEST(a_code_fits_a_short_message_in_both_languages, "P-01")
{
    const struct kind *kind = kind_find("code");
    REQUIRE(kind && (kind->possible & CHANNEL_SMS));
    const size_t shorter = strlen("{code}") - strlen("123456");
    EXPECT(strstr(kind->ko.body, "{code}") && sms_bytes(kind->ko.body) - shorter <= SMS_BYTES_MAX);
    EXPECT(strstr(kind->en.body, "{code}") && sms_bytes(kind->en.body) - shorter <= SMS_BYTES_MAX);
}

TEST(numbers_are_korean_in_either_form, "P-01")
{
    static const struct {
        const char *phone, *number;
    } CASES[] = {
        {"+821012345678", "01012345678"},
        {"+8201012345678", "01012345678"},
        {"010-1234-5678", "01012345678"},
        {"+82 10-1234-5678", "01012345678"},
        {"0212345678", "0212345678"},
        {"+1 555 0100", NULL},
        {"12345678", NULL},
        {"", NULL},
        {"+", NULL},
        {"+82", NULL},
        {"010123456789", NULL},
        {"0101234567a", NULL},
        {"010 1234\r\n5678", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
        char number[SMS_NUMBER_BYTES] = "";
        bool good = sms_number(CASES[i].phone, number);
        test_check(good == (CASES[i].number != NULL), __FILE__, __LINE__, "%s", CASES[i].phone);
        if (CASES[i].number)
            EXPECT_TEXT(CASES[i].number, number);
    }
}

/* ---- providers ---- */

static struct child standin;
static char standin_url[64];

static void standin_start(void)
{
    if (standin.pid)
        return;
    const char *const argv[] = {"node", test_path("tests/standins/sms.mjs"), NULL};
    child_start(&standin, argv);
    const char *line = child_line(&standin, CHILD_MS);
    if (!line) {
        puts("the stand-in (Node) does not start");
        exit(1);
    }
    snprintf(standin_url, sizeof standin_url, "%s", line);
}

static void standin_next(const char *answer)
{
    child_say(&standin, answer);
    child_say(&standin, "\n");
    const char *line = child_line(&standin, CHILD_MS);
    EXPECT_TEXT("told", line ? line : "(nothing)");
}

/* The stand-in's last call; the caller's to delete. */
static cJSON *standin_call(void)
{
    const char *line = child_line(&standin, CHILD_MS);
    cJSON *call = line ? cJSON_Parse(line) : NULL;
    if (!call) {
        puts("the stand-in was not called");
        exit(1);
    }
    return call;
}

static struct sms_config config_of(const char *provider)
{
    standin_start();
    return (struct sms_config){.provider = provider,
                               .from = "02-1234-5678",
                               .base_url = standin_url,
                               .ca_file = "",
                               .solapi_key = "NCSAYU7YDBXYORXC",
                               .solapi_secret = "solapi secret /+",
                               .sens_service = "ncp:sms:kr:123456789012:madang",
                               .sens_key = "sens-access",
                               .sens_secret = "sens secret /+",
                               .senders = 1,
                               .timeout_ms = 5000};
}

static const struct delivery CODE = {
    .kind = "code",
    .dedupe_id = "code-1",
    .address = "+821012345678",
    .locale = "ko",
    .title = "마당 인증번호",
    .body = "[마당] 인증번호는 123456입니다.",
};

static struct outcome send_with(const struct sms_config *config, const struct delivery *delivery)
{
    struct err err = {0};
    struct outcome outcome = {.kind = OUTCOME_DROPPED};
    AUTO(sms_channel) sms = sms_channel_open(config, NULL, &err);
    if (!sms) {
        printf("sms_channel_open: %s\n", err.message);
        exit(1);
    }
    sms_channel_send(sms, delivery, &outcome);
    return outcome;
}

static const char *const PROVIDERS[] = {"solapi", "sens"};

static const cJSON *message_of(const cJSON *call)
{
    const cJSON *body = cJSON_GetObjectItem(call, "body");
    return strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(call, "provider")), "solapi") == 0
               ? cJSON_GetArrayItem(cJSON_GetObjectItem(body, "messages"), 0)
               : body;
}

static const char *type_of(const cJSON *call)
{
    return cJSON_GetStringValue(cJSON_GetObjectItem(message_of(call), "type"));
}

TEST(both_providers_take_what_we_sign, "P-01 D-51")
{
    for (size_t i = 0; i < ARRAY_LENGTH(PROVIDERS); i++) {
        const struct sms_config config = config_of(PROVIDERS[i]);
        const struct outcome outcome = send_with(&config, &CODE);
        test_check(outcome.kind == OUTCOME_SENT, __FILE__, __LINE__, "%s: %s", PROVIDERS[i], outcome.reason);
        cJSON *call = standin_call();
        EXPECT_TEXT(PROVIDERS[i], cJSON_GetStringValue(cJSON_GetObjectItem(call, "provider")));
        EXPECT_TEXT("SMS", type_of(call));
        EXPECT(cJSON_GetObjectItem(message_of(call), "subject") == NULL);
        cJSON_Delete(call);
    }
}

TEST(bytes_choose_between_a_short_and_a_long_message, "D-51")
{
    for (size_t i = 0; i < ARRAY_LENGTH(PROVIDERS); i++) {
        const struct sms_config config = config_of(PROVIDERS[i]);
        struct delivery delivery = CODE;
        AUTO_STR body;
        str_init(&body);
        for (int letters = 0; letters < 45; letters++)
            str_add(&body, "마");
        delivery.body = body.bytes; /* 135 bytes of UTF-8, 90 of EUC-KR */
        EXPECT_I64(OUTCOME_SENT, send_with(&config, &delivery).kind);
        cJSON *call = standin_call();
        EXPECT_TEXT("SMS", type_of(call));
        cJSON_Delete(call);
        str_add(&body, "!");
        delivery.body = body.bytes;
        delivery.title = "제목이 아주 길어서 마흔 바이트를 넘는 알림의 제목입니다";
        EXPECT_I64(OUTCOME_SENT, send_with(&config, &delivery).kind);
        call = standin_call();
        EXPECT_TEXT("LMS", type_of(call));
        EXPECT(cJSON_GetObjectItem(message_of(call), "subject") != NULL);
        cJSON_Delete(call);
        for (int letters = 0; letters < 2000; letters++)
            str_add(&body, "당");
        delivery.body = body.bytes; /* is cut: the stand-in refuses more than 2000 bytes */
        EXPECT_I64(OUTCOME_SENT, send_with(&config, &delivery).kind);
        cJSON_Delete(standin_call());
    }
}

TEST(a_wrong_secret_is_refused_and_can_be_mended, "D-51")
{
    for (size_t i = 0; i < ARRAY_LENGTH(PROVIDERS); i++) {
        struct sms_config config = config_of(PROVIDERS[i]);
        config.solapi_secret = config.sens_secret = "another";
        const struct outcome outcome = send_with(&config, &CODE);
        EXPECT_I64(OUTCOME_RETRY, outcome.kind);
        EXPECT_TEXT(i == 0 ? "status 403 SignatureDoesNotMatch" : "status 401 AuthFailed", outcome.reason);
        cJSON_Delete(standin_call());
    }
}

TEST(two_hundred_with_all_failed_is_a_failure, "D-51")
{
    struct sms_config config = config_of("solapi");
    config.from = "0299999999"; /* not registered */
    const struct outcome outcome = send_with(&config, &CODE);
    EXPECT_I64(OUTCOME_DEAD, outcome.kind);
    EXPECT_TEXT("the provider took none: 1062", outcome.reason);
    cJSON *call = standin_call();
    EXPECT_I64(200, cJSON_GetNumberValue(cJSON_GetObjectItem(call, "status")));
    cJSON_Delete(call);
}

static const struct answer_case {
    const char *provider, *answer;
    enum outcome_kind kind;
    int64_t retry_after_ms;
} ANSWERS[] = {
    {"solapi", "{\"status\":503,\"body\":{\"errorCode\":\"ServiceUnavailable\"},\"headers\":{\"Retry-After\":\"7\"}}",
     OUTCOME_RETRY, 7000},
    {"solapi", "{\"status\":429,\"body\":{},\"headers\":{\"Retry-After\":\"30\"}}", OUTCOME_RETRY, 30000},
    {"solapi", "{\"status\":400,\"body\":{\"errorCode\":\"ValidationError\"}}", OUTCOME_DEAD, 0},
    {"solapi", "{\"status\":200,\"body\":\"<html>\"}", OUTCOME_RETRY, 0},
    {"solapi", "{\"status\":200,\"body\":{}}", OUTCOME_RETRY, 0},
    {"solapi",
     "{\"status\":200,\"body\":{\"groupInfo\":{\"count\":{\"total\":0,\"registeredFailed\":0}},\"failedMessageList\":[]"
     "}}",
     OUTCOME_DEAD, 0},
    {"solapi",
     "{\"status\":200,\"body\":{\"groupInfo\":{\"count\":{\"total\":1,\"registeredFailed\":1}},\"failedMessageList\":[]"
     "}}",
     OUTCOME_DEAD, 0},
    {"solapi", "{\"drop\":true}", OUTCOME_RETRY, 0},
    {"sens", "{\"status\":500,\"body\":{}}", OUTCOME_RETRY, 0},
    {"sens", "{\"status\":429,\"body\":{},\"headers\":{\"Retry-After\":\"3\"}}", OUTCOME_RETRY, 3000},
    {"sens", "{\"status\":404,\"body\":{\"errorCode\":\"NotFound\"}}", OUTCOME_DEAD, 0},
    {"sens", "{\"status\":200,\"body\":{}}", OUTCOME_RETRY, 0},
    {"sens", "{\"status\":202,\"body\":{\"statusCode\":\"202\",\"statusName\":\"fail\"}}", OUTCOME_DEAD, 0},
    {"sens", "{\"drop\":true}", OUTCOME_RETRY, 0},
};

TEST(answers_come_to_again_or_never, "D-51 K-46")
{
    for (size_t i = 0; i < ARRAY_LENGTH(ANSWERS); i++) {
        const struct sms_config config = config_of(ANSWERS[i].provider);
        standin_next(ANSWERS[i].answer);
        const struct outcome outcome = send_with(&config, &CODE);
        test_check(outcome.kind == ANSWERS[i].kind && outcome.retry_after_ms == ANSWERS[i].retry_after_ms, __FILE__,
                   __LINE__, "%s %s: %d %s", ANSWERS[i].provider, ANSWERS[i].answer, outcome.kind, outcome.reason);
        EXPECT(strstr(outcome.reason, "5678") == NULL && strstr(outcome.reason, "123456") == NULL);
        cJSON_Delete(standin_call());
    }
}

TEST(silence_is_worth_another_try, "D-51")
{
    struct sms_config config = config_of("solapi");
    config.timeout_ms = 300;
    standin_next("{\"stall\":true}");
    EXPECT_I64(OUTCOME_RETRY, send_with(&config, &CODE).kind);
    cJSON_Delete(standin_call());
}

TEST(numbers_abroad_are_dead, "D-51")
{
    const struct sms_config config = config_of("sens");
    struct delivery delivery = CODE;
    delivery.address = "+15550100";
    EXPECT_I64(OUTCOME_DEAD, send_with(&config, &delivery).kind);
}

TEST(missing_settings_stop_the_start_by_name, "D-51")
{
    struct sms_config bad[4];
    static const char *const NAMED[] = {"SMS_PROVIDER", "SMS_FROM", "SOLAPI_SECRET", "SENS_ACCESS_KEY"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        bad[i] = config_of(i == 3 ? "sens" : "solapi");
    bad[0].provider = "pigeon";
    bad[1].from = "";
    bad[2].solapi_secret = "";
    bad[3].sens_key = "";
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct err err = {0};
        AUTO(sms_channel) sms = sms_channel_open(&bad[i], NULL, &err);
        EXPECT(!sms);
        EXPECT(strncmp(err.message, NAMED[i], strlen(NAMED[i])) == 0);
    }
}
