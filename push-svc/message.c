#include "message.h"

#include "crypto.h"
#include "json.h"
#include "utf8.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <strings.h>

/* ---- parts ---- */

static bool key_is_reserved(const char *key)
{
    return strcasecmp(key, "from") == 0 || strcasecmp(key, "message_type") == 0 ||
           strcasecmp(key, "collapse_key") == 0 || strncasecmp(key, "google", 6) == 0 ||
           strncasecmp(key, "gcm", 3) == 0 || strcmp(key, "push_id") == 0;
}

bool message_data_clean(const char *json, struct str *out, struct err *err)
{
    cJSON *data = cJSON_Parse(json);
    const cJSON *member;
    bool valid = cJSON_IsObject(data);
    int keys = 0;
    json_open(out, NULL, '{');
    if (valid)
        cJSON_ArrayForEach(member, data)
        {
            const size_t before = out->length;
            if (!cJSON_IsString(member)) {
                valid = false;
                break;
            }
            if (keys == DATA_KEYS_MAX || key_is_reserved(member->string))
                continue;
            json_text(out, member->string, member->valuestring);
            if (out->length < DATA_BYTES_MAX) {
                keys++;
                continue;
            }
            out->length = before; /* a smaller one may fit yet */
            out->bytes[before] = '\0';
        }
    json_close(out, '}');
    cJSON_Delete(data);
    return valid || err_add_field(err, "/data", "an object of texts");
}

/* Keys that are longer than providers take are told by their hash. */
static const char *short_text(const char *key, char hashed[SHA256_HEX_BYTES])
{
    if (strlen(key) <= COLLAPSE_BYTES_MAX)
        return key;
    crypto_sha256_hex(key, strlen(key), hashed);
    return hashed;
}

/* `data` as it was cleaned, and push_id. */
static void add_data(struct str *out, const struct push *push)
{
    char hashed[SHA256_HEX_BYTES];
    json_raw(out, "data", push->data);
    out->bytes[--out->length] = '\0'; /* its '}' */
    json_text(out, "push_id", short_text(push->id, hashed));
    json_close(out, '}');
}

/* The bytes of the first `most` code points. */
static size_t head_length(const char *text, size_t most)
{
    size_t at = 0;
    uint32_t code;
    for (const size_t length = strlen(text); at < length && most > 0; most--) {
        const size_t step = utf8_decode(text + at, length - at, &code);
        at += step ? step : 1;
    }
    return at;
}

static void add_title(struct str *out, const struct push *push)
{
    const bool korean = strncasecmp(push->locale, "ko", 2) == 0;
    const char *title = *push->title ? push->title : korean ? "새 알림" : "New notification";
    const char *name = "\"title\":";
    if (out->bytes[out->length - 1] != '{')
        str_add_char(out, ',');
    str_add(out, name);
    str_add_json(out, title, head_length(title, TITLE_MAX));
}

/* The body as a JSON string of at most `room` bytes, quotes included. */
static void add_body(struct str *out, const char *body, size_t room)
{
    static const char DOTS[] = "\xe2\x80\xa6";
    AUTO_STR whole, piece;
    str_init(&whole);
    str_init(&piece);
    str_add_json(&whole, body, strlen(body));
    if (whole.length <= room) {
        str_add_bytes(out, whole.bytes, whole.length);
        return;
    }
    const size_t length = strlen(body);
    size_t kept = 0;
    uint32_t code;
    for (size_t used = 2 + sizeof DOTS - 1; kept < length;) { /* escapes make a code point longer: each is measured */
        const size_t step = utf8_decode(body + kept, length - kept, &code);
        str_clear(&piece);
        str_add_json(&piece, body + kept, step ? step : 1);
        used += piece.length - 2;
        if (used > room)
            break;
        kept += step ? step : 1;
    }
    str_clear(&piece);
    str_add_bytes(&piece, body, kept);
    if (room >= 2 + sizeof DOTS - 1)
        str_add(&piece, DOTS);
    str_add_json(out, piece.bytes ? piece.bytes : "", piece.length);
}

