/* events.h - the topics of game-svc.
 *
 * In:  market.events (worker, follow.c: who takes part, final accounts, what the bots' orders met); market.depth (every
 *      instance, depth.c); accounts (worker, people_copy.c).
 * Out: market.commands (turn.c); game.events: round, countdown, news here, ranking and ratings in ranking.c.
 * All by the outbox. Payloads are described in docs/asyncapi.yaml. Ownership: what event_* returns lives in the arena.
 */
#ifndef MADANG_GAME_EVENTS_H
#define MADANG_GAME_EVENTS_H

#include "kafka.h"
#include "news.h"
#include "outbox.h"
#include "round.h"

extern const struct kafka_subscription GAME_SUBSCRIPTIONS[];
extern const struct kafka_listening GAME_LISTENING[];
extern const char *const GAME_TOPICS[]; /* all it reads or writes, ended by NULL */

/* The phase as it is now. */
struct outbox_event event_round(struct arena *arena, const struct round *round);
struct outbox_event event_countdown(struct arena *arena, const struct round *round, int64_t seconds_left);
struct outbox_event event_news(struct arena *arena, const struct round *round, const struct news_draw *draw);

#endif
