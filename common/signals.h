/* signals.h - tells presence-svc which connections of a user are open: up, beat every beat_seconds, down (topic
 * presence.signals, key: user id). A connection is a socket or a stream. The table of open connections is here; one
 * thread sends the beats, spread over the time. Signals may be lost with this process (the lease at presence-svc then
 * ends the connection); what is sent in order stays in order. Payload: {v, id, at, kind: up|beat|down, user_id,
 * connection, n, lease_seconds}; n grows by one per signal of a connection, from 1. Threads: thread-safe; no call
 * blocks. */
#ifndef MADANG_SIGNALS_H
#define MADANG_SIGNALS_H

#include "kafka.h"
#include "uuid.h"

struct signals;
struct signals *signals_open(struct kafka_producer *producer, int beat_seconds, int lease_seconds, struct err *err);
/* Sends `down` for all that are still open, then ends. */
void signals_release(struct signals **signals);

/* A new connection of the user; its id (a new UUID) is written to `connection`. */
void signals_up(struct signals *signals, const char *user_id, char connection[UUID_TEXT_BYTES]);
void signals_down(struct signals *signals, const char *connection);

#endif
