/* api.h - the handlers of presence-svc, and the route table that names them (routes.c). */
#ifndef MADANG_PRESENCE_API_H
#define MADANG_PRESENCE_API_H

#include "http.h"

extern const struct route PRESENCE_ROUTES[];

bool presence_friends(struct request *req, struct reply *reply, struct err *err);
bool presence_list(struct request *req, struct reply *reply, struct err *err);
bool settings_get(struct request *req, struct reply *reply, struct err *err);
bool settings_put(struct request *req, struct reply *reply, struct err *err);

#endif
