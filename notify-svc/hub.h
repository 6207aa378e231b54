/* hub.h - the open event streams of this instance.
 *
 * A stream is at a position of its user's inbox: the seq that was written last. One thread, the pump, does all reading
 * and writing: for users that were woken (by a commit here, by Redis, by a new stream) it asks PostgreSQL what lies
 * beyond their streams' positions and writes it, so replay and what comes later are one thing, without gap or double.
 * Every 5 s it also asks, in one statement, for all its users. A stream that does not take its bytes is cut (http.h);
 * its client comes back with Last-Event-ID, to any instance. Streams are presence connections too (signals.h). Threads:
 * everything here is thread-safe; hub_wake, hub_end_session and hub_drain do not block on anything slow. */
#ifndef MADANG_NOTIFY_HUB_H
#define MADANG_NOTIFY_HUB_H

#include "http.h"
#include "pg.h"
#include "signals.h"

struct hub;
struct hub_options {
    struct pg_pool *db;
    int64_t streams_max;
};
struct hub *hub_start(const struct hub_options *options, struct err *err);
/* From now on streams tell presence; before the first one. */
void hub_use_signals(struct hub *hub, struct signals *signals);
void hub_release(struct hub **hub); /* after the HTTP server */

/* A new stream of the caller's; `after`: the last seq the client has, -1 when it says nothing (then it gets what is
 * unread). Ownership of the result goes to the reply. overloaded: streams_max are open; session_ended: it ended a
 * moment ago; unavailable: draining. */
struct http_stream *hub_open(struct hub *hub, const char *user_id, const char *session_id, int64_t after,
                             struct err *err);

void hub_wake(struct hub *hub, const char *const *users, size_t count);
void hub_wake_all(struct hub *hub);
/* Writes event session_ended {reason} to the session's streams and ends them. */
void hub_end_session(struct hub *hub, const char *user_id, const char *session_id, const char *reason);
/* No new streams; all that are open end, and their clients come back elsewhere, spread over a few seconds. */
void hub_drain(struct hub *hub);

#endif
