/* api.h - the handlers of game-svc (api_*.c); routes.c says which route each one serves. */
#ifndef MADANG_GAME_API_H
#define MADANG_GAME_API_H

#include "http.h"

extern const struct route GAME_ROUTES[];

bool game_round(struct request *req, struct reply *reply, struct err *err);
bool game_companies(struct request *req, struct reply *reply, struct err *err);
bool game_news(struct request *req, struct reply *reply, struct err *err);

bool game_rankings(struct request *req, struct reply *reply, struct err *err);
bool game_rounds(struct request *req, struct reply *reply, struct err *err);
bool game_round_view(struct request *req, struct reply *reply, struct err *err);

#endif
