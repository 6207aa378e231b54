/* tokens.h - what the search index stores of a message: its pairs of letters, hashed together with the room, so that
 * one look-up touches one room's messages. The same function makes the tokens of a query; a message that has all of
 * them may still lack the words in this order: look again. Threads: pure functions. */
#ifndef MADANG_CHAT_TOKENS_H
#define MADANG_CHAT_TOKENS_H

#include "arena.h"

#include <stdint.h>

/* Of the folded text (text_fold): distinct, ascending. Fewer than two letters, or text that is no UTF-8: none. */
int64_t *tokens_of(struct arena *arena, const char *room_id, const char *text, size_t *count);

#endif
