#include "store.h"

/* One row per user is the lock under which that user's devices change, and it is where a withdrawal is seen. */
static const struct pg_statement MAKE_PERSON = {"push_make_person",
                                                "INSERT INTO people (user_id) VALUES ($1) ON CONFLICT DO NOTHING"};
static const struct pg_statement LOCK_PERSON = {"push_lock_person",
                                                "SELECT withdrawn FROM people WHERE user_id = $1 FOR UPDATE"};
/* With this lock the end of the session comes before the device and is seen, or after it and takes the device along. */
static const struct pg_statement LOCK_SESSION = {"push_lock_session",
                                                 "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"};
static const struct pg_statement SESSION_ENDED = {"push_session_ended",
                                                  "SELECT 1 FROM ended_sessions WHERE session_id = $1"};
static const struct pg_statement LEAVE_OTHERS = {
    "push_leave_others", "DELETE FROM devices WHERE address_hash = $1 AND NOT (user_id = $2 AND device_id = $3)"};
static const struct pg_statement PUT_DEVICE = {
    "push_put_device",
    "INSERT INTO devices AS d (user_id, device_id, session_id, platform, name, address, address_hash, p256dh, auth)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    " ON CONFLICT (user_id, device_id) DO UPDATE SET session_id = excluded.session_id, platform = excluded.platform,"
    "    name = excluded.name, address = excluded.address, address_hash = excluded.address_hash, p256dh = "
    "excluded.p256dh,"
    "    auth = excluded.auth, put_at = clock_timestamp(),"
    "    slow_until = CASE WHEN d.address_hash = excluded.address_hash THEN d.slow_until END"
    " RETURNING " SQL_MS("created_at") ", " SQL_MS("put_at")};
static const struct pg_statement DROP_OLDEST = {
    "push_drop_oldest", "DELETE FROM devices WHERE id IN (SELECT id FROM devices WHERE user_id = $1"
                        " ORDER BY put_at DESC, id DESC OFFSET $2)"};
static const struct pg_statement DELETE_DEVICE = {"push_delete_device",
                                                  "DELETE FROM devices WHERE user_id = $1 AND device_id = $2"};
static const struct pg_statement LIST_DEVICES = {
    "push_list_devices",
    "SELECT device_id, platform, name, session_id, p256dh IS NOT NULL, " SQL_MS("created_at") ", " SQL_MS(
        "put_at") " FROM devices WHERE user_id = $1 ORDER BY put_at DESC, id DESC"};
static const struct pg_statement MAKE_VAPID = {"push_make_vapid",
                                               "INSERT INTO vapid (private_key) VALUES ($1) ON CONFLICT DO NOTHING"};
static const struct pg_statement READ_VAPID = {"push_read_vapid", "SELECT private_key FROM vapid"};

struct put_work {
    const struct device_put *put;
    struct device_times *times;
};

static bool session_lives(struct pg_tx *tx, const struct identity *caller, struct err *err)
{
    const struct pg_param me = PG_TEXT(caller->user_id), session = PG_TEXT(caller->session_id);
    if (!pg_tx_exec(tx, &LOCK_SESSION, PARAMS(session), NULL, err) ||
        !pg_tx_exec(tx, &MAKE_PERSON, PARAMS(me), NULL, err))
        return false;
    AUTO(pg_result) person = pg_tx_query(tx, &LOCK_PERSON, PARAMS(me), err);
    AUTO(pg_result) ended = person ? pg_tx_query(tx, &SESSION_ENDED, PARAMS(session), err) : NULL;
    if (!ended)
        return false;
    if (pg_rows(ended) > 0)
        return err_set(err, &ERR_SESSION_ENDED, "the session has ended");
    return !pg_bool(person, 0, 0) || err_set(err, &ERR_SESSION_ENDED, "the account was withdrawn");
}

