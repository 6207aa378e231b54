/* outputs.h - records for market.events that wait to leave: one per command that had events.
 *
 * They leave together, in order, and stay until the brokers have all of them; what could not be sent is sent again
 * whole, before anything newer. Threads: the owner's. */
#ifndef MADANG_MATCH_OUTPUTS_H
#define MADANG_MATCH_OUTPUTS_H

#include "kafka.h"

struct outputs {
    struct str bytes; /* all payloads and texts, one behind the other */
    struct output *items;
    size_t count, room;
};

void outputs_init(struct outputs *outputs);
void outputs_free(struct outputs *outputs);

/* Copies everything. `users`: for the header of that name, "" for none. Headers corr, x-request-id and traceparent are
 * those of `command`; header unfinished says that others follow in its message, whose events name the same offset. */
void outputs_add(struct outputs *outputs, const char *market, struct view payload, const char *users,
                 const struct kafka_record *command);
struct outputs_way {
    struct kafka_producer *producer;
    const char *topic;
    int timeout_ms;
    bool bundles; /* neighbours of one market leave in one message */
};
/* Sends all and forgets them; false, and all are kept, when not all were acknowledged. */
bool outputs_send(struct outputs *outputs, const struct outputs_way *way, struct err *err);

#endif
