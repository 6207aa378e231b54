/* routes.h - the API of match-svc at a glance: routes.c. */
#ifndef MADANG_MATCH_ROUTES_H
#define MADANG_MATCH_ROUTES_H

#include "http.h"

extern const struct route MATCH_ROUTES[];

#endif
