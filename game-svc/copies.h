/* copies.h - the read copy of topic accounts in table people: nicknames, and who has withdrawn. Worker; payload is
 * struct game_app. */
#ifndef MADANG_GAME_COPIES_H
#define MADANG_GAME_COPIES_H

#include "kafka.h"

bool copies_accounts(void *payload, const struct kafka_batch *batch, struct err *err);

#endif
