/* Any bytes as what push-svc hears and what providers answer (the first byte says which): nothing crashes, what is
 * taken is within its bounds, and the messages made of it are whole JSON within their bytes. */
#include "../../push-svc/codec.h"
#include "../../push-svc/fcm.h"
#include "../../push-svc/message.h"

#include "mem.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void must_be_whole(const struct str *text, size_t most)
{
    must(text->length <= most);
    cJSON *whole = cJSON_ParseWithLength(text->bytes, text->length);
    must(cJSON_IsObject(whole));
    cJSON_Delete(whole);
}

static void try_request(struct arena *arena, struct view bytes)
{
    static const char *const ON[] = {"android", "ios", "web"};
    struct push_request request;
    struct err err = {0};
    if (!codec_push_request(arena, bytes, 1700000000000, &request, &err)) {
        must(err.problem == &ERR_BAD_INPUT);
        return;
    }
    const struct push push = {.title = request.title,
                              .body = request.body,
                              .locale = "ko",
                              .data = request.data,
                              .collapse_key = request.collapse_key,
                              .id = request.dedupe_id,
                              .ttl_s = request.ttl_seconds};
    must(strlen(request.data) <= DATA_BYTES_MAX && request.expires_ms > 1700000000000);
    AUTO_STR out;
    str_init(&out);
    for (size_t i = 0; i < ARRAY_LENGTH(ON); i++) {
        str_clear(&out);
        message_fcm(&push, ON[i], "token", &out);
        must_be_whole(&out, FCM_BYTES_MAX + strlen("token"));
    }
    str_clear(&out);
    message_web(&push, 3993, &out);
    must_be_whole(&out, 3993);
}

static void try_preference(struct arena *arena, struct view bytes)
{
    struct preference preference;
    struct err err = {0};
    if (!codec_preference(arena, bytes, &preference, &err)) {
        must(err.problem == &ERR_BAD_INPUT);
        return;
    }
    must((preference.quiet_start < 0) == (preference.quiet_end < 0) &&
         (preference.quiet_start < 0) == !preference.zone);
    must(preference.quiet_start < 24 * 60 && preference.quiet_end < 24 * 60);
}

static void try_answer(long status, struct view bytes)
{
    static const struct backoff BACKOFF = {10000, 60000};
    const struct outcome outcome = fcm_outcome(status, bytes, 0, &BACKOFF, 3, 128);
    must(outcome.state == OUTCOME_DELIVERED || outcome.reason);
    must((outcome.state == OUTCOME_RETRY) == (outcome.delay_ms > 0));
    (void)fcm_token_refused(status, bytes);
}

static void try_grant(struct view bytes)
{
    struct fcm_grant grant = {.expires_in_s = 0};
    struct err err = {0};
    str_init(&grant.token);
    if (fcm_read_grant(bytes, &grant, &err))
        must(grant.token.length > 0 && !strpbrk(grant.token.bytes, "\r\n ") && grant.expires_in_s >= 0);
    str_free(&grant.token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const long STATUSES[] = {200, 400, 401, 403, 404, 429, 500, 503};
    static struct arena *arena;
    arena = arena ? arena : arena_open(16 * 1024 * 1024);
    if (size < 1)
        return 0;
    const struct view bytes = {(const char *)data + 1, size - 1};
    switch (data[0] & 3) {
    case 0:
        try_request(arena, bytes);
        break;
    case 1:
        try_preference(arena, bytes);
        break;
    case 2:
        try_answer(STATUSES[data[0] >> 2 & 7], bytes);
        break;
    default:
        try_grant(bytes);
        break;
    }
    arena_reset(arena);
    return 0;
}
