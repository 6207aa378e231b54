/* api.h - the handlers of user-svc (api_*.c); routes.c says which route each one serves. */
#ifndef MADANG_USER_API_H
#define MADANG_USER_API_H

#include "http.h"

extern const struct route USER_ROUTES[];

bool profile_own(struct request *req, struct reply *reply, struct err *err);
bool profile_change(struct request *req, struct reply *reply, struct err *err);
bool profile_view(struct request *req, struct reply *reply, struct err *err);

bool avatar_put(struct request *req, struct reply *reply, struct err *err);
bool avatar_delete(struct request *req, struct reply *reply, struct err *err);
bool picture_get(struct request *req, struct reply *reply, struct err *err);

bool search_people(struct request *req, struct reply *reply, struct err *err);

bool friends_list(struct request *req, struct reply *reply, struct err *err);
bool friend_requests_list(struct request *req, struct reply *reply, struct err *err);
bool friend_request_put(struct request *req, struct reply *reply, struct err *err);
bool friend_request_delete(struct request *req, struct reply *reply, struct err *err);
bool friend_request_accept(struct request *req, struct reply *reply, struct err *err);
bool friend_request_reject(struct request *req, struct reply *reply, struct err *err);
bool friend_delete(struct request *req, struct reply *reply, struct err *err);

bool blocks_list(struct request *req, struct reply *reply, struct err *err);
bool block_put(struct request *req, struct reply *reply, struct err *err);
bool block_delete(struct request *req, struct reply *reply, struct err *err);

#endif
