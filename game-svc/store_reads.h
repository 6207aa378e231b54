/* store_reads.h - what the API reads: one statement per function, whatever the length. Times are milliseconds, 0: none.
 * Ownership: results lie in the arena. ERR_NOT_FOUND where there is no such round. */
#ifndef MADANG_GAME_STORE_READS_H
#define MADANG_GAME_STORE_READS_H

#include "page.h"
#include "pg.h"

#include <stdint.h>

struct seen_round {
    const char *id, *phase;
    int64_t number, seed_cash, tick;
    int64_t setup_at_ms, opens_at_ms, closes_at_ms, next_at_ms, closed_at_ms;
    int64_t now_ms; /* the database's */
    bool ranked;
    int64_t participants; /* of a ranked one */
};
/* The round that is set up or open, or else the last one; ERR_NOT_FOUND before the first. */
bool store_read_current(struct pg_pool *db, struct arena *arena, struct seen_round *round, struct err *err);
bool store_read_round(struct pg_pool *db, struct arena *arena, const char *id, struct seen_round *round,
                      struct err *err);
/* Finished and ranked ones, the latest first, at most `limit` below number `below` (0: from the top). */
bool store_read_rounds(struct pg_pool *db, struct arena *arena, int64_t below, int64_t limit,
                       struct seen_round **rounds, size_t *count, struct err *err);
/* The latest ranked one; *found false: none yet. */
bool store_read_last_ranked(struct pg_pool *db, struct arena *arena, struct seen_round *round, bool *found,
                            struct err *err);

struct seen_company {
    const char *id, *name, *name_en, *business;
    int64_t index, initial_price, last_price; /* last_price: at the close; 0 before */
};
bool store_read_companies(struct pg_pool *db, struct arena *arena, const char *round_id, struct seen_company **list,
                          size_t *count, struct err *err);

struct seen_news {
    const char *company_id, *company_name, *company_name_en, *line;
    int64_t number, weight, at_ms;
};
/* The latest first; a round has a few hundred at most. */
bool store_read_news(struct pg_pool *db, struct arena *arena, const char *round_id, int64_t limit,
                     struct seen_news **list, size_t *count, struct err *err);

/* A place in a round, or one by rating (then place, rating, user and nickname only). */
struct seen_place {
    const char *round_id, *user_id, *nickname;
    int64_t place, return_bp, cash, points, rating;
    int64_t orders, fills, bought, sold;
};
/* By place, then id: those after (place, user) of `after` (NULL: from the top). */
bool store_read_places(struct pg_pool *db, struct arena *arena, const char *round_id, const struct cursor *after,
                       int64_t limit, struct seen_place **list, size_t *count, struct err *err);
/* The rating as it is now; equal ratings have equal places. People with a rating above zero. */
bool store_read_ratings(struct pg_pool *db, struct arena *arena, int64_t limit, struct seen_place **list, size_t *count,
                        struct err *err);
/* 0 for who has none. */
bool store_read_rating_of(struct pg_pool *db, const char *user_id, int64_t *rating, struct err *err);
/* Of one person in these rounds; rounds without a result of hers are left out. */
bool store_read_results_of(struct pg_pool *db, struct arena *arena, const char *user_id, const struct texts *round_ids,
                           struct seen_place **list, size_t *count, struct err *err);
/* The first places of each of these rounds, at most `most` of a round. */
bool store_read_winners(struct pg_pool *db, struct arena *arena, const struct texts *round_ids, int64_t most,
                        struct seen_place **list, size_t *count, struct err *err);

#endif
