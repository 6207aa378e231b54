/* api.h - the handlers of routes.c, by file. */
#ifndef MADANG_GAME_API_H
#define MADANG_GAME_API_H

#include "http.h"

extern const struct route GAME_ROUTES[];

#endif
