#include "migrate.h"

#include "crypto.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

/* Instances that start at once take turns by an advisory lock inside each transaction, so that a crash frees it. The
 * schema's hash keeps services apart. */
#define LOCK_SQL "SELECT pg_advisory_xact_lock(hashtext('madang migrate'), hashtext(current_schema()))"
static const struct pg_statement FIND = {"migrate_find", "SELECT sha256 FROM schema_migrations WHERE name = $1"};
static const struct pg_statement STORE = {"migrate_store",
                                          "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)"};

#define TABLE_SQL                                                                                                      \
    "CREATE TABLE IF NOT EXISTS schema_migrations ("                                                                   \
    " name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"

struct step {
    char name[128];
    const char *sql;
    char sha256[SHA256_HEX_BYTES];
    bool ran;
};

static bool make_table(struct pg_tx *tx, void *payload, struct err *err)
{
    (void)payload;
    return pg_tx_script(tx, LOCK_SQL, err) && pg_tx_script(tx, TABLE_SQL, err);
}

static bool run_step(struct pg_tx *tx, void *payload, struct err *err)
{
    struct step *step = payload;
    step->ran = false;
    if (!pg_tx_script(tx, LOCK_SQL, err))
        return false;
    AUTO(pg_result) done = pg_tx_query(tx, &FIND, PARAMS(PG_TEXT(step->name)), err);
    if (!done)
        return false;
    if (pg_rows(done))
        return strcmp(pg_text(done, 0, 0), step->sha256) == 0 ||
               err_set_internal(err, &ERR_INTERNAL, "migration %s has another text than the one that ran here",
                                step->name);
    step->ran = true;
    return pg_tx_script(tx, step->sql, err) &&
           pg_tx_exec(tx, &STORE, PARAMS(PG_TEXT(step->name), PG_TEXT(step->sha256)), NULL, err);
}

static bool run_table(struct pg_pool *pool, const char *prefix, const struct migration *migrations, struct err *err)
{
    for (; migrations->name; migrations++) {
        struct step step = {.sql = migrations->sql};
        (void)snprintf(step.name, sizeof step.name, "%s%s", prefix, migrations->name);
        crypto_sha256_hex(migrations->sql, strlen(migrations->sql), step.sha256);
        if (!pg_transaction(pool, run_step, &step, err)) {
            char words[sizeof err->detail];
            (void)snprintf(words, sizeof words, "%s", err->detail);
            return err_set_internal(err, err->problem, "migration %.60s: %.120s", step.name, words);
        }
        if (step.ran)
            log_event(LOG_INFO, "migrated", LOG_TEXT("migration", step.name));
    }
    return true;
}

bool migrate_up(struct pg_pool *pool, const struct migration *migrations, struct err *err)
{
    return pg_transaction(pool, make_table, NULL, err) && run_table(pool, "common/", COMMON_MIGRATIONS, err) &&
           run_table(pool, "", migrations, err);
}
