/* store_game.h - what chat-svc keeps of the trading game: the companies of each market by number; and what goes when a
 * round is long over. */
#ifndef MADANG_CHAT_STORE_GAME_H
#define MADANG_CHAT_STORE_GAME_H

#include "announce.h"
#include "pg.h"
#include "uuid.h"

bool store_game_add_companies(struct pg_tx *tx, const char *market, const struct game_company *companies, size_t count,
                              struct err *err);
/* ids[index], "" where there is none. *count: the highest index and one; 0: the market was not announced. */
bool store_game_companies(struct pg_pool *db, const char *market, char ids[GAME_COMPANIES_MAX][UUID_TEXT_BYTES],
                          int *count, struct err *err);

enum { COMPANY_ROOM_HOURS = 24, SAID_DAYS = 8 };
/* Company rooms that closed a day ago, with their messages, at most some hundred at once; ids of lines and companies of
 * markets after some days. */
bool store_game_sweep(struct pg_pool *db, struct err *err);

#endif
