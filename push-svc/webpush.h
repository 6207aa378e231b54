/* webpush.h - a message for a browser: VAPID (RFC 8292, ES256) says who sends, aes128gcm (RFC 8291 over RFC 8188) hides
 * what is sent from the push service. Pure functions over OpenSSL; thread-safe. */
#ifndef MADANG_PUSH_WEBPUSH_H
#define MADANG_PUSH_WEBPUSH_H

#include "errors.h"
#include "str.h"

#include <stdint.h>

enum {
    WEBPUSH_PLAIN_MAX = 3993, /* what one record of 4096 bytes holds */
    VAPID_KEY_BYTES = 32,
    VAPID_POINT_BYTES = 65,
    VAPID_TOKEN_S = 12 * 3600, /* push services take at most 24 h */
    WEBPUSH_TOPIC_BYTES = 33,
};

/* An uncompressed point (04, x, y) that lies on P-256. */
bool webpush_key_valid(const unsigned char point[VAPID_POINT_BYTES]);

/* What RFC 8291 leaves to chance: tests fix it. */
struct webpush_chance {
    unsigned char salt[16];
    unsigned char private_key[VAPID_KEY_BYTES];
};
void webpush_chance(struct webpush_chance *chance);

/* Appends the body of the POST: header, one encrypted record. bad_input: longer than WEBPUSH_PLAIN_MAX. */
bool webpush_seal(const unsigned char p256dh[VAPID_POINT_BYTES], const unsigned char auth[16], struct view plain,
                  const struct webpush_chance *chance, struct str *out, struct err *err);

struct vapid;
/* `private_key`: 32 bytes. */
struct vapid *vapid_open(const unsigned char private_key[VAPID_KEY_BYTES], const char *subject, struct err *err);
void vapid_release(struct vapid **vapid);
const char *vapid_public(const struct vapid *vapid); /* base64url, what pushManager.subscribe() takes */
/* Appends "vapid t=<token>, k=<key>" for a push service (https://host[:port]). */
bool vapid_authorization(const struct vapid *vapid, const char *origin, int64_t now_s, struct str *out,
                         struct err *err);
/* 32 random bytes that are a private key. */
void vapid_generate(unsigned char private_key[VAPID_KEY_BYTES]);

/* The header Topic for a collapse key: 32 characters of base64url and a NUL. */
void webpush_topic(const char *collapse_key, char topic[WEBPUSH_TOPIC_BYTES]);

#endif