/* ---- FCM ---- */

static void add_android(struct str *out, const struct push *push, const char *collapse)
{
    char ttl[32];
    (void)snprintf(ttl, sizeof ttl, "%llds", (long long)push->ttl_s);
    json_open(out, "android", '{');
    json_text(out, "priority", push->high ? "HIGH" : "NORMAL");
    json_text(out, "ttl", ttl);
    if (collapse) {
        json_text(out, "collapse_key", collapse);
        json_open(out, "notification", '{');
        json_text(out, "tag", collapse); /* one notice per room in the tray, not one for all */
        json_close(out, '}');
    }
    json_close(out, '}');
}

static void add_apns(struct str *out, const struct push *push, const char *collapse)
{
    char expires[32];
    (void)snprintf(expires, sizeof expires, "%lld", (long long)push->expires_s);
    json_open(out, "apns", '{');
    json_open(out, "headers", '{');
    json_text(out, "apns-priority", push->high ? "10" : "5");
    json_text(out, "apns-expiration", push->ttl_s > 0 ? expires : "0");
    if (collapse)
        json_text(out, "apns-collapse-id", collapse);
    json_close(out, '}');
    json_open(out, "payload", '{');
    json_open(out, "aps", '{');
    json_text(out, "sound", "default");
    if (collapse)
        json_text(out, "thread-id", collapse);
    json_close(out, '}');
    json_close(out, '}');
    json_close(out, '}');
}

static void add_webpush(struct str *out, const struct push *push, const char *collapse)
{
    char ttl[32], topic[40];
    (void)snprintf(ttl, sizeof ttl, "%lld", (long long)push->ttl_s);
    json_open(out, "webpush", '{');
    json_open(out, "headers", '{');
    json_text(out, "TTL", ttl);
    json_text(out, "Urgency", push->high ? "high" : "normal");
    if (collapse) {
        char hash[SHA256_HEX_BYTES];
        crypto_sha256_hex(collapse, strlen(collapse), hash);
        (void)snprintf(topic, sizeof topic, "%.32s", hash);
        json_text(out, "Topic", topic);
    }
    json_close(out, '}');
    json_close(out, '}');
}

void message_fcm(const struct push *push, const char *platform, const char *token, struct str *out)
{
    static const char BODY[] = ",\"body\":";
    static const struct {
        const char *platform;
        void (*add)(struct str *out, const struct push *push, const char *collapse);
    } PARTS[] = {{"android", add_android}, {"ios", add_apns}, {"web", add_webpush}};
    char hashed[SHA256_HEX_BYTES];
    const char *collapse = push->collapse_key ? short_text(push->collapse_key, hashed) : NULL;
    AUTO_STR rest; /* all that comes after the body, made first: the body gets what is left */
    str_init(&rest);
    str_add_char(&rest, '}');
    add_data(&rest, push);
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        if (strcmp(PARTS[i].platform, platform) == 0)
            PARTS[i].add(&rest, push, collapse);
    str_add(&rest, "}}");
    const size_t start = out->length;
    json_open(out, NULL, '{');
    json_open(out, "message", '{');
    json_text(out, "token", token);
    json_open(out, "notification", '{');
    add_title(out, push);
    const size_t used = out->length - start - strlen(token) + sizeof BODY - 1 + rest.length; /* tokens don't count */
    if (*push->body && used + 2 < FCM_BYTES_MAX) {
        str_add(out, BODY);
        add_body(out, push->body, FCM_BYTES_MAX - used);
    }
    str_add_bytes(out, rest.bytes, rest.length);
}

/* ---- Web Push ---- */

void message_web(const struct push *push, size_t most, struct str *out)
{
    char hashed[SHA256_HEX_BYTES];
    const size_t start = out->length;
    json_open(out, NULL, '{');
    add_title(out, push);
    if (push->collapse_key)
        json_text(out, "tag", short_text(push->collapse_key, hashed));
    add_data(out, push);
    str_add(out, ",\"body\":");
    add_body(out, push->body, most - (out->length - start) - 1);
    str_add_char(out, '}');
}
