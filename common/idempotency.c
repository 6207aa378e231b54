#include "idempotency.h"

#include "crypto.h"

#include <string.h>

enum { KEY_MAX = 200, SWEEP_ROWS = 1000 };

/* The lock first, the row second: the second statement sees what the lock's last holder committed. */
static const struct pg_statement LOCK = {"idempotency_lock",
                                         "SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(E'\\n', "
                                         "current_schema(), $1::text, $2::text, $3::text, $4::text), 0))"};
static const struct pg_statement FIND = {
    "idempotency_find",
    "SELECT fingerprint, status, body FROM idempotency_keys WHERE user_id = $1 AND method = $2 AND path = $3 "
    "AND key = $4 AND created_at > now() - interval '24 hours'"};
/* A row that is older than 24 h and not swept yet gives way. */
static const struct pg_statement STORE = {"idempotency_store",
                                          "INSERT INTO idempotency_keys AS old (user_id, method, path, key, "
                                          "fingerprint, status, body) VALUES ($1, $2, $3, $4, $5, $6, $7) "
                                          "ON CONFLICT (user_id, key, method, path) DO UPDATE SET fingerprint = "
                                          "excluded.fingerprint, status = excluded.status, "
                                          "body = excluded.body, created_at = now()"};
static const struct pg_statement SWEEP = {
    "idempotency_sweep", "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_keys "
                         "WHERE created_at <= now() - interval '24 hours' ORDER BY created_at LIMIT $1))"};

/* The key without its quotes (RFC 8941 writes a string), copied to the arena; NULL without the header or without a
 * caller to keep it for. */
bool idempotency_key(struct request *req, const char **key, struct err *err)
{
    const char *text = http_header(req, "Idempotency-Key");
    *key = NULL;
    if (!text || !req->identity)
        return true;
    size_t length = strlen(text);
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"') {
        text++;
        length -= 2;
    }
    bool visible = length > 0 && length <= KEY_MAX;
    for (size_t i = 0; visible && i < length; i++)
        visible = text[i] > ' ' && text[i] <= '~' && text[i] != '"';
    if (!visible)
        return err_add_field(err, "Idempotency-Key", "1 to %d visible ASCII characters", KEY_MAX);
    *key = arena_bytes(req->arena, text, length);
    return true;
}

static void fingerprint_of(const struct request *req, char out[SHA256_HEX_BYTES])
{
    crypto_sha256_hex(req->body.bytes ? req->body.bytes : "", req->body.length, out);
}

bool idempotency_begin(struct pg_tx *tx, struct request *req, struct reply *reply, bool *done, struct err *err)
{
    const char *key;
    *done = false;
    if (!idempotency_key(req, &key, err))
        return false;
    if (!key)
        return true;
    struct pg_params where =
        PARAMS(PG_TEXT(req->identity->user_id), PG_TEXT(req->method), PG_TEXT(req->path), PG_TEXT(key));
    AUTO(pg_result) lock = pg_tx_query(tx, &LOCK, where, err);
    if (!lock)
        return false;
    if (!pg_bool(lock, 0, 0))
        return err_set_retry(err, &ERR_STILL_RUNNING, 1, "a request with this Idempotency-Key is still running");
    AUTO(pg_result) row = pg_tx_query(tx, &FIND, where, err);
    if (!row)
        return false;
    if (!pg_rows(row))
        return true;
    char fingerprint[SHA256_HEX_BYTES];
    fingerprint_of(req, fingerprint);
    if (strcmp(pg_text(row, 0, 0), fingerprint) != 0)
        return err_set(err, &ERR_KEY_REUSED, "this Idempotency-Key came before with another body");
    reply->status = (int)pg_i64(row, 0, 1);
    str_clear(&reply->body);
    str_add_bytes(&reply->body, pg_text(row, 0, 2), pg_text_length(row, 0, 2));
    *done = true;
    return true;
}

bool idempotency_end(struct pg_tx *tx, struct request *req, const struct reply *reply, struct err *err)
{
    const char *key;
    if (!idempotency_key(req, &key, err))
        return false;
    if (!key)
        return true;
    char fingerprint[SHA256_HEX_BYTES];
    fingerprint_of(req, fingerprint);
    return pg_tx_exec(tx, &STORE,
                      PARAMS(PG_TEXT(req->identity->user_id), PG_TEXT(req->method), PG_TEXT(req->path), PG_TEXT(key),
                             PG_TEXT(fingerprint), PG_I64(reply->status ? reply->status : 200),
                             PG_TEXT(reply->body.bytes ? reply->body.bytes : "")),
                      NULL, err);
}

bool idempotency_sweep(struct pg_pool *pool, struct err *err)
{
    int64_t swept = SWEEP_ROWS;
    while (swept == SWEEP_ROWS)
        if (!pg_exec(pool, &SWEEP, PARAMS(PG_I64(SWEEP_ROWS)), &swept, err))
            return false;
    return true;
}
