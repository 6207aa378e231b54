/* store_social.c - social log-ins under way, and the accounts behind outside identities. */
#include "store_rows.h"

bool store_social_start(const struct auth_app *app, const struct social_start *start, struct err *err)
{
    static const struct pg_statement START = {
        "start_social",
        "INSERT INTO social_logins (state_hash, provider, browser_hash, return_to, nonce, verifier, expires_at) VALUES "
        "($1, $2, $3, $4, $5, $6, now() + interval '10 minutes')"};
    return pg_exec(app->db, &START,
                   PARAMS(PG_BYTES(start->state_hash, SHA256_BYTES), PG_TEXT(start->provider),
                          PG_BYTES(start->browser_hash, SHA256_BYTES), PG_TEXT(start->return_to), PG_TEXT(start->nonce),
                          PG_TEXT(start->verifier)),
                   NULL, err);
}

bool store_social_claim(const struct auth_app *app, struct arena *arena, const char *provider,
                        const unsigned char state_hash[SHA256_BYTES], const unsigned char browser_hash[SHA256_BYTES],
                        struct social_login *login, struct err *err)
{
    /* A claim older than a minute belongs to an instance that died. */
    static const struct pg_statement CLAIM = {
        "claim_social",
        "UPDATE social_logins SET claimed_at = CASE WHEN decided_at IS NULL AND (claimed_at IS NULL OR claimed_at < "
        "now() - interval '1 minute') THEN now() ELSE claimed_at END WHERE state_hash = $1 AND provider = $2 AND "
        "browser_hash = $3 AND expires_at > now() RETURNING return_to, nonce, verifier, outcome, decided_at IS NOT "
        "NULL, claimed_at = now()"};
    AUTO(pg_result)
    rows = pg_query(app->db, &CLAIM,
                    PARAMS(PG_BYTES(state_hash, SHA256_BYTES), PG_TEXT(provider), PG_BYTES(browser_hash, SHA256_BYTES)),
                    err);
    if (!rows)
        return false;
    *login = (struct social_login){.found = pg_rows(rows) > 0};
    if (!login->found)
        return true;
    login->return_to = arena_text(arena, pg_text(rows, 0, 0));
    login->nonce = arena_text(arena, pg_text(rows, 0, 1));
    login->verifier = arena_text(arena, pg_text(rows, 0, 2));
    login->decided = pg_bool(rows, 0, 4);
    login->outcome = login->decided ? arena_text(arena, pg_text(rows, 0, 3)) : NULL;
    login->mine = !login->decided && pg_bool(rows, 0, 5);
    return true;
}

bool store_social_decide(const struct auth_app *app, const unsigned char state_hash[SHA256_BYTES], const char *outcome,
                         const char *user_id, const unsigned char code_hash[SHA256_BYTES], struct err *err)
{
    static const struct pg_statement DECIDE = {
        "decide_social",
        "UPDATE social_logins SET outcome = $2, user_id = $3::uuid, code_hash = $4, decided_at = now() WHERE "
        "state_hash = $1 AND decided_at IS NULL"};
    return pg_exec(app->db, &DECIDE,
                   PARAMS(PG_BYTES(state_hash, SHA256_BYTES), PG_TEXT(outcome), PG_TEXT(user_id),
                          user_id ? PG_BYTES(code_hash, SHA256_BYTES) : PG_NULL),
                   NULL, err);
}

