/* message.h - one push as the providers want it: JSON for FCM HTTP v1, JSON for our own service worker (which then is
 * encrypted). What is too long loses the end of its body, at a code point. Pure. */
#ifndef MADANG_PUSH_MESSAGE_H
#define MADANG_PUSH_MESSAGE_H

#include "errors.h"
#include "str.h"

#include <stdint.h>

enum {
    FCM_BYTES_MAX = 4096,
    TITLE_MAX = 100,       /* code points that are sent */
    DATA_BYTES_MAX = 2048, /* of `data` as JSON */
    DATA_KEYS_MAX = 32,
    TTL_MAX_S = 28 * 24 * 3600,
    COLLAPSE_BYTES_MAX = 64, /* APNs' limit; longer keys and ids are hashed */
};

struct push {
    const char *title, *body, *locale; /* locale: "ko..." or another */
    const char *data;                  /* a JSON object: message_data_clean made it when the request came */
    const char *collapse_key;          /* NULL: none */
    const char *id;                    /* `push_id` in the data: with it a client drops a double */
    bool high;                         /* priority */
    int64_t ttl_s;
    int64_t expires_s; /* since 1970 */
};

/* Appends `json`, an object of texts, without keys that FCM keeps for itself, and without what goes beyond
 * DATA_KEYS_MAX keys and DATA_BYTES_MAX bytes. bad_input: it is no such object. */
bool message_data_clean(const char *json, struct str *out, struct err *err);

/* Appends the body of messages:send, at most FCM_BYTES_MAX bytes and the token. */
void message_fcm(const struct push *push, const char *platform, const char *token, struct str *out);
/* Appends {title, body, tag?, data}, at most `most` bytes. */
void message_web(const struct push *push, size_t most, struct str *out);

#endif
