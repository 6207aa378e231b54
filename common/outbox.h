/* outbox.h - events that leave with the database change that made them.
 * outbox_add writes a row in the caller's transaction, while the aggregate's row lock is held, so ids of one key are in
 * order. One relay per service at a time (Postgres advisory lock; other instances try every second) sends rows in id
 * order, waits for all reports, deletes them in one statement. LISTEN/NOTIFY wakes the relay; it also looks every 500
 * ms. */
#ifndef MADANG_OUTBOX_H
#define MADANG_OUTBOX_H

#include "kafka.h"
#include "pg.h"
#include "uuid.h"

struct outbox_event {
    const char *topic, *key;
    const char *payload;                  /* JSON; NULL: `bytes` instead */
    struct view bytes;                    /* a binary payload; not looked at where `payload` is set */
    const char *request_id, *traceparent; /* become headers; NULL leaves them out */
};

/* What every event's payload begins with: '{', v, id (a new one, also written to `id` unless it is NULL), at, kind. The
 * caller adds its members and closes with json_close(out, '}'). */
void event_open(struct str *out, const char *kind, char *id);
/* Closes the payload and makes an event of it: key and payload are copied into the arena, the request's texts (may be
 * NULL) are lent. */
struct outbox_event event_close(struct arena *arena, struct str *out, const char *topic, const char *key,
                                const char *request_id, const char *traceparent);

bool outbox_add(struct pg_tx *tx, const struct outbox_event *event, struct err *err);
bool outbox_add_all(struct pg_tx *tx, const struct outbox_event *events, size_t count,
                    struct err *err); /* a statement per thousand */

struct outbox_relay;
struct outbox_relay *outbox_relay_start(struct pg_pool *pool, struct kafka_producer *producer, struct err *err);
void outbox_relay_release(struct outbox_relay **relay); /* sends what is there first, up to 3 s */

#endif
