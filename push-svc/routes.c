#include "api.h"

enum { DEVICE_BODY_MAX = 16 * 1024 };

/* clang-format off */
const struct route PUSH_ROUTES[] = {
    /* method   path                              who may call  handler          body at most */
    {"GET",    "/api/push/devices",               AUTH_USER,    devices_list,    0},
    {"PUT",    "/api/push/devices/:device_id",    AUTH_USER,    device_put,      DEVICE_BODY_MAX},
    {"DELETE", "/api/push/devices/:device_id",    AUTH_USER,    device_delete,   0},
    {"GET",    "/api/push/vapid-key",             AUTH_OPEN,    vapid_key_get,   0},
    {0},
};
/* clang-format on */
