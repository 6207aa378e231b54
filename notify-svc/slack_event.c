#include "slack_event.h"

#include "crypto.h"
#include "json.h"
#include "mem.h"
#include "slack_text.h"

#include <ctype.h>
#include <stdlib.h>

enum { TIME_DIGITS_MAX = 12, CHALLENGE_MAX = 1000, ID_MAX = 64 };

/* ---- the signature ---- */

static bool read_time(const char *text, int64_t *seconds)
{
    size_t length = strlen(text);
    *seconds = 0;
    if (length == 0 || length > TIME_DIGITS_MAX)
        return false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
        *seconds = *seconds * 10 + (*text - '0');
    }
    return true;
}

bool slack_is_signed(const char *secret, const char *time, const char *signature, struct view body, int64_t now_ms)
{
    int64_t seconds;
    if (!*secret || !time || !signature || !read_time(time, &seconds))
        return false;
    if (llabs(now_ms - seconds * 1000) > SLACK_WINDOW_MS)
        return false;
    unsigned char mac[SHA256_BYTES];
    char expected[3 + SHA256_HEX_BYTES] = "v0=";
    AUTO_STR text;
    str_init(&text);
    str_printf(&text, "v0:%s:", time);
    str_add_bytes(&text, body.bytes, body.length);
    crypto_hmac_sha256(secret, strlen(secret), text.bytes, text.length, mac);
    crypto_hex(mac, sizeof mac, expected + 3);
    return crypto_equal(expected, strlen(expected), signature, strlen(signature));
}

/* ---- what it says ---- */

struct envelope {
    const char *type, *challenge, *event_id, *event;
};
static const struct field ENVELOPE_FIELDS[] = {
    FIELD_TEXT(struct envelope, type, .required = true, .min = 1, .max = ID_MAX),
    FIELD_TEXT(struct envelope, challenge, .max = CHALLENGE_MAX),
    FIELD_TEXT(struct envelope, event_id, .max = ID_MAX),
    FIELD_RAW(struct envelope, event),
    {0},
};
struct inner {
    const char *type, *user, *channel;
};
static const struct field INNER_FIELDS[] = {
    FIELD_TEXT(struct inner, type, .required = true, .min = 1, .max = ID_MAX),
    FIELD_RAW(struct inner, user), /* an id, or (team_join) the whole user */
    FIELD_RAW(struct inner, channel),
    {0},
};
struct wrapped {
    const char *id;
};
static const struct field WRAPPED_FIELDS[] = {FIELD_TEXT(struct wrapped, id, .required = true, .max = ID_MAX), {0}};

/* "U012" or {"id":"U012",...} -> U012; "" for anything else. */
static const char *id_of(struct arena *arena, const char *json)
{
    struct wrapped wrapped = {0};
    struct err err = {0};
    if (!json || (*json != '"' && *json != '{'))
        return "";
    const char *object = *json == '{' ? json : arena_printf(arena, "{\"id\":%s}", json);
    return JSON_DECODE_LENIENT(arena, view_of(object), WRAPPED_FIELDS, &wrapped, &err) ? wrapped.id : "";
}

static const struct event_kind {
    const char *name;
    bool has_channel;
} KINDS[] = {
    [SLACK_CHALLENGE] = {"url_verification", false},
    [SLACK_TEAM_JOIN] = {"team_join", false},
    [SLACK_MEMBER_JOINED_CHANNEL] = {"member_joined_channel", true},
    [SLACK_OTHER] = {"other", false},
};

const char *slack_event_name(enum slack_event_kind kind)
{
    return KINDS[kind].name;
}

static bool read_callback(struct arena *arena, const struct envelope *envelope, struct slack_event *event,
                          struct err *err)
{
    struct inner inner = {0};
    if (!envelope->event || !JSON_DECODE_LENIENT(arena, view_of(envelope->event), INNER_FIELDS, &inner, err))
        return err_set(err, &ERR_BAD_INPUT, "there is no event in it");
    event->kind = SLACK_OTHER;
    for (int kind = SLACK_TEAM_JOIN; kind < SLACK_OTHER; kind++)
        if (strcmp(inner.type, KINDS[kind].name) == 0)
            event->kind = (enum slack_event_kind)kind;
    if (event->kind == SLACK_OTHER)
        return true;
    event->event_id = envelope->event_id ? envelope->event_id : "";
    event->slack_id = id_of(arena, inner.user);
    event->channel = KINDS[event->kind].has_channel ? id_of(arena, inner.channel) : "";
    if (!*event->event_id || !slack_is_user_id(event->slack_id) ||
        (KINDS[event->kind].has_channel && !slack_is_channel_id(event->channel)))
        return err_set(err, &ERR_BAD_INPUT, "the event has no id, user or channel");
    return true;
}

bool slack_event_read(struct arena *arena, struct view body, struct slack_event *event, struct err *err)
{
    struct envelope envelope = {0};
    *event = (struct slack_event){.kind = SLACK_OTHER, .event_id = "", .slack_id = "", .channel = "", .challenge = ""};
    if (!JSON_DECODE_LENIENT(arena, body, ENVELOPE_FIELDS, &envelope, err))
        return false;
    if (strcmp(envelope.type, KINDS[SLACK_CHALLENGE].name) == 0) {
        event->kind = SLACK_CHALLENGE;
        event->challenge = envelope.challenge ? envelope.challenge : "";
        return true;
    }
    if (strcmp(envelope.type, "event_callback") == 0)
        return read_callback(arena, &envelope, event, err);
    return true; /* app_rate_limited and what may come */
}
