#include "api.h"

const struct route GAME_ROUTES[] = {
    {0},
};
