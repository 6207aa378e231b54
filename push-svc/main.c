/* push-svc: devices, and pushes to them by FCM and Web Push. README.md lists routes, events and settings. */
#include "api.h"
#include "app.h"
#include "backend.h"
#include "crypto.h"
#include "events.h"
#include "figures.h"
#include "log.h"
#include "post.h"
#include "rounds.h"
#include "store.h"
#include "sweep.h"

extern const struct migration PUSH_MIGRATIONS[];

/* The key of the setting, or the one that the deployment made for itself. */
static struct vapid *open_vapid(const struct push_config *config, struct pg_pool *db, struct err *err)
{
    unsigned char key[64];
    const size_t length = strlen(config->vapid_private_key);
    if (length > 0 &&
        (length > 64 || crypto_base64url_decode(config->vapid_private_key, length, key) != VAPID_KEY_BYTES)) {
        err_set(err, &ERR_BAD_INPUT, "VAPID_PRIVATE_KEY must be 32 bytes as base64url");
        return NULL;
    }
    if (length == 0 && !store_vapid_key(db, key, err))
        return NULL;
    return vapid_open(key, config->vapid_subject, err);
}

static bool open_account(const struct push_config *config, struct fcm_account **account, struct err *err)
{
    if (!*config->fcm_credentials)
        return true;
    if (strncmp(config->fcm_url, "https://", 8) != 0 && !config->allow_inner)
        return err_set(err, &ERR_BAD_INPUT, "FCM_URL must be https");
    return (*account = fcm_account_open(config->fcm_credentials, config->allow_inner, err)) != NULL;
}

static bool run(void *settings, struct err *err)
{
    const struct push_config *config = settings;
    struct push_app app = {.config = config}; /* declared first, so it outlives all that point to it */
    const struct backend_options options = {
        .name = "push-svc",
        .config = &config->service,
        .db_url = config->db_url,
        .schema = "push",
        .db_connections = (int)config->db_connections,
        .migrations = PUSH_MIGRATIONS,
        .topics = PUSH_TOPICS,
    };
    AUTO(fcm_account) account = NULL;
    if (!reach_open(&app.reach, config->web_hosts, config->allow_inner, err) || !open_account(config, &account, err))
        return false;
    AUTO(backend) backend = backend_open(&options, err);
    if (!backend)
        return false;
    app.db = backend_db(backend);
    AUTO(vapid) vapid = open_vapid(config, app.db, err);
    if (!vapid)
        return false;
    figures_open();
    app.vapid_public = vapid_public(vapid);
    const struct post_options post_options = {
        .config = config,
        .db = app.db,
        .slot = backend_slot(backend),
        .account = account,
        .vapid = *config->vapid_private_key ? vapid : NULL,
        .reach = &app.reach,
    };
    log_event(LOG_INFO, "push_channels", LOG_TEXT("fcm", account ? fcm_account_project(account) : "sink"),
              LOG_TEXT("web", post_options.vapid ? "vapid" : "sink"));
    AUTO(post) post = app.post = post_start(&post_options, err);
    AUTO(rounds) rounds = post ? rounds_start(SWEEP_EVERY_MS, sweep_round, &app, err) : NULL;
    const struct backend_parts parts = {
        .routes = PUSH_ROUTES,
        .subscriptions = PUSH_SUBSCRIPTIONS,
        .metrics_prefix = "madang_push",
        .app = &app,
    };
    return rounds && backend_serve(backend, &parts, err);
}

int main(int argc, char **argv)
{
    static struct push_config config;
    return service_main("push-svc", argc, argv, PUSH_SETTINGS, &config, &config.service, run);
}