bool store_social_exchange(const struct auth_app *app, const unsigned char code_hash[SHA256_BYTES],
                           char user_id[UUID_TEXT_BYTES], struct err *err)
{
    static const struct pg_statement EXCHANGE = {
        "exchange_social",
        "UPDATE social_logins SET exchanged_at = now() WHERE code_hash = $1 AND exchanged_at IS NULL AND decided_at > "
        "now() - make_interval(secs => $2::bigint) AND EXISTS (SELECT FROM identities i WHERE i.user_id = "
        "social_logins.user_id AND i.provider = social_logins.provider) RETURNING user_id"};
    AUTO(pg_result)
    rows = pg_query(app->db, &EXCHANGE,
                    PARAMS(PG_BYTES(code_hash, SHA256_BYTES), PG_I64(app->cfg->social_code_seconds)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return err_set(err, &ERR_BAD_CODE, "the code is wrong, used or too old");
    (void)snprintf(user_id, UUID_TEXT_BYTES, "%s", pg_text(rows, 0, 0));
    return true;
}

/* ---- the account behind an identity ---- */

struct find {
    const struct auth_app *app;
    const struct social_person *person;
    const char *email_folded;
    const struct origin *origin;
    char *user_id;
    bool found;
};

static bool find_identity(struct pg_tx *tx, struct find *find, struct err *err)
{
    static const struct pg_statement FIND = {"find_identity",
                                             "SELECT user_id FROM identities WHERE provider = $1 AND subject = $2"};
    AUTO(pg_result)
    rows = pg_tx_query(tx, &FIND, PARAMS(PG_TEXT(find->person->provider), PG_TEXT(find->person->subject)), err);
    if (!rows)
        return false;
    find->found = pg_rows(rows) > 0;
    if (find->found)
        (void)snprintf(find->user_id, UUID_TEXT_BYTES, "%s", pg_text(rows, 0, 0));
    return true;
}

/* The address was never proved by who signed up with it, and now its owner is here: whoever waits behind that account
 * (a password, other identities, sessions) must not share it. */
static bool take_over(struct pg_tx *tx, const struct find *find, struct err *err)
{
    static const struct pg_statement CLEAR = {
        "take_over_account",
        "UPDATE accounts AS a SET email_verified = true, owner_proved = true, password_hash = NULL, phone = NULL, "
        "phone_proved_at = NULL, version = a.version + 1 WHERE a.id = $1::uuid RETURNING " ACCOUNT_COLUMNS};
    AUTO(pg_result) rows = pg_tx_query(tx, &CLEAR, PARAMS(PG_TEXT(find->user_id)), err);
    if (!rows)
        return false;
    struct account account;
    row_account(rows, 0, &account);
    return tx_forget_ways_in(tx, find->user_id, err) &&
           tx_account_changed(find->app, tx, &account, find->origin, err) &&
           tx_end_all_sessions(find->app, tx, find->user_id, NULL, "password_changed", find->origin, err);
}

static bool link_by_email(struct pg_tx *tx, struct find *find, struct err *err)
{
    static const struct pg_statement FIND = {
        "find_linked", "SELECT id, owner_proved FROM accounts WHERE email_folded = $1 FOR UPDATE"};
    static const struct pg_statement LINK = {
        "link_identity", "INSERT INTO identities (provider, subject, user_id) VALUES ($1, $2, $3::uuid)"};
    const struct social_person *person = find->person;
    AUTO(pg_result) rows = pg_tx_query(tx, &FIND, PARAMS(PG_TEXT(find->email_folded)), err);
    if (!rows)
        return false;
    if (pg_rows(rows) == 0)
        return true;
    if (!person->email_verified)
        return err_set(err, &ERR_EMAIL_TAKEN, "another account has this e-mail address");
    find->found = true;
    (void)snprintf(find->user_id, UUID_TEXT_BYTES, "%s", pg_text(rows, 0, 0));
    return (pg_bool(rows, 0, 1) || take_over(tx, find, err)) &&
           pg_tx_exec(tx, &LINK, PARAMS(PG_TEXT(person->provider), PG_TEXT(person->subject), PG_TEXT(find->user_id)),
                      NULL, err);
}

static bool find_in_tx(struct pg_tx *tx, void *payload, struct err *err)
{
    struct find *find = payload;
    return find_identity(tx, find, err) && (find->found || !find->email_folded || link_by_email(tx, find, err));
}

static bool add_guest(const struct find *find, struct err *err)
{
    const struct social_person *person = find->person;
    struct account account;
    const struct new_account wish = {.email = person->email,
                                     .email_folded = find->email_folded,
                                     .email_verified = person->email && person->email_verified,
                                     .name = person->name,
                                     .korean = person->korean,
                                     .role = ROLE_GUEST,
                                     .provider = person->provider,
                                     .subject = person->subject};
    if (!store_add_account(find->app, &wish, find->origin, &account, err))
        return false;
    (void)snprintf(find->user_id, UUID_TEXT_BYTES, "%s", account.id);
    return true;
}

bool store_social_account(const struct auth_app *app, struct arena *arena, const struct social_person *person,
                          const struct origin *origin, char user_id[UUID_TEXT_BYTES], struct err *err)
{
    enum { TRIES = 3 }; /* the same person twice at once: the second finds what the first made */
    struct err unused = {0};
    struct find find = {.app = app, .person = person, .origin = origin, .user_id = user_id};
    find.email_folded = person->email ? account_email(arena, person->email, "/email", &unused) : NULL;
    struct social_person known = *person;
    if (!find.email_folded)
        known.email = NULL; /* not an address we could write to */
    find.person = &known;
    for (int i = 1;; i++) {
        if (!pg_transaction(app->db, find_in_tx, &find, err)) {
            if (!pg_violated(err, "identities_pkey") || i == TRIES)
                return false;
        } else if (find.found || add_guest(&find, err)) {
            return true;
        } else if (i == TRIES || (!pg_violated(err, "identities_pkey") && !err_is(err, &ERR_EMAIL_TAKEN))) {
            return false;
        }
        err_clear(err);
    }
}
