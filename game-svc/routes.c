#include "api.h"

/* clang-format off */
const struct route GAME_ROUTES[] = {
    /* method  path                    who may call  handler          body at most */
    {"GET",    "/api/game/round",      AUTH_OPEN,    game_round,      0},
    {"GET",    "/api/game/companies",  AUTH_OPEN,    game_companies,  0},
    {"GET",    "/api/game/news",       AUTH_OPEN,    game_news,       0},
    {"GET",    "/api/game/rankings",   AUTH_USER,    game_rankings,   0},
    {"GET",    "/api/game/rounds",     AUTH_USER,    game_rounds,     0},
    {"GET",    "/api/game/rounds/:id", AUTH_USER,    game_round_view, 0},
    {0},
};
/* clang-format on */
