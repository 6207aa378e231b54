/* api.h - the handlers of push-svc (api.c); routes.c says which route each one serves. There is none that sends:
 * sending is asked for on the topic push.requests only. */
#ifndef MADANG_PUSH_API_H
#define MADANG_PUSH_API_H

#include "http.h"

extern const struct route PUSH_ROUTES[];

bool devices_list(struct request *req, struct reply *reply, struct err *err);
bool device_put(struct request *req, struct reply *reply, struct err *err);
bool device_delete(struct request *req, struct reply *reply, struct err *err);
bool vapid_key_get(struct request *req, struct reply *reply, struct err *err);

#endif
