#include "routes.h"

#include "api_market.h"

/* clang-format off */
const struct route MATCH_ROUTES[] = {
    /* method   path                                                    who may call  handler           body at most */
    {"GET",    "/api/market/:company/book",                             AUTH_OPEN,    market_book,      0},
    {"GET",    "/api/market/:company/ticker",                           AUTH_OPEN,    market_ticker,    0},
    {0},
};
/* clang-format on */
