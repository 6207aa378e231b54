/* turn.h - one step of the clock while it is done: its transaction, its round (the row is held), and what leaves with
 * the commit: commands of the market, events of the game, steps to come. turn_flush() writes all that; whatever fails
 * before the commit leaves nothing. Ownership: everything lives in the arena. Threads: the clock's. */
#ifndef MADANG_GAME_TURN_H
#define MADANG_GAME_TURN_H

#include "app.h"
#include "arena.h"
#include "companies.h"
#include "outbox.h"
#include "store.h"

enum {
    TURN_EVENTS_MAX = MARKET_COMPANIES_MAX * BOOK_QUOTES_MAX + 16, /* a set-up with opening books is the longest */
    TURN_STEPS_MAX = 16,
    TURN_ARENA_BYTES = 4 << 20,
};

struct turn {
    const struct game_app *app;
    struct pg_tx *tx;
    struct arena *arena;
    struct round *round;
    struct step step;
    int64_t now_ms; /* the database's, so all instances go by one clock */

    struct outbox_event *events;
    size_t event_count;
    struct step *steps;
    size_t step_count;
    int64_t commands, orders;        /* for the metrics, once committed */
    bool sent[MARKET_COMPANIES_MAX]; /* companies with a new bot_sent_n */
};

void turn_begin(struct turn *turn, const struct game_app *app, struct pg_tx *tx, struct arena *arena,
                struct round *round, int64_t now_ms);
/* Gives it source and number, and lets it leave to market.commands. */
void turn_command(struct turn *turn, struct market_command *command);
/* An order of a bot: a limit that rests or does nothing (post-only), or a market order (price 0). */
void turn_place(struct turn *turn, int bot, int company, const struct quote *quote);
void turn_event(struct turn *turn, struct outbox_event event);
/* Nothing for at_ms 0. */
void turn_step(struct turn *turn, enum step_kind kind, int64_t number, int64_t at_ms);
/* Writes the round, its companies, the steps and the outbox. */
bool turn_flush(struct turn *turn, struct err *err);

#endif
