/* front.h - sends a command to its room's owner: what handlers and sockets have in common. */
#ifndef MADANG_CHAT_FRONT_H
#define MADANG_CHAT_FRONT_H

#include "app.h"
#include "wire.h"

struct origin { /* of the request that a command comes from; members may be NULL */
    const char *request_id, *traceparent;
};

/* Puts the command on chat.inbound with header corr (NULL: nobody waits). When it can't be stored (Kafka away for about
 * 10 s) whoever waits by corr is answered with a verdict 503. False (unavailable) when the producer's queue is full. */
bool front_send(const struct chat_app *app, const struct command *command, const char *corr,
                const struct origin *origin, struct err *err);
/* The same for messages and marks of sockets, which the lane may take (lane.h). Not for requests: 202 says that the
 * command is on the log. */
bool front_send_live(const struct chat_app *app, const struct command *command, const char *corr,
                     const struct origin *origin, struct err *err);

/* For lane_open: one that is refused, or finds no room on chat.inbound, is answered with a verdict 503. */
struct lane_item;
bool front_leave(void *app, const struct lane_item *item, bool refused);

/* What a verdict says, as an err: status >= 400. True when it is no refusal. */
bool front_verdict(const struct chat_event *event, struct err *err);

#endif
