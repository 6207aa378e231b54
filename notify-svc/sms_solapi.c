/* sms_solapi.c - Solapi (CoolSMS): POST /messages/v4/send-many/detail. Signed: date and salt, not the body. */
#include "clock.h"
#include "crypto.h"
#include "json.h"
#include "outcome.h"
#include "sms.h"

#include <inttypes.h>

static bool check(const struct sms_config *config, struct err *err)
{
    if (!*config->solapi_key || !*config->solapi_secret)
        return err_set(err, &ERR_BAD_INPUT, "%s: needed by SMS_PROVIDER solapi",
                       *config->solapi_key ? "SOLAPI_SECRET" : "SOLAPI_KEY");
    return true;
}

static const char *sign(const struct sms_config *config, struct arena *arena)
{
    unsigned char random[16], mac[SHA256_BYTES];
    char salt[2 * sizeof random + 1], date[CLOCK_TEXT_BYTES], signature[SHA256_HEX_BYTES];
    crypto_random(random, sizeof random);
    crypto_hex(random, sizeof random, salt);
    clock_format(clock_now_ms(), date);
    const char *signed_text = arena_printf(arena, "%s%s", date, salt);
    crypto_hmac_sha256(config->solapi_secret, strlen(config->solapi_secret), signed_text, strlen(signed_text), mac);
    crypto_hex(mac, sizeof mac, signature);
    return arena_printf(arena, "Authorization: HMAC-SHA256 apiKey=%s, date=%s, salt=%s, signature=%s",
                        config->solapi_key, date, salt, signature);
}

static void write(const struct sms_config *config, const char *base_url, struct arena *arena, const struct sms *sms,
                  struct http_call *call)
{
    AUTO_STR body;
    str_init(&body);
    json_open(&body, NULL, '{');
    json_open(&body, "messages", '[');
    json_open(&body, NULL, '{');
    json_text(&body, "to", sms->to);
    json_text(&body, "from", sms->from);
    json_text(&body, "text", sms->text);
    if (sms->is_long && *sms->subject)
        json_text(&body, "subject", sms->subject);
    json_text(&body, "type", sms->is_long ? "LMS" : "SMS");
    json_close(&body, '}');
    json_close(&body, ']');
    json_bool(&body, "allowDuplicates", false);
    json_close(&body, '}');
    const char **headers = arena_alloc(arena, 3 * sizeof *headers);
    headers[0] = sign(config, arena);
    headers[1] = "Content-Type: application/json; charset=utf-8";
    *call = (struct http_call){
        .method = "POST",
        .url = arena_printf(arena, "%s/messages/v4/send-many/detail", base_url),
        .headers = headers,
        .body = {arena_bytes(arena, body.bytes, body.length), body.length},
    };
}

struct count {
    int64_t total, registeredFailed;
};
static const struct field COUNT_FIELDS[] = {
    FIELD_I64(struct count, total, .min = 0, .max = INT64_MAX),
    FIELD_I64(struct count, registeredFailed, .min = 0, .max = INT64_MAX),
    {0},
};
struct group {
    const char *groupId, *count;
};
static const struct field GROUP_FIELDS[] = {FIELD_TEXT(struct group, groupId), FIELD_RAW(struct group, count), {0}};
struct sent {
    const char *groupInfo, *failedMessageList, *errorCode;
};
static const struct field SENT_FIELDS[] = {
    FIELD_RAW(struct sent, groupInfo),
    FIELD_RAW(struct sent, failedMessageList),
    FIELD_TEXT(struct sent, errorCode),
    {0},
};
struct failed {
    const char *statusCode;
};
static const struct field FAILED_FIELDS[] = {FIELD_TEXT(struct failed, statusCode), {0}};

/* The list holds our one message or nothing. */
static const char *failed_word(struct arena *arena, const char *list)
{
    struct err ignored = {0};
    struct failed failed = {0};
    size_t length = strlen(list);
    if (length < 2 ||
        !JSON_DECODE_LENIENT(arena, ((struct view){list + 1, length - 2}), FAILED_FIELDS, &failed, &ignored))
        return "";
    return failed.statusCode ? failed.statusCode : "";
}

static void judge(struct arena *arena, const struct http_answer *answer, struct outcome *outcome)
{
    struct err ignored = {0};
    struct sent sent = {0};
    struct group group = {0};
    struct count count = {0};
    char safe[41];
    bool readable = JSON_DECODE_LENIENT(arena, answer->body, SENT_FIELDS, &sent, &ignored);
    outcome_of_status(outcome, answer, readable && sent.errorCode ? sent.errorCode : "");
    if (outcome->kind != OUTCOME_SENT)
        return;
    if (!readable || !sent.groupInfo ||
        !JSON_DECODE_LENIENT(arena, view_of(sent.groupInfo), GROUP_FIELDS, &group, &ignored) || !group.count ||
        !JSON_DECODE_LENIENT(arena, view_of(group.count), COUNT_FIELDS, &count, &ignored)) {
        outcome_set(outcome, OUTCOME_RETRY, "status %ld and an answer that can't be read", answer->status);
        return;
    }
    /* 200 says only that the request was understood. */
    bool listed = sent.failedMessageList && strcmp(sent.failedMessageList, "[]") != 0;
    if (listed || count.registeredFailed > 0 || count.total == 0)
        outcome_set(outcome, OUTCOME_DEAD, "the provider took none: %s",
                    outcome_word(listed ? failed_word(arena, sent.failedMessageList) : "", safe));
}

const struct sms_provider SMS_SOLAPI = {"solapi", "https://api.solapi.com", check, write, judge};
