/* store_codes.c - codes by e-mail and SMS, and the proofs they turn into. */
#include "store_rows.h"

/* ---- sending ---- */

struct send {
    const struct auth_app *app;
    const struct code_wish *wish;
    const struct origin *origin;
    bool sent;
};

/* Requests for one address, and from one, follow each other, so that quotas are exact. Address first, always. */
static bool within_quotas(struct pg_tx *tx, const struct send *send, bool *within, struct err *err)
{
    static const struct pg_statement WAIT = {
        "lock_code_address", "SELECT pg_advisory_xact_lock(hashtextextended('madang code to ' || $1::text, 0)), "
                             "pg_advisory_xact_lock(hashtextextended('madang code from ' || $2::text, 0))"};
    static const struct pg_statement COUNT = {
        "count_codes", "SELECT (SELECT count(*) FROM code_sends WHERE address = $1 AND at > now() - interval '1 day'), "
                       "(SELECT count(*) FROM code_sends WHERE ip = $2 AND at > now() - interval '1 hour')"};
    const struct auth_config *cfg = send->app->cfg;
    AUTO(pg_result)
    locked = pg_tx_query(tx, &WAIT, PARAMS(PG_TEXT(send->wish->address), PG_TEXT(send->origin->ip)), err);
    AUTO(pg_result)
    rows =
        locked ? pg_tx_query(tx, &COUNT, PARAMS(PG_TEXT(send->wish->address), PG_TEXT(send->origin->ip)), err) : NULL;
    if (!rows)
        return false;
    *within = pg_i64(rows, 0, 0) < cfg->code_address_per_day &&
              (auth_config_bench(cfg) || pg_i64(rows, 0, 1) < cfg->code_ip_per_hour);
    return true;
}

static bool find_receiver(struct pg_tx *tx, const struct code_wish *wish, bool *there, struct err *err)
{
    static const struct pg_statement BY_EMAIL = {"code_to_email", "SELECT 1 FROM accounts WHERE email_folded = $1"};
    static const struct pg_statement BY_PHONE = {
        "code_to_phone", "SELECT 1 FROM accounts WHERE phone = $1 AND email IS NOT NULL LIMIT 1"};
    AUTO(pg_result) rows = pg_tx_query(tx, wish->by_sms ? &BY_PHONE : &BY_EMAIL, PARAMS(PG_TEXT(wish->address)), err);
    if (!rows)
        return false;
    *there = pg_rows(rows) > 0 || !wish->needs_account;
    return true;
}

/* One code per purpose and address; the new one replaces the old, unless that is too young. */
static bool put_code(struct pg_tx *tx, const struct send *send, bool *put, struct err *err)
{
    static const struct pg_statement PUT = {
        "put_code",
        "INSERT INTO codes (purpose, address, code_mac, sent_at, expires_at) VALUES ($1, $2, $3, now(), now() + "
        "make_interval(secs => $4::bigint)) ON CONFLICT (purpose, address) DO UPDATE SET code_mac = excluded.code_mac, "
        "sent_at = excluded.sent_at, expires_at = excluded.expires_at, tries = 0, used = false WHERE codes.sent_at <= "
        "now() - make_interval(secs => $5::bigint)"};
    static const struct pg_statement COUNT = {"count_code", "INSERT INTO code_sends (address, ip) VALUES ($1, $2)"};
    const struct code_wish *wish = send->wish;
    const struct auth_config *cfg = send->app->cfg;
    int64_t changed = 0;
    if (!pg_tx_exec(tx, &PUT,
                    PARAMS(PG_TEXT(wish->purpose), PG_TEXT(wish->address), PG_BYTES(wish->code_mac, SHA256_BYTES),
                           PG_I64(cfg->code_seconds), PG_I64(cfg->code_resend_seconds)),
                    &changed, err))
        return false;
    *put = changed > 0;
    return !*put || pg_tx_exec(tx, &COUNT, PARAMS(PG_TEXT(wish->address), PG_TEXT(send->origin->ip)), NULL, err);
}

/* Without an account all is done but the sending, so that neither the answer nor a later confirm tells. */
static bool send_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    struct send *send = payload;
    const struct code_wish *wish = send->wish;
    bool within = false, there = false, put = false;
    send->sent = false;
    if (!within_quotas(tx, send, &within, err) || !find_receiver(tx, wish, &there, err))
        return false;
    if (!within)
        return true;
    if (!put_code(tx, send, &put, err))
        return false;
    send->sent = put && there;
    return !send->sent || event_code(tx,
                                     &(struct code_event){.address = wish->address,
                                                          .code = wish->code,
                                                          .purpose = wish->purpose,
                                                          .locale = wish->locale,
                                                          .by_sms = wish->by_sms},
                                     send->origin, err);
}

