/* auth-svc: accounts, sessions, tokens, codes, social log-in, roles. README.md lists its routes, events and settings.
 */
#include "api.h"
#include "backend.h"
#include "keeper.h"
#include "keys.h"
#include "limits.h"
#include "log.h"
#include "metrics.h"
#include "routes.h"
#include "social.h"

#include <string.h>

extern const struct migration AUTH_MIGRATIONS[];

enum { VERIFIER_LEEWAY_SECONDS = 10 }; /* token.h */

/* AUTH_SECRET, or the one that the schema keeps. */
static bool load_secret(struct auth_app *app, struct err *err)
{
    const char *secret = app->cfg->secret;
    unsigned char fresh[SHA256_BYTES], stored[SHA256_BYTES];
    if (*secret) {
        secret_init(&app->secret, secret, strlen(secret));
        return true;
    }
    crypto_random(fresh, sizeof fresh);
    if (!store_secret(app->db, fresh, stored, err))
        return false;
    secret_init(&app->secret, stored, sizeof stored);
    return true;
}

static struct passwords *open_passwords(const struct auth_config *cfg, struct err *err)
{
    return passwords_open(&(struct passwords_options){.memory_kib = cfg->hash_memory_kib,
                                                      .passes = cfg->hash_passes,
                                                      .lanes = (int)cfg->hash_lanes,
                                                      .queue = (int)cfg->hash_queue,
                                                      .workers = (int)cfg->service.workers},
                          err);
}

/* A key must be published for as long as a verifier may believe a token of it. */
static bool check_settings(const struct auth_config *cfg, struct err *err)
{
    const int64_t least = cfg->access_seconds + VERIFIER_LEEWAY_SECONDS;
    return cfg->key_overlap_seconds >= least ||
           err_set(
               err, &ERR_BAD_INPUT,
               "KEY_OVERLAP_SECONDS: must be at least ACCESS_SECONDS and the verifiers' leeway of %d s, that is %lld, "
               "is %lld",
               VERIFIER_LEEWAY_SECONDS, (long long)least, (long long)cfg->key_overlap_seconds);
}

static bool run(void *settings, struct err *err)
{
    const struct auth_config *cfg = settings;
    if (!check_settings(cfg, err))
        return false;
    struct auth_app app = {.cfg = cfg}; /* declared first, so it outlives all that point to it */
    AUTO(backend)
    backend = backend_open(&(struct backend_options){.name = "auth-svc",
                                                     .config = &cfg->service,
                                                     .db_url = cfg->db_url,
                                                     .schema = "auth",
                                                     .db_connections = (int)cfg->db_connections,
                                                     .migrations = AUTH_MIGRATIONS,
                                                     .topics = AUTH_TOPICS,
                                                     .is_auth = true},
                           err);
    if (!backend)
        return false;
    app.db = backend_db(backend);
    app.redis = backend_redis(backend);
    AUTO(keys) keys = app.keys = keys_open(backend_keys(backend));
    AUTO(limits) limits = limits_open(cfg, app.redis);
    app.limits = limits;
    AUTO(passwords) passwords = app.passwords = open_passwords(cfg, err);
    AUTO(social) social = app.social = passwords ? social_open(cfg, err) : NULL;
    if (!social || !load_secret(&app, err) || !keys_refresh(keys, &app, err) || !store_promote_first_admin(&app, err))
        return false;
    api_metrics_open();
    metric_gauge_read("madang_auth_hash_waiting", "Requests that wait for their turn to hash", password_waiting,
                      passwords);
    AUTO(keeper) keeper = keeper_start(&app, err);
    bool good =
        keeper &&
        backend_serve(
            backend, &(struct backend_parts){.routes = AUTH_ROUTES, .metrics_prefix = "madang_auth", .app = &app}, err);
    metric_forget(passwords);
    return good;
}

int main(int argc, char **argv)
{
    static struct auth_config cfg;
    return service_main("auth-svc", argc, argv, AUTH_SETTINGS, &cfg, &cfg.service, run);
}
