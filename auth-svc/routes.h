/* routes.h - the API at a glance (routes.c). */
#ifndef AUTH_ROUTES_H
#define AUTH_ROUTES_H

#include "http.h"

extern const struct route AUTH_ROUTES[];

#endif
