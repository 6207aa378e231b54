#include "api.h"

/* clang-format off */
const struct route NOTIFY_ROUTES[] = {
    /* method  path                                  who may call  handler         body at most */
    {"GET",    "/api/notifications",                 AUTH_USER,    notices_list,   0},
    {"GET",    "/api/notifications/count",           AUTH_USER,    notices_count,  0},
    {"POST",   "/api/notifications/read",            AUTH_USER,    notices_read,   0},
    {"GET",    "/api/notifications/settings",        AUTH_USER,    settings_get,   0},
    {"PUT",    "/api/notifications/settings",        AUTH_USER,    settings_put,   0},
    {"GET",    "/api/notifications/stream",          AUTH_OPEN,    stream_open,    0}, /* token, ticket or cookie: its own matter */
    {0},
};
/* clang-format on */
