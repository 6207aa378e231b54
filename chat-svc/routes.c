#include "api.h"
#include "api_files.h"

/* clang-format off */
const struct route CHAT_ROUTES[] = {
    /* method   path                                                    who may call  handler           body at most */
    {"POST",   "/api/chat/rooms",                                       AUTH_USER,    room_create,      0},
    {"GET",    "/api/chat/rooms",                                       AUTH_USER,    room_list,        0},
    {"GET",    "/api/chat/rooms/:id",                                   AUTH_USER,    room_view,        0},
    {"PATCH",  "/api/chat/rooms/:id",                                   AUTH_USER,    room_change,      0},
    {"PUT",    "/api/chat/rooms/:id/mute",                              AUTH_USER,    room_mute,        0},
    {"POST",   "/api/chat/rooms/:id/members",                           AUTH_USER,    members_add,      0},
    {"DELETE", "/api/chat/rooms/:id/members/:user_id",                  AUTH_USER,    member_remove,    0},
    {"POST",   "/api/chat/rooms/:id/messages",                          AUTH_USER,    message_send,     0},
    {"GET",    "/api/chat/rooms/:id/messages",                          AUTH_USER,    message_list,     0},
    {"PATCH",  "/api/chat/rooms/:id/messages/:seq",                     AUTH_USER,    message_edit,     0},
    {"DELETE", "/api/chat/rooms/:id/messages/:seq",                     AUTH_USER,    message_delete,   0},
    {"PUT",    "/api/chat/rooms/:id/messages/:seq/reactions/:emoji",    AUTH_USER,    reaction_put,     0},
    {"DELETE", "/api/chat/rooms/:id/messages/:seq/reactions/:emoji",    AUTH_USER,    reaction_delete,  0},
    {"PUT",    "/api/chat/rooms/:id/read",                              AUTH_USER,    room_read,        0},
    {"POST",   "/api/chat/rooms/:id/files",                             AUTH_USER,    file_put,         FILE_BYTES_MAX},
    {"GET",    "/api/chat/rooms/:id/files/:file_id",                    AUTH_USER,    file_view,        0},
    {"GET",    "/api/chat/unread",                                      AUTH_USER,    unread_view,      0},
    {"GET",    "/api/chat/search",                                      AUTH_USER,    message_search,   0},
    {"GET",    "/files/chat/:key..",                                    AUTH_OPEN,    file_get,         0},
    {0},
};
/* clang-format on */
