#include "api.h"
#include "picture.h"

/* clang-format off */
const struct route USER_ROUTES[] = {
    /* method   path                                      who may call  handler                  body at most */
    {"GET",    "/api/users/me",                           AUTH_GUEST,   profile_own,             0},
    {"PATCH",  "/api/users/me",                           AUTH_GUEST,   profile_change,          0},
    {"PUT",    "/api/users/me/avatar",                    AUTH_USER,    avatar_put,              PICTURE_BYTES_MAX},
    {"DELETE", "/api/users/me/avatar",                    AUTH_USER,    avatar_delete,           0},
    {"GET",    "/api/users/:id",                          AUTH_USER,    profile_view,            0},
    {"GET",    "/api/users",                              AUTH_USER,    search_people,           0},
    {"GET",    "/api/friends",                            AUTH_USER,    friends_list,            0},
    {"GET",    "/api/friends/requests",                   AUTH_USER,    friend_requests_list,    0},
    {"PUT",    "/api/friends/requests/:user_id",          AUTH_USER,    friend_request_put,      0},
    {"DELETE", "/api/friends/requests/:user_id",          AUTH_USER,    friend_request_delete,   0},
    {"POST",   "/api/friends/requests/:user_id/accept",   AUTH_USER,    friend_request_accept,   0},
    {"POST",   "/api/friends/requests/:user_id/reject",   AUTH_USER,    friend_request_reject,   0},
    {"DELETE", "/api/friends/:user_id",                   AUTH_USER,    friend_delete,           0},
    {"GET",    "/api/blocks",                             AUTH_USER,    blocks_list,             0},
    {"PUT",    "/api/blocks/:user_id",                    AUTH_USER,    block_put,               0},
    {"DELETE", "/api/blocks/:user_id",                    AUTH_USER,    block_delete,            0},
    {"GET",    "/files/user/:key..",                      AUTH_OPEN,    picture_get,             0},
    {0},
};
/* clang-format on */
