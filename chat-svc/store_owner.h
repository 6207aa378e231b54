/* store_owner.h - every statement of the owner (owner.h): what a batch of commands loads, and what it writes. The
 * number of statements does not depend on how many commands there are, nor the number of round trips on that of
 * statements: they are posted (pg.h). All run in the transaction that holds
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
    int32_t partition;
    int64_t at_ms;
};

/* The first of a batch, posted: drops the events of these partitions that were sent, up to these rows (0: none). Those
 * up to `above` are known to be gone: without that the look-up would pass every entry of the index that waits for
 * vacuum. */
bool store_owner_begin(struct pg_tx *tx, const int64_t *partitions, const int64_t *above_ids, const int64_t *sent_ids,
                       size_t count, struct err *err);
/* ---- whose a partition is: what the lane asks, since its commands have no offset that would tell (docs/decisions/019)
 * ---- */

/* From now on `owner`'s; under the lock of the partition. Posted. */
bool store_owner_claim(struct pg_tx *tx, const char *topic, int32_t partition, const char *owner, struct err *err);
/* Posted behind the lock: once *rows are there, store_owner_has says which of the partitions are still `owner`'s. */
bool store_owner_ask(struct pg_tx *tx, const char *topic, const int64_t *partitions, size_t count, const char *owner,
                     struct pg_result **rows, struct err *err);
bool store_owner_has(const struct pg_result *rows, int32_t partition);

/* Everything that the rules may ask for when they apply these commands. One round trip with what is posted; a second
 * one for commands that change messages, and for rooms for everybody. */
bool store_owner_load(struct pg_tx *tx, struct scene *scene, const struct owner_command *commands, size_t count,
                      struct err *err);
/* Everything that changed in the scene; posted. */
bool store_owner_write(struct pg_tx *tx, const struct scene *scene, struct err *err);

/* ---- events on their way to chat.events ---- */

struct owner_event {
    int64_t id; /* of its row; 0: none yet */
    int32_t partition;
    const char *room_id, *corr, *request_id, *traceparent, *payload;
    const char *given; /* header; NULL: none */
    bool short_way;    /* of a kind that need not go over the log to our own sockets */
};

/* Posted. Once *rows are there, store_owner_last_id gives the newest row of a partition; 0: none. */
bool store_owner_add_events(struct pg_tx *tx, const struct owner_event *events, size_t count, struct pg_result **rows,
                            struct err *err);
int64_t store_owner_last_id(const struct pg_result *rows, int32_t partition);
/* At most `limit`, the oldest first. */
bool store_owner_list_events(struct pg_tx *tx, struct arena *arena, int32_t partition, int limit,
                             struct owner_event **events, size_t *count, struct err *err);

#endif
