/* hub.h - the sockets of this instance: STOMP over WebSocket, subscriptions, fan-out, catch-up, marks of what was
 * delivered, typing, presence of friends. Parts: stomp.c (frames; pure, fuzzed), hub.c (rooms, users and sessions in
 * memory; loop thread only), live_*.c (what each frame does), desk.c (a few threads for look-ups in PostgreSQL, so that
 * the loop never blocks). README.md draws it. */
#ifndef MADANG_CHAT_HUB_H
#define MADANG_CHAT_HUB_H

#include "app.h"
#include "backend.h"

/* Listens; opens no connection to others before hub_serve. */
struct hub *hub_start(struct chat_app *app, struct backend *backend, struct err *err);
void hub_release(struct hub **hub);
int hub_port(const struct hub *hub);
void hub_drain(void *payload); /* struct chat_app; no new sockets; the open ones are closed with 1001 over the drain
                                  time, so that clients move */

/* What the owner on this instance has just committed (its thread): the payload and corr of each count. As if heard,
 * only sooner: what is heard again is dropped (shortcut.h). */
void hub_give(struct hub *hub, const struct kafka_record *records, size_t count);
bool hub_keeps_up(struct hub *hub); /* else hub_give may wait until it does */

/* What this instance hears (listener thread), for the table in events.c; payload is struct chat_app. */
void hub_hear_events(void *payload, const struct kafka_batch *batch);   /* chat.events: also answers app->pending */
void hub_hear_presence(void *payload, const struct kafka_batch *batch); /* presence.changes: also fills app->presence */
void hub_hear_relations(void *payload,
                        const struct kafka_batch *batch); /* relations: who is whose friend from now on */
/* market.events: fills and changes of orders go to the sockets of those whom they concern, and to nobody else. */
void hub_hear_market(void *payload, const struct kafka_batch *batch);
void hub_hear_game(void *payload, const struct kafka_batch *batch);  /* game.events: the countdown */
void hub_hear_ended(void *payload, const struct kafka_batch *batch); /* sessions.ended: closes sockets with a notice */

#endif
