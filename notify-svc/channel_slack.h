/* channel_slack.h - notices in Slack: to a webhook, to a channel, to one person, or to several in one conversation. */
#ifndef MADANG_NOTIFY_CHANNEL_SLACK_H
#define MADANG_NOTIFY_CHANNEL_SLACK_H

#include "slack.h"

/* A channel's send with a struct slack as its state; delivery->address as in slack_text.h. */
void slack_channel_send(void *slack, const struct delivery *delivery, struct outcome *outcome);

#endif
