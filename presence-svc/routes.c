#include "api.h"

/* clang-format off */
const struct route PRESENCE_ROUTES[] = {
    /* method   path                       who may call  handler           body at most */
    {"GET",    "/api/presence/friends",    AUTH_USER,    presence_friends, 0},
    {"GET",    "/api/presence",            AUTH_USER,    presence_list,    0},
    {"GET",    "/api/presence/settings",   AUTH_USER,    settings_get,     0},
    {"PUT",    "/api/presence/settings",   AUTH_USER,    settings_put,     0},
    {0},
};
/* clang-format on */