static bool put_device(struct pg_tx *tx, void *payload, struct err *err)
{
    const struct put_work *work = payload;
    const struct device *device = work->put->device;
    const struct identity *caller = work->put->caller;
    const struct pg_param user = PG_TEXT(caller->user_id), id = PG_TEXT(device->device_id);
    const struct pg_param hash = PG_BYTES(device->address_hash, sizeof device->address_hash);
    const struct pg_param p256dh = device->is_subscription ? PG_BYTES(device->p256dh, P256DH_BYTES) : PG_NULL;
    const struct pg_param auth = device->is_subscription ? PG_BYTES(device->auth, AUTH_BYTES) : PG_NULL;
    if (!session_lives(tx, caller, err) || !pg_tx_exec(tx, &LEAVE_OTHERS, PARAMS(hash, user, id), NULL, err))
        return false;
    AUTO(pg_result)
    made = pg_tx_query(tx, &PUT_DEVICE,
                       PARAMS(user, id, PG_TEXT(caller->session_id), PG_TEXT(device->platform), PG_TEXT(device->name),
                              PG_TEXT(device->address), hash, p256dh, auth),
                       err);
    if (!made)
        return false;
    *work->times = (struct device_times){pg_i64(made, 0, 0), pg_i64(made, 0, 1)};
    return pg_tx_exec(tx, &DROP_OLDEST, PARAMS(user, PG_I64(work->put->most)), NULL, err);
}

bool store_put_device(struct pg_pool *db, const struct device_put *put, struct device_times *times, struct err *err)
{
    enum { TRIES = 5 };
    struct put_work work = {put, times};
    for (int i = 0; i < TRIES; i++) {
        err_clear(err);
        if (pg_transaction(db, put_device, &work, err))
            return true;
        if (!pg_violated(err, "devices_address_hash_key")) /* two put one address at once: the later one gets it */
            return false;
    }
    return err_set(err, &ERR_CONFLICT, "the same device is being put by somebody else");
}

bool store_delete_device(struct pg_pool *db, const char *user_id, const char *device_id, struct err *err)
{
    int64_t changed = 0;
    if (!pg_exec(db, &DELETE_DEVICE, PARAMS(PG_TEXT(user_id), PG_TEXT(device_id)), &changed, err))
        return false;
    return changed > 0 || err_set(err, &ERR_NOT_FOUND, "you have no such device");
}

struct pg_result *store_list_devices(struct pg_pool *db, const char *user_id, struct err *err)
{
    return pg_query(db, &LIST_DEVICES, PARAMS(PG_TEXT(user_id)), err);
}

struct listed_device store_listed_device(const struct pg_result *rows, int row)
{
    return (struct listed_device){
        .device_id = pg_text(rows, row, 0),
        .platform = pg_text(rows, row, 1),
        .name = pg_text(rows, row, 2),
        .session_id = pg_text(rows, row, 3),
        .is_subscription = pg_bool(rows, row, 4),
        .times = {pg_i64(rows, row, 5), pg_i64(rows, row, 6)},
    };
}

bool store_vapid_key(struct pg_pool *db, unsigned char private_key[VAPID_KEY_BYTES], struct err *err)
{
    enum { ARENA_BYTES = 4096 };
    vapid_generate(private_key);
    if (!pg_exec(db, &MAKE_VAPID, PARAMS(PG_BYTES(private_key, VAPID_KEY_BYTES)), NULL, err))
        return false;
    AUTO(arena) arena = arena_open(ARENA_BYTES);
    AUTO(pg_result) rows = pg_query(db, &READ_VAPID, NO_PARAMS, err);
    if (!rows)
        return false;
    const struct view key = pg_bytes(rows, 0, 0, arena);
    if (key.length != VAPID_KEY_BYTES)
        return err_set_internal(err, &ERR_INTERNAL, "the stored VAPID key is none");
    memcpy(private_key, key.bytes, VAPID_KEY_BYTES);
    return true;
}
