/* channel_sms.h - notices as text messages. */
#ifndef MADANG_NOTIFY_CHANNEL_SMS_H
#define MADANG_NOTIFY_CHANNEL_SMS_H

#include "channels.h"
#include "sink.h"

struct sms_channel;
struct sms_channel *sms_channel_open(const struct sms_config *config, struct sink *sink, struct err *err);
void sms_channel_release(struct sms_channel **sms);
void sms_channel_send(void *sms, const struct delivery *delivery, struct outcome *outcome);

#endif
