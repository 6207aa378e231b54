/* store_ranking.h - the SQL of rankings: inside the clock's transaction, which holds the round's row. */
#ifndef MADANG_GAME_STORE_RANKING_H
#define MADANG_GAME_STORE_RANKING_H

#include "pg.h"
#include "ranking.h"

enum ranking_state {
    RANKING_EARLY, /* the round is not over, or its accounts have not come */
    RANKING_DUE,
    RANKING_NOTICES, /* ranked, and not everybody has a notice */
    RANKING_DONE,
};
bool store_ranking_state(struct pg_tx *tx, const char *round_id, enum ranking_state *state, struct err *err);

/* People with an accepted order, and their final cash. */
bool store_ranking_load(struct pg_tx *tx, struct arena *arena, const char *round_id, struct ranked **list,
                        size_t *count, struct err *err);

/* Adds the points; the new ratings, in the order of the list. Only those who have points have a row made. */
bool store_ratings_add(struct pg_tx *tx, struct arena *arena, const struct ranked *list, size_t count,
                       int64_t **ratings, struct err *err);
bool store_results_add(struct pg_tx *tx, struct arena *arena, const char *round_id, const struct ranked *list,
                       const int64_t *ratings, size_t count, struct err *err);
/* "" for who is not known or has withdrawn. */
bool store_nicknames(struct pg_tx *tx, struct arena *arena, const struct ranked *list, size_t count,
                     const char ***nicknames, struct err *err);

struct noticed {
    const char *user_id;
    int64_t place, return_bp, points;
};
/* The next ones without a notice, and marks them: *last when nobody is left after them. Withdrawn ones are passed over.
 */
bool store_ranking_notices(struct pg_tx *tx, struct arena *arena, const char *round_id, int64_t most,
                           struct noticed **list, size_t *count, int64_t *participants, bool *last, struct err *err);

#endif
