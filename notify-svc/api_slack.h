/* api_slack.h - the handlers of Slack's routes: linking an account to a Slack user, and what Slack tells us. */
#ifndef MADANG_NOTIFY_API_SLACK_H
#define MADANG_NOTIFY_API_SLACK_H

#include "http.h"

bool slack_link_get(struct request *req, struct reply *reply, struct err *err);
bool slack_link_put(struct request *req, struct reply *reply, struct err *err);
bool slack_link_delete(struct request *req, struct reply *reply, struct err *err);
bool slack_link_confirm(struct request *req, struct reply *reply, struct err *err);
bool slack_events_post(struct request *req, struct reply *reply, struct err *err);

#endif
