/* admin.h - what only operators see: /registry on the admin port, and the checks behind /readyz. */
#ifndef GATEWAY_ADMIN_H
#define GATEWAY_ADMIN_H

#include "app.h"
#include "http.h"

extern const struct route ADMIN_ROUTES[];

/* For struct ready_check; payload: the gateway. */
bool admin_ready_registry(void *gateway);
bool admin_ready_tokens(void *gateway);
bool admin_ready_traffic(void *gateway); /* false while draining */

#endif
