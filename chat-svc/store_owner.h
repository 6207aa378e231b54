/* store_owner.h - every statement of the owner (owner.h): what a batch of commands loads, and what it writes. The
 * number of statements does not depend on how many commands there are. All run in the transaction that holds
 * applied(topic, partition), which is what makes the owner the only writer. Ownership: what is loaded lies in the
 * scene's arena. */
#ifndef MADANG_CHAT_STORE_OWNER_H
#define MADANG_CHAT_STORE_OWNER_H

#include "kafka.h"
#include "pg.h"
#include "scene.h"

struct owner_command {
    struct command command;
    const struct kafka_record *record;
    int64_t at_ms;
};

/* The first statement of a batch: drops the events of the partition that were sent, up to this row (0: none). */
bool store_owner_begin(struct pg_tx *tx, int32_t partition, int64_t sent_id, struct err *err);
/* Everything that the rules may ask for when they apply these commands. */
bool store_owner_load(struct pg_tx *tx, struct scene *scene, const struct owner_command *commands, size_t count,
                      struct err *err);
/* Everything that changed in the scene. */
bool store_owner_write(struct pg_tx *tx, const struct scene *scene, struct err *err);

/* ---- events on their way to chat.events ---- */

struct owner_event {
    int64_t id; /* of its row; 0: none yet */
    const char *room_id, *corr, *request_id, *traceparent, *payload;
};

/* *last_id: of the newest row. */
bool store_owner_add_events(struct pg_tx *tx, int32_t partition, const struct owner_event *events, size_t count,
                            int64_t *last_id, struct err *err);
/* At most `limit`, the oldest first. */
bool store_owner_list_events(struct pg_tx *tx, struct arena *arena, int32_t partition, int limit,
                             struct owner_event **events, size_t *count, struct err *err);

#endif
