#include "crypto.h"
#include "json.h"
#include "mem.h"
#include "token.h"

#include <string.h>

enum {
    HEADER_MAX = 512, /* decoded bytes */
    HEADER_TEXT_MAX = HEADER_MAX * 4 / 3,
    PAYLOAD_MAX = sizeof((struct token_parts *)0)->payload - 4, /* the decoder writes up to 3 bytes more; and a NUL */
    PAYLOAD_TEXT_MAX = PAYLOAD_MAX * 4 / 3,
    SIGNATURE_TEXT = 86, /* 64 bytes */
    ARENA_MAX = 64 * 1024,
};

struct header {
    const char *alg, *typ, *kid, *crit;
    bool has_crit;
};

/* jwk, jku, x5u, x5c and all else is skipped: a key is only ever taken from our key set. */
static const struct field HEADER_FIELDS[] = {
    FIELD_TEXT(struct header, alg, .required = true, .max = 16),
    FIELD_TEXT(struct header, typ, .max = 16),
    FIELD_TEXT(struct header, kid, .required = true, .min = 1, .max = 63),
    FIELD_RAW(struct header, crit, .nullable = true, FIELD_SEEN(struct header, has_crit)),
    {0},
};

static bool malformed(struct err *err, const char *what)
{
    return err_set(err, &ERR_TOKEN_INVALID, "the token is malformed: %s", what);
}

/* Cuts `rest` at its first dot. */
static bool cut(struct view *rest, struct view *part)
{
    const char *dot = rest->length ? memchr(rest->bytes, '.', rest->length) : NULL;
    if (!dot)
        return false;
    *part = (struct view){rest->bytes, (size_t)(dot - rest->bytes)};
    *rest = (struct view){dot + 1, rest->length - part->length - 1};
    return true;
}

static bool kid_is_plain(const char *kid)
{
    return strspn(kid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(kid);
}

static bool read_header(struct view text, struct token_parts *parts, struct err *err)
{
    unsigned char bytes[HEADER_MAX + 4];
    if (text.length > HEADER_TEXT_MAX)
        return malformed(err, "header too long");
    long length = crypto_base64url_decode(text.bytes, text.length, bytes);
    if (length < 0)
        return malformed(err, "header is not base64url");
    AUTO(arena) arena = arena_open(ARENA_MAX);
    struct header header;
    struct view json = {(const char *)bytes, (size_t)length};
    if (!JSON_DECODE_LENIENT(arena, json, HEADER_FIELDS, &header, err))
        return malformed(err, "header");
    if (strcmp(header.alg, "ES256") != 0)
        return err_set(err, &ERR_TOKEN_INVALID, "the token's algorithm is not ES256");
    if (header.has_crit || (header.typ && strcmp(header.typ, "JWT") != 0) || !kid_is_plain(header.kid))
        return malformed(err, "header");
    memcpy(parts->kid, header.kid, strlen(header.kid) + 1);
    return true;
}

bool token_split(struct view token, struct token_parts *parts, struct err *err)
{
    struct view rest = token, header, payload;
    if (!cut(&rest, &header) || !cut(&rest, &payload))
        return malformed(err, "not three parts");
    /* A further dot makes the signature longer, or is no base64url. */
    unsigned char signature[SIGNATURE_TEXT * 3 / 4 + 3];
    if (rest.length != SIGNATURE_TEXT ||
        crypto_base64url_decode(rest.bytes, rest.length, signature) != sizeof parts->signature)
        return malformed(err, "signature");
    if (!read_header(header, parts, err))
        return false;
    if (payload.length > PAYLOAD_TEXT_MAX)
        return malformed(err, "payload too long");
    long length = crypto_base64url_decode(payload.bytes, payload.length, parts->payload);
    if (length < 0)
        return malformed(err, "payload is not base64url");
    parts->payload[length] = '\0';
    parts->payload_length = (size_t)length;
    memcpy(parts->signature, signature, sizeof parts->signature);
    parts->signing_input = (struct view){token.bytes, header.length + 1 + payload.length};
    return true;
}
