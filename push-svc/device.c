#include "device.h"

#include "json.h"
#include "webpush.h"

#include <ctype.h>
#include <string.h>

const char *const PLATFORMS[] = {"android", "ios", "web", NULL};

struct subscription {
    const char *endpoint;
    const char *keys;           /* JSON */
    const char *expirationTime; /* browsers send it; nothing is made of it */
};
struct keys {
    const char *p256dh, *auth;
};

static const struct field WISH_FIELDS[] = {
    FIELD_TEXT(struct device_wish, platform, .required = true, .min = 1, .max = 20, .one_of = PLATFORMS),
    FIELD_TEXT(struct device_wish, token, .min = TOKEN_MIN, .max = TOKEN_MAX),
    FIELD_TEXT(struct device_wish, name, .max = DEVICE_NAME_MAX),
    FIELD_RAW(struct device_wish, subscription),
    {0},
};
static const struct field SUBSCRIPTION_FIELDS[] = {
    FIELD_TEXT(struct subscription, endpoint, .required = true, .min = 1, .max = ENDPOINT_MAX),
    FIELD_RAW(struct subscription, keys, .required = true),
    FIELD_RAW(struct subscription, expirationTime),
    {0},
};
static const struct field KEYS_FIELDS[] = {
    FIELD_TEXT(struct keys, p256dh, .required = true, .min = 1, .max = 128),
    FIELD_TEXT(struct keys, auth, .required = true, .min = 1, .max = 64),
    {0},
};

bool device_id_valid(const char *id)
{
    const size_t length = strlen(id);
    return length > 0 && length <= DEVICE_ID_MAX &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") == length;
}

/* Browsers give base64url without padding; some libraries pad. */
static bool read_bytes(const char *text, unsigned char *out, size_t wanted)
{
    unsigned char bytes[128];
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '=')
        length--;
    if (length > 120 || crypto_base64url_decode(text, length, bytes) != (long)wanted)
        return false;
    memcpy(out, bytes, wanted);
    return true;
}

static bool read_subscription(struct arena *arena, const struct reach *reach, const char *json, struct device *device,
                              struct err *err)
{
    struct subscription subscription;
    struct keys keys;
    if (!JSON_DECODE(arena, view_of(json), SUBSCRIPTION_FIELDS, &subscription, err) ||
        !JSON_DECODE(arena, view_of(subscription.keys), KEYS_FIELDS, &keys, err) ||
        !reach_endpoint(reach, subscription.endpoint, err))
        return false;
    if (!read_bytes(keys.p256dh, device->p256dh, P256DH_BYTES) || !webpush_key_valid(device->p256dh))
        return err_add_field(err, "/subscription/keys/p256dh", "must be a point of P-256, uncompressed, as base64url");
    if (!read_bytes(keys.auth, device->auth, AUTH_BYTES))
        return err_add_field(err, "/subscription/keys/auth", "must be %d bytes as base64url", AUTH_BYTES);
    device->address = subscription.endpoint;
    device->is_subscription = true;
    return true;
}

static bool read_token(const char *token, struct device *device, struct err *err)
{
    for (const char *c = token; *c; c++)
        if (!isgraph((unsigned char)*c))
            return err_add_field(err, "/token", "must be visible ASCII");
    device->address = token;
    return true;
}

static bool read_name(struct arena *arena, const char *name, struct device *device, struct err *err)
{
    if (!name)
        return true;
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_add_field(err, "/name", "must be one line");
    device->name = *name ? arena_text(arena, name) : NULL;
    return true;
}

bool device_read(struct arena *arena, const struct reach *reach, const char *device_id, struct view body,
                 struct device *device, struct err *err)
{
    struct device_wish wish;
    *device = (struct device){.device_id = device_id};
    if (!device_id_valid(device_id))
        return err_add_field(err, "device_id", "1 to %d of letters, digits, '.', '_', ':' and '-'", DEVICE_ID_MAX);
    if (!JSON_DECODE(arena, body, WISH_FIELDS, &wish, err))
        return false;
    const bool web = strcmp(wish.platform, "web") == 0;
    if (!wish.token == !wish.subscription)
        return err_add_field(err, "", "either token or subscription");
    if (wish.subscription && !web)
        return err_add_field(err, "/subscription", "only for platform web");
    device->platform = wish.platform;
    if (!read_name(arena, wish.name, device, err) ||
        !(wish.token ? read_token(wish.token, device, err)
                     : read_subscription(arena, reach, wish.subscription, device, err)))
        return false;
    crypto_sha256(device->address, strlen(device->address), device->address_hash);
    return true;
}
