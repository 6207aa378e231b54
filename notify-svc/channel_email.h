/* channel_email.h - notices as mails. */
#ifndef MADANG_NOTIFY_CHANNEL_EMAIL_H
#define MADANG_NOTIFY_CHANNEL_EMAIL_H

#include "channels.h"
#include "sink.h"

struct email_channel;
struct email_channel *email_channel_open(const struct email_config *config, struct sink *sink, struct err *err);
void email_channel_release(struct email_channel **email);
void email_channel_send(void *email, const struct delivery *delivery, struct outcome *outcome);

#endif
