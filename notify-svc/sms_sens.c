/* sms_sens.c - Naver Cloud SENS: POST /sms/v2/services/{id}/messages, signature version 2. */
#include "clock.h"
#include "crypto.h"
#include "json.h"
#include "outcome.h"
#include "sms.h"

#include <ctype.h>
#include <inttypes.h>
#include <openssl/evp.h>

static bool check(const struct sms_config *config, struct err *err)
{
    const char *missing = !*config->sens_service  ? "SENS_SERVICE_ID"
                          : !*config->sens_key    ? "SENS_ACCESS_KEY"
                          : !*config->sens_secret ? "SENS_SECRET_KEY"
                                                  : NULL;
    if (missing)
        return err_set(err, &ERR_BAD_INPUT, "%s: needed by SMS_PROVIDER sens", missing);
    for (const char *c = config->sens_service; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(":._-", *c)) /* it stands in a path that is signed as it is */
            return err_set(err, &ERR_BAD_INPUT, "SENS_SERVICE_ID: letters, digits and : . _ - only");
    return true;
}

static void sign(const struct sms_config *config, struct arena *arena, const char *path, const char *headers[])
{
    unsigned char mac[SHA256_BYTES], signature[4 * ((SHA256_BYTES + 2) / 3) + 1];
    const char *at_ms = arena_printf(arena, "%" PRId64, clock_now_ms());
    const char *text = arena_printf(arena, "POST %s\n%s\n%s", path, at_ms, config->sens_key);
    crypto_hmac_sha256(config->sens_secret, strlen(config->sens_secret), text, strlen(text), mac);
    (void)EVP_EncodeBlock(signature, mac, sizeof mac);
    headers[0] = arena_printf(arena, "x-ncp-apigw-timestamp: %s", at_ms);
    headers[1] = arena_printf(arena, "x-ncp-iam-access-key: %s", config->sens_key);
    headers[2] = arena_printf(arena, "x-ncp-apigw-signature-v2: %s", (const char *)signature);
    headers[3] = "Content-Type: application/json; charset=utf-8";
}

static void write(const struct sms_config *config, const char *base_url, struct arena *arena, const struct sms *sms,
                  struct http_call *call)
{
    const char *path = arena_printf(arena, "/sms/v2/services/%s/messages", config->sens_service);
    const char **headers = arena_alloc(arena, 5 * sizeof *headers);
    AUTO_STR body;
    str_init(&body);
    json_open(&body, NULL, '{');
    json_text(&body, "type", sms->is_long ? "LMS" : "SMS");
    json_text(&body, "contentType", "COMM");
    json_text(&body, "countryCode", "82");
    json_text(&body, "from", sms->from);
    if (sms->is_long && *sms->subject)
        json_text(&body, "subject", sms->subject);
    json_text(&body, "content", sms->text);
    json_open(&body, "messages", '[');
    json_open(&body, NULL, '{');
    json_text(&body, "to", sms->to);
    json_close(&body, '}');
    json_close(&body, ']');
    json_close(&body, '}');
    sign(config, arena, path, headers);
    *call = (struct http_call){
        .method = "POST",
        .url = arena_printf(arena, "%s%s", base_url, path),
        .headers = headers,
        .body = {arena_bytes(arena, body.bytes, body.length), body.length},
    };
}

struct answer {
    const char *statusName, *errorCode;
};
static const struct field ANSWER_FIELDS[] = {
    FIELD_TEXT(struct answer, statusName), FIELD_TEXT(struct answer, errorCode), {0}};

static void judge(struct arena *arena, const struct http_answer *answer, struct outcome *outcome)
{
    struct err ignored = {0};
    struct answer read = {0};
    char safe[41];
    bool readable = JSON_DECODE_LENIENT(arena, answer->body, ANSWER_FIELDS, &read, &ignored);
    outcome_of_status(outcome, answer, readable && read.errorCode ? read.errorCode : "");
    if (outcome->kind != OUTCOME_SENT)
        return;
    if (answer->status != 202)
        outcome_set(outcome, OUTCOME_RETRY, "status %ld instead of 202", answer->status);
    else if (readable && read.statusName && strcmp(read.statusName, "success") != 0)
        outcome_set(outcome, OUTCOME_DEAD, "the provider did not take it: %s", outcome_word(read.statusName, safe));
}

const struct sms_provider SMS_SENS = {"sens", "https://sens.apigw.ntruss.com", check, write, judge};
