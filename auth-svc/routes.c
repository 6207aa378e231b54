#include "routes.h"

#include "api.h"

enum { SMALL_BODY = 16 * 1024 };

/* clang-format off */
const struct route AUTH_ROUTES[] = {
    /* method   path                               who may call handler                 body */
    {"GET",    "/.well-known/jwks.json",           AUTH_OPEN,  api_jwks,               0},
    {"GET",    "/internal/revoked",                AUTH_OPEN,  api_revoked,            0}, /* daemons only: not routed */
    {"GET",    "/api/auth/availability",           AUTH_OPEN,  api_availability,       0},
    {"POST",   "/api/auth/signup",                 AUTH_OPEN,  api_signup,             SMALL_BODY},
    {"POST",   "/api/auth/complete",               AUTH_GUEST, api_complete,           SMALL_BODY},
    {"POST",   "/api/auth/login",                  AUTH_OPEN,  api_login,              SMALL_BODY},
    {"POST",   "/api/auth/refresh",                AUTH_OPEN,  api_refresh,            SMALL_BODY},
    {"POST",   "/api/auth/logout",                 AUTH_OPEN,  api_logout,             SMALL_BODY},
    {"GET",    "/api/auth/sessions",               AUTH_GUEST, api_list_sessions,      0},
    {"DELETE", "/api/auth/sessions",               AUTH_GUEST, api_end_other_sessions, SMALL_BODY},
    {"DELETE", "/api/auth/sessions/:id",           AUTH_GUEST, api_end_session,        SMALL_BODY},
    {"POST",   "/api/auth/ws-ticket",              AUTH_GUEST, api_ws_ticket,          SMALL_BODY},
    {"POST",   "/api/auth/codes",                  AUTH_OPEN,  api_send_code,          SMALL_BODY},
    {"POST",   "/api/auth/codes/confirm",          AUTH_OPEN,  api_confirm_code,       SMALL_BODY},
    {"POST",   "/api/auth/password/reset",         AUTH_OPEN,  api_reset_password,     SMALL_BODY},
    {"PUT",    "/api/auth/password",               AUTH_USER,  api_change_password,    SMALL_BODY},
    {"PATCH",  "/api/auth/account",                AUTH_GUEST, api_rename,             SMALL_BODY},
    {"DELETE", "/api/auth/account",                AUTH_GUEST, api_withdraw,           SMALL_BODY},
    {"PUT",    "/api/auth/email",                  AUTH_USER,  api_change_email,       SMALL_BODY},
    {"PUT",    "/api/auth/phone",                  AUTH_USER,  api_change_phone,       SMALL_BODY},
    {"POST",   "/api/auth/social/exchange",        AUTH_OPEN,  api_social_exchange,    SMALL_BODY},
    {"GET",    "/api/auth/social/:provider",       AUTH_OPEN,  api_social_start,       0},
    {"GET",    "/api/auth/social/:provider/callback", AUTH_OPEN, api_social_callback,  0},
    {"PUT",    "/api/auth/users/:id/role",         AUTH_ADMIN, api_set_role,           SMALL_BODY},
    {0},
};
/* clang-format on */
