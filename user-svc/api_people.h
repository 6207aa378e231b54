/* api_people.h - the two forms that friends, requests and blocks share: a list of people, and an action towards one. */
#ifndef MADANG_USER_API_PEOPLE_H
#define MADANG_USER_API_PEOPLE_H

#include "api_common.h"

bool people_list(struct request *req, struct reply *reply, enum people_list list, struct err *err);
/* Towards the person in the path's :user_id. An Idempotency-Key counts. */
bool people_act(struct request *req, struct reply *reply, enum relation_action action, struct err *err);

#endif
