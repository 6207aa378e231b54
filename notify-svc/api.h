/* api.h - the handlers of notify-svc (api_*.c); routes.c says which route each one serves. */
#ifndef MADANG_NOTIFY_API_H
#define MADANG_NOTIFY_API_H

#include "http.h"

extern const struct route NOTIFY_ROUTES[];

bool notices_list(struct request *req, struct reply *reply, struct err *err);
bool notices_count(struct request *req, struct reply *reply, struct err *err);
bool notices_read(struct request *req, struct reply *reply, struct err *err);

bool settings_get(struct request *req, struct reply *reply, struct err *err);
bool settings_put(struct request *req, struct reply *reply, struct err *err);

bool stream_open(struct request *req, struct reply *reply, struct err *err);

#endif
