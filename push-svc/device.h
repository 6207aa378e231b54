/* device.h - what a device may be: the rules of PUT /api/push/devices/{device_id}. Pure; no database, no network.
 * A device is reached by a registration token (FCM: phones, and browsers that use Firebase) or by a browser's
 * subscription (Web Push). */
#ifndef MADANG_PUSH_DEVICE_H
#define MADANG_PUSH_DEVICE_H

#include "arena.h"
#include "crypto.h"
#include "reach.h"
#include "str.h"

enum { DEVICE_ID_MAX = 64, DEVICE_NAME_MAX = 80, TOKEN_MIN = 8, TOKEN_MAX = 2048, P256DH_BYTES = 65, AUTH_BYTES = 16 };

extern const char *const PLATFORMS[]; /* android, ios, web; ended by NULL */

/* The body of PUT, as it came. */
struct device_wish {
    const char *platform, *token, *name;
    const char *subscription; /* JSON, or NULL */
};

struct device {
    const char *device_id, *platform;
    const char *name;    /* NULL: none */
    const char *address; /* the token, or the endpoint */
    unsigned char address_hash[SHA256_BYTES];
    bool is_subscription;
    unsigned char p256dh[P256DH_BYTES], auth[AUTH_BYTES];
};

/* Letters, digits and . _ : - */
bool device_id_valid(const char *id);

/* bad_input with the fields that are wrong; endpoint_refused. Texts of *device live in the arena. */
bool device_read(struct arena *arena, const struct reach *reach, const char *device_id, struct view body,
                 struct device *device, struct err *err);

#endif
