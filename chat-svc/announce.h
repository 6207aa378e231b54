/* announce.h - what the trading game says is said in rooms for everybody.
 *
 * A worker on game.events turns each event into commands of the server on chat.inbound, by the outbox, in one
 * transaction with the offset:
 *     round    setup, open: the company rooms are made (id = the company's id, title = its name); closed: they close.
 *              A line in everybody's room at each phase
 *     news     a line in everybody's room and in the company's
 *     ranking  a line in everybody's room, unless nobody took part
 * Lines are system messages: no sender, `content` is JSON {type, ..., text: {en, ko}}. Their ids follow from the
 * event's id and the room, and a room takes each id once, so an event that comes twice is said once. countdown is not
 * stored: every instance tells it to the sockets that have everybody's room open (live_market.c). Ownership: what is
 * returned lies in the arena. */
#ifndef MADANG_CHAT_ANNOUNCE_H
#define MADANG_CHAT_ANNOUNCE_H

#include "kafka.h"
#include "wire.h"

bool announce_apply(void *payload, const struct kafka_batch *batch, struct err *err); /* struct chat_app */

/* ---- the form, pure ---- */

enum { GAME_COMPANIES_MAX = 16, ANNOUNCED_PLACES_MAX = 10 };

struct game_company {
    const char *id, *name;
    int64_t index;
};

enum game_kind { GAME_OTHER, GAME_ROUND, GAME_COUNTDOWN, GAME_NEWS, GAME_RANKING };

struct game_event {
    enum game_kind kind;
    const char *id, *at, *market, *phase;
    const char *opens_at, *closes_at, *next_at;
    int64_t number, seconds_left, participants;
    const char *company, *company_name, *text, *places; /* text, places: JSON */
    bool good;
    struct game_company *companies;
    size_t company_count;
};

/* ERR_BAD_INPUT for what no such event can be; kinds that nobody knows here are GAME_OTHER. */
bool game_event_decode(struct arena *arena, struct view payload, struct game_event *event, struct err *err);
/* The commands that the event leads to, in order. */
struct commands {
    struct command items[GAME_COMPANIES_MAX + 1];
    size_t count;
};
void game_event_commands(struct arena *arena, const struct game_event *event, struct commands *out);

#endif
