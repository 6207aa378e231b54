/* store_keys.c - the signing keys and the server key: made once, by whichever instance is first. */
#include "store_rows.h"

bool store_list_keys(const struct auth_app *app, struct arena *arena, struct key_row **rows, size_t *count,
                     struct err *err)
{
    static const struct pg_statement LIST = {
        "list_keys",
        "SELECT kid, private_pem, x, y, kid = (SELECT kid FROM signing_keys WHERE signs_from <= now() ORDER BY "
        "signs_from DESC, kid LIMIT 1) FROM signing_keys WHERE gone_at IS NULL OR gone_at > now() ORDER BY created_at, "
        "kid"};
    AUTO(pg_result) found = pg_query(app->db, &LIST, NO_PARAMS, err);
    if (!found)
        return false;
    *count = (size_t)pg_rows(found);
    *rows = arena_alloc(arena, *count * sizeof **rows);
    for (size_t i = 0; i < *count; i++)
        (*rows)[i] = (struct key_row){.kid = arena_text(arena, pg_text(found, (int)i, 0)),
                                      .private_pem = arena_text(arena, pg_text(found, (int)i, 1)),
                                      .x = arena_text(arena, pg_text(found, (int)i, 2)),
                                      .y = arena_text(arena, pg_text(found, (int)i, 3)),
                                      .signs = pg_bool(found, (int)i, 4)};
    return true;
}

/* The youngest key is old enough for a successor, or there is none. */
static const struct pg_statement DUE = {
    "key_due",
    "SELECT NOT EXISTS (SELECT 1 FROM signing_keys WHERE created_at > now() - make_interval(secs => $1::bigint))"};

bool store_key_due(const struct auth_app *app, bool *due, struct err *err)
{
    AUTO(pg_result) rows = pg_query(app->db, &DUE, PARAMS(PG_I64(app->cfg->key_rotate_seconds)), err);
    if (!rows)
        return false;
    *due = pg_bool(rows, 0, 0);
    return true;
}

struct add_key {
    const struct auth_app *app;
    const struct key_row *key;
};

static bool add_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    static const struct pg_statement WAIT = {"lock_keys", "SELECT pg_advisory_xact_lock(hashtext('madang auth keys'))"};
    /* Nobody knows any key yet when the first is made, so it signs at once; verifiers ask for an unknown kid. */
    static const struct pg_statement ADD = {
        "add_key", "INSERT INTO signing_keys (kid, private_pem, x, y, signs_from) SELECT $1, $2, $3, $4, now() + "
                   "make_interval(secs => CASE WHEN EXISTS (SELECT 1 FROM signing_keys) THEN $5::bigint ELSE 0 END)"};
    static const struct pg_statement RETIRE = {
        "retire_keys", "UPDATE signing_keys SET gone_at = now() + make_interval(secs => $2::bigint) "
                       "WHERE gone_at IS NULL AND kid <> $1"};
    const struct add_key *add = payload;
    const struct auth_config *cfg = add->app->cfg;
    AUTO(pg_result) locked = pg_tx_query(tx, &WAIT, NO_PARAMS, err);
    AUTO(pg_result) due = locked ? pg_tx_query(tx, &DUE, PARAMS(PG_I64(cfg->key_rotate_seconds)), err) : NULL;
    if (!due)
        return false;
    if (!pg_bool(due, 0, 0))
        return true; /* another instance was first */
    const struct key_row *key = add->key;
    return pg_tx_exec(tx, &ADD,
                      PARAMS(PG_TEXT(key->kid), PG_TEXT(key->private_pem), PG_TEXT(key->x), PG_TEXT(key->y),
                             PG_I64(cfg->key_lead_seconds)),
                      NULL, err) &&
           pg_tx_exec(tx, &RETIRE, PARAMS(PG_TEXT(key->kid), PG_I64(cfg->key_lead_seconds + cfg->key_overlap_seconds)),
                      NULL, err);
}

bool store_add_key(const struct auth_app *app, const struct key_row *key, struct err *err)
{
    struct add_key add = {app, key};
    return pg_transaction(app->db, add_in_tx, &add, err);
}

bool store_secret(struct pg_pool *db, const unsigned char fresh[SHA256_BYTES], unsigned char out[SHA256_BYTES],
                  struct err *err)
{
    static const struct pg_statement MAKE = {
        "make_secret", "INSERT INTO secrets (name, value) VALUES ('server key', $1) ON CONFLICT (name) DO NOTHING"};
    static const struct pg_statement READ = {"read_secret", "SELECT value FROM secrets WHERE name = 'server key'"};
    if (!pg_exec(db, &MAKE, PARAMS(PG_BYTES(fresh, SHA256_BYTES)), NULL, err))
        return false;
    AUTO(pg_result) rows = pg_query(db, &READ, NO_PARAMS, err);
    if (!rows)
        return false;
    AUTO(arena) arena = arena_open(4096);
    struct view value = pg_rows(rows) ? pg_bytes(rows, 0, 0, arena) : (struct view){0};
    if (value.length != SHA256_BYTES)
        return err_set_internal(err, &ERR_INTERNAL, "the stored server key is not readable");
    memcpy(out, value.bytes, SHA256_BYTES);
    return true;
}
