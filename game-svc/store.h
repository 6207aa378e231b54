/* store.h - the SQL of rounds, their clock, and what is known of their markets. Failures: those of pg.h.
 *
 * Whoever changes a round holds its row (store_step_take, store_round_lock) FOR NO KEY UPDATE: rows that refer to it
 * can still be written by the worker. The worker (store_follow.c) never takes that row. */
#ifndef MADANG_GAME_STORE_H
#define MADANG_GAME_STORE_H

#include "market.h"
#include "news.h"
#include "pg.h"
#include "round.h"

/* ---- steps ---- */

enum step_kind {
    STEP_START,
    STEP_COUNTDOWN,
    STEP_NEWS,
    STEP_BOT_ORDER,
    STEP_REFILL,
    STEP_CLOSE,
    STEP_RANK, /* made by the worker, with the final accounts */
    STEP_NEXT,
    STEPS
};
const char *step_name(enum step_kind kind);

struct step {
    enum step_kind kind;
    int64_t number, at_ms;
};

/* Takes the oldest step that is due out of the table, its round's row locked; *found: there was one. A round that
 * another instance holds is passed over. */
bool store_step_take(struct pg_tx *tx, struct step *step, struct uuid *round_id, int64_t *now_ms, bool *found,
                     struct err *err);
bool store_steps_add(struct pg_tx *tx, const struct round *round, const struct step *steps, size_t count,
                     struct err *err);
/* Takes away all that begins or goes on while the market is open or set up. */
bool store_steps_drop_running(struct pg_tx *tx, const struct round *round, struct err *err);
/* A step that failed comes again later, so that those behind it get their turn. */
bool store_step_postpone(struct pg_pool *db, const struct uuid *round_id, const struct step *step, int64_t wait_ms,
                         struct err *err);
/* Milliseconds until the next step is due (0: one is), at most `most_ms`. */
bool store_steps_wait(struct pg_pool *db, int64_t most_ms, int64_t *wait_ms, struct err *err);

/* ---- rounds ---- */

/* The round that is set up or open, or else the last one, locked; *found false: there is none. Waits for who holds it.
 */
bool store_round_lock(struct pg_tx *tx, struct arena *arena, struct round *round, int64_t *now_ms, bool *found,
                      struct err *err);
bool store_round_load(struct pg_tx *tx, struct arena *arena, const struct uuid *id, struct round *round,
                      struct err *err);
/* One instance at a time until the transaction ends; *wanted: no round runs, and no step will begin one. `number` is
 * the next one's. */
bool store_round_wanted(struct pg_tx *tx, bool *wanted, int64_t *number, int64_t *now_ms, struct err *err);
/* With its companies and an empty progress. */
bool store_round_insert(struct pg_tx *tx, const struct round *round, struct err *err);
/* Phase, times, number of the next command. */
bool store_round_change(struct pg_tx *tx, const struct round *round, struct err *err);
bool store_company_sent(struct pg_tx *tx, const struct company *company, struct err *err);
bool store_news_add(struct pg_tx *tx, const struct round *round, int64_t number, const struct news_draw *draw,
                    struct err *err);
/* What was told; *found false: no such news. */
bool store_news_find(struct pg_tx *tx, const struct round *round, int64_t number, int *company, int64_t *weight,
                     bool *found, struct err *err);

/* ---- what the market told ---- */

struct progress {
    char round_id[UUID_TEXT_BYTES];
    int64_t seq; /* of the last event that is worked in */
    int company_count;
    int64_t heard_n[MARKET_COMPANIES_MAX], heard_seq[MARKET_COMPANIES_MAX]; /* by company: the bots' last order that was
                                                                               answered, and when */
    bool has_accounts;
};
/* Those of the ids that are rounds of this game. */
bool store_progress_read(struct pg_tx *tx, struct arena *arena, const struct texts *round_ids, struct progress **list,
                         size_t *count, struct err *err);
bool store_progress_write(struct pg_tx *tx, const struct progress *progress, struct err *err);

struct taking_part {
    const char *round_id;
    struct uuid user;
    bool bot;
    int64_t orders, fills, bought, sold;
};
/* Adds these to what is known. */
bool store_participants_add(struct pg_tx *tx, struct arena *arena, const struct taking_part *list, size_t count,
                            struct err *err);
bool store_accounts_add(struct pg_tx *tx, struct arena *arena, const char *round_id,
                        const struct market_account *accounts, size_t count, struct err *err);
bool store_last_prices(struct pg_tx *tx, const char *round_id, const int64_t *prices, size_t count, struct err *err);
/* All accounts are stored: the ranking is due. */
bool store_accounts_done(struct pg_tx *tx, const char *round_id, struct err *err);

#endif
