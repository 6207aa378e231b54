#include "api.h"
#include "api_slack.h"

/* clang-format off */
const struct route NOTIFY_ROUTES[] = {
    /* method  path                                  who may call  handler         body at most */
    {"GET",    "/api/notifications",                 AUTH_USER,    notices_list,   0},
    {"GET",    "/api/notifications/count",           AUTH_USER,    notices_count,  0},
    {"POST",   "/api/notifications/read",            AUTH_USER,    notices_read,   0},
    {"GET",    "/api/notifications/settings",        AUTH_USER,    settings_get,   0},
    {"PUT",    "/api/notifications/settings",        AUTH_USER,    settings_put,   0},
    {"GET",    "/api/notifications/stream",          AUTH_OPEN,    stream_open,    0}, /* token, ticket or cookie: its own matter */
    {"GET",    "/api/notifications/slack",           AUTH_USER,    slack_link_get, 0},
    {"PUT",    "/api/notifications/slack",           AUTH_USER,    slack_link_put, 0},
    {"DELETE", "/api/notifications/slack",           AUTH_USER,    slack_link_delete,  0},
    {"POST",   "/api/notifications/slack/confirm",   AUTH_USER,    slack_link_confirm, 0},
    {"POST",   "/api/slack/events",                  AUTH_OPEN,    slack_events_post,  256 * 1024}, /* signed by Slack */
    {0},
};
/* clang-format on */
