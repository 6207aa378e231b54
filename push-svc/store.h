/* store.h - every SQL statement of push-svc, one function each (store_*.c), over migrations/.
 * What comes back lives in the arena or the result that was given. Failures: those of pg.h, and the ones named here. */
#ifndef MADANG_PUSH_STORE_H
#define MADANG_PUSH_STORE_H

#include "codec.h"
#include "device.h"
#include "kafka.h"
#include "outcome.h"
#include "pg.h"
#include "records.h"
#include "token.h"
#include "webpush.h"

/* ---- devices (store_devices.c) ---- */

/* The device becomes the caller's, of this session; it leaves whoever had the address. Beyond `most` the caller's
 * device that was put longest ago goes. session_ended: the session is over, or the account withdrew. */
struct device_put {
    const struct identity *caller;
    const struct device *device;
    int64_t most;
};
struct device_times {
    int64_t created_ms, put_ms;
};
bool store_put_device(struct pg_pool *db, const struct device_put *put, struct device_times *times, struct err *err);
/* not_found */
bool store_delete_device(struct pg_pool *db, const char *user_id, const char *device_id, struct err *err);

struct listed_device {
    const char *device_id, *platform, *name, *session_id; /* lent by the rows; name may be NULL */
    bool is_subscription;
    struct device_times times;
};
struct pg_result *store_list_devices(struct pg_pool *db, const char *user_id, struct err *err);
struct listed_device store_listed_device(const struct pg_result *rows, int row);

/* The key that the deployment made for itself: the same for all instances. */
bool store_vapid_key(struct pg_pool *db, unsigned char private_key[VAPID_KEY_BYTES], struct err *err);

/* ---- read copies (store_copies.c): each applies a batch once; copies[i] belongs to records[i], user_id NULL: nothing
 * ---- */

bool store_apply_accounts(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct account_copy *copies, struct err *err);
bool store_apply_ended(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                       const struct session_end *copies, struct err *err);
bool store_apply_presence(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct presence_change *copies, struct err *err);
bool store_apply_preferences(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                             const struct preference *copies, struct err *err);

/* ---- requests -> sends (store_requests.c) ---- */

struct taken_requests {
    int64_t fresh;        /* requests that are new */
    int64_t with_devices; /* of these, with somewhere to go */
    int64_t sends;        /* rows made */
    int64_t dropped;      /* by the queue's limit, oldest of low value first */
};
struct request_limits {
    int64_t queue_max, presence_wait_ms;
};
bool store_apply_requests(struct pg_pool *db, struct arena *arena, const struct kafka_batch *batch,
                          const struct push_request *requests, const struct request_limits *limits,
                          struct taken_requests *taken, struct err *err);

/* ---- sends (store_sends.c) ---- */

/* Takes up to `limit` sends of a channel that are due: they are this slot's for `seconds`, others skip them. */
struct pg_result *store_claim(struct pg_pool *db, const char *channel, int64_t limit, int slot, int64_t seconds,
                              struct err *err);
#define VERDICT_SLOW "device_slow"
struct claimed {
    int64_t send_id, device;
    int attempt;         /* from 1, this one included */
    const char *verdict; /* a constant. NULL: send it; VERDICT_SLOW: not before slow_ms; else why it is dropped */
    int64_t slow_ms;
    int64_t left_ms; /* to live */
    const char *platform, *address, *address_hash;
    unsigned char p256dh[P256DH_BYTES], auth[AUTH_BYTES]; /* web only */
    const char *title, *body, *data, *collapse_key, *dedupe_id, *source, *locale;
    bool urgent;
};
/* The other texts are lent by the rows. */
struct claimed store_claimed(const struct pg_result *rows, int row);

struct finished {
    int64_t send_id, device;
    char address_hash[SHA256_HEX_BYTES];
    struct outcome outcome;
    int channel; /* of the wire; for the caller */
    bool sink;   /* it goes to the table sink instead of a provider */
};
/* Writes what became of them, removes dead devices and slows slow ones (unless they have another address by now). What
 * another slot has claimed meanwhile stays as it is. */
bool store_finish(struct pg_pool *db, int slot, const struct finished *items, size_t count, struct err *err);
/* At start: what an earlier process of this slot had in hand is due at once. */
bool store_reclaim(struct pg_pool *db, int slot, int64_t *count, struct err *err);

/* ---- cleaning (store_sweep.c) ---- */

bool store_count_waiting(struct pg_pool *db, int64_t *count, struct err *err);
/* One bounded round; *more: there was as much as one round takes. */
bool store_sweep(struct pg_pool *db, int64_t keep_hours, bool *more, struct err *err);

#endif
