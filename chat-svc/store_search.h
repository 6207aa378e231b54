/* store_search.h - messages that have all pairs of letters of a query, in the viewer's own rooms. A candidate may still
 * lack the words in this order: the caller looks again. Ownership: results lie in the arena. */
#ifndef MADANG_CHAT_STORE_SEARCH_H
#define MADANG_CHAT_STORE_SEARCH_H

#include "page.h"
#include "store_messages.h"

/* Where one looks: rooms that the viewer sees in the list of rooms; `room_id` NULL: all of them. ERR_NOT_FOUND for a
 * room that is not theirs. */
bool store_search_rooms(struct pg_pool *db, struct arena *arena, const char *viewer_id, const char *room_id,
                        struct texts *room_ids, struct err *err);

struct candidate {
    struct seen_message seen;
    int64_t at_us; /* order: (at_us, room, sequence), falling */
};
/* At most `limit` of the newest after `after` (NULL: from the top). `query` is folded and has two letters or more. */
bool store_search(struct pg_pool *db, struct arena *arena, const char *viewer_id, const struct texts *room_ids,
                  const char *query, const struct cursor *after, int64_t limit, struct candidate **out, size_t *count,
                  struct err *err);

/* Takes the words that wait into the index; cheap when none do. */
bool store_search_tidy(struct pg_pool *db, struct err *err);

#endif
