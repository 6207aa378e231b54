/* copies.h - read copies of what other services own: people (topics accounts, profiles) and relations. Workers; payload
 * is struct chat_app. */
#ifndef MADANG_CHAT_COPIES_H
#define MADANG_CHAT_COPIES_H

#include "kafka.h"

bool copies_accounts(void *payload, const struct kafka_batch *batch, struct err *err);
bool copies_profiles(void *payload, const struct kafka_batch *batch, struct err *err);
bool copies_relations(void *payload, const struct kafka_batch *batch, struct err *err);

#endif