bool store_send_code(const struct auth_app *app, const struct code_wish *wish, const struct origin *origin, bool *sent,
                     struct err *err)
{
    struct send send = {app, wish, origin, false};
    bool good = pg_transaction(app->db, send_in_tx, &send, err);
    *sent = send.sent;
    return good;
}

/* ---- confirming ---- */

struct confirm {
    const struct auth_app *app;
    struct arena *arena;
    const struct code_answer *answer;
    const struct origin *origin;
    const char *email;
    bool right; /* a wrong try must be counted, so it is no failure inside the transaction */
};

static bool take_code(struct pg_tx *tx, struct confirm *confirm, struct err *err)
{
    static const struct pg_statement TRY = {
        "try_code", "UPDATE codes SET tries = tries + 1 WHERE purpose = $1 AND address = $2 AND NOT used "
                    "AND expires_at > now() AND tries < $3::bigint RETURNING code_mac"};
    static const struct pg_statement USE = {"use_code",
                                            "UPDATE codes SET used = true WHERE purpose = $1 AND address = $2"};
    const struct code_answer *answer = confirm->answer;
    AUTO(pg_result)
    rows = pg_tx_query(
        tx, &TRY, PARAMS(PG_TEXT(answer->purpose), PG_TEXT(answer->address), PG_I64(confirm->app->cfg->code_tries)),
        err);
    if (!rows)
        return false;
    confirm->right = false;
    if (pg_rows(rows) == 0)
        return true;
    struct view mac = pg_bytes(rows, 0, 0, confirm->arena);
    confirm->right = crypto_equal(mac.bytes, mac.length, answer->code_mac, SHA256_BYTES);
    return !confirm->right ||
           pg_tx_exec(tx, &USE, PARAMS(PG_TEXT(answer->purpose), PG_TEXT(answer->address)), NULL, err);
}

static bool give_proof(struct pg_tx *tx, const struct confirm *confirm, struct err *err)
{
    static const struct pg_statement GIVE = {"give_proof",
                                             "INSERT INTO proofs (proof_hash, purpose, address, expires_at) VALUES "
                                             "($1, $2, $3, now() + make_interval(secs => $4::bigint))"};
    const struct code_answer *answer = confirm->answer;
    return pg_tx_exec(tx, &GIVE,
                      PARAMS(PG_BYTES(answer->proof_hash, SHA256_BYTES), PG_TEXT(answer->purpose),
                             PG_TEXT(answer->address), PG_I64(confirm->app->cfg->proof_seconds)),
                      NULL, err);
}

static bool mark_verified(struct pg_tx *tx, const struct confirm *confirm, struct err *err)
{
    static const struct pg_statement MARK = {
        "mark_verified",
        "UPDATE accounts AS a SET email_verified = true, owner_proved = a.owner_proved OR coalesce(a.id = $2::uuid, "
        "false), version = a.version + 1 WHERE a.email_folded = $1 AND (NOT a.email_verified OR (a.id = $2::uuid AND "
        "NOT a.owner_proved)) RETURNING " ACCOUNT_COLUMNS};
    AUTO(pg_result)
    rows = pg_tx_query(tx, &MARK, PARAMS(PG_TEXT(confirm->answer->address), PG_TEXT(confirm->answer->by)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return true;
    struct account account;
    row_account(rows, 0, &account);
    return tx_account_changed(confirm->app, tx, &account, confirm->origin, err);
}

/* A number may be shared or have moved on: who proved it last is meant. */
static bool find_email(struct pg_tx *tx, struct confirm *confirm, struct err *err)
{
    static const struct pg_statement FIND = {
        "email_of_phone",
        "SELECT email FROM accounts WHERE phone = $1 AND email IS NOT NULL ORDER BY phone_proved_at DESC LIMIT 1"};
    AUTO(pg_result) rows = pg_tx_query(tx, &FIND, PARAMS(PG_TEXT(confirm->answer->address)), err);
    if (!rows)
        return false;
    confirm->right = pg_rows(rows) > 0;
    if (confirm->right)
        confirm->email = arena_text(confirm->arena, pg_text(rows, 0, 0));
    return true;
}

static bool confirm_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    struct confirm *confirm = payload;
    const struct code_answer *answer = confirm->answer;
    if (!take_code(tx, confirm, err))
        return false;
    if (!confirm->right)
        return true;
    if (!answer->gives_proof)
        return find_email(tx, confirm, err);
    return give_proof(tx, confirm, err) &&
           (strcmp(answer->purpose, "verify_email") != 0 || mark_verified(tx, confirm, err));
}

bool store_confirm_code(const struct auth_app *app, struct arena *arena, const struct code_answer *answer,
                        const struct origin *origin, const char **email, struct err *err)
{
    struct confirm confirm = {.app = app, .arena = arena, .answer = answer, .origin = origin};
    if (!pg_transaction(app->db, confirm_in_tx, &confirm, err))
        return false;
    *email = confirm.email;
    return confirm.right || err_set(err, &ERR_BAD_CODE, "the code is wrong, used or too old");
}
