/* sweep.h - upkeep, as rounds (rounds.h): files that no message names, Idempotency-Keys older than a day, and
 * what is left of rounds of the game (store_game.h). More often, the list of words that the index of message_search has
 * not taken in yet: left alone, the insert that finds it full does that, some hundred milliseconds long, and everybody
 * behind it waits.
 * Several instances may sweep at once: what one has claimed the others skip. */
#ifndef MADANG_CHAT_SWEEP_H
#define MADANG_CHAT_SWEEP_H

#include "objstore.h"
#include "pg.h"

enum { SWEEP_EVERY_MS = 10000 };
/* `app`: the struct chat_app. */
void sweep_round(void *app, unsigned round);
enum { TIDY_EVERY_MS = 1000 };
void tidy_round(void *app, unsigned round);

/* What is unused goes to the trash, what is due there is deleted from the store, then forgotten. */
bool sweep_files(struct pg_pool *db, struct objstore *files, struct err *err);

#endif
