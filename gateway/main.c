/* gateway: the one public door. Routes, tokens, limits, discovery, WebSocket and SSE pass-through. README.md has the
 * routes, settings and the way of a request. */
#include "accesslog.h"
#include "admin.h"
#include "clock.h"
#include "cors.h"
#include "docs.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "tls.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUCKETS = 65536, FINISH_MS = 10000, LOOK_EVERY_MS = 20 };

static void ask_loops(struct gateway *gateway, int what)
{
    (void)pthread_mutex_lock(&gateway->lock);
    for (int i = 0; i < gateway->loop_count; i++)
        loop_ask(gateway->loops[i], what);
    (void)pthread_mutex_unlock(&gateway->lock);
}

/* ---- discovery ---- */

/* On the watcher's thread, and once at start. */
static void on_registry_changed(void *payload)
{
    struct gateway *gateway = payload;
    (void)pthread_mutex_lock(&gateway->lock);
    struct registry_watch *watch = gateway->watch;
    (void)pthread_mutex_unlock(&gateway->lock);
    if (!watch)
        return; /* not there yet: start_discovery looks by itself */
    instances_update(gateway->instances, watch);
    ask_loops(gateway, LOOP_INSTANCES);
}

static bool start_discovery(struct gateway *gateway, struct err *err)
{
    gateway->instances = instances_open(gateway->config->upstreams, err);
    if (!gateway->instances)
        return false;
    struct registry_watch *watch =
        registry_watch_start(gateway->config->service.redis_url, on_registry_changed, gateway, err);
    (void)pthread_mutex_lock(&gateway->lock);
    gateway->watch = watch;
    (void)pthread_mutex_unlock(&gateway->lock);
    if (watch)
        on_registry_changed(gateway);
    return watch != NULL;
}

/* auth-svc for the key set and the revocations: AUTH_URL, or any instance. */
static bool find_auth(void *payload, char *address, size_t size)
{
    struct gateway *gateway = payload;
    const char *url = gateway->config->service.auth_url;
    if (*url) {
        const char *host = strstr(url, "://");
        (void)snprintf(address, size, "%s", host ? host + 3 : url);
        address[strcspn(address, "/")] = '\0';
        return true;
    }
    if (registry_pick(gateway->watch, "auth-svc", address, size))
        return true;
    struct instance_list *list = instances_get(gateway->instances);
    bool found = false;
    for (size_t i = 0; i < list->count && !found; i++) {
        found = strcmp(list->items[i].entry.service, "auth-svc") == 0;
        if (found)
            (void)snprintf(address, size, "%s", list->items[i].entry.address);
    }
    instance_list_release(&list);
    return found;
}

static bool start_tokens(struct gateway *gateway, struct err *err)
{
    gateway->keys = keyset_open();
    gateway->revoked = revoked_open();
    struct auth_feed_options options = {
        .keys = gateway->keys, .revoked = gateway->revoked, .find = find_auth, .payload = gateway};
    gateway->feed = auth_feed_start(&options, err);
    return gateway->feed != NULL;
}

/* ---- start ---- */

static bool read_settings(struct gateway *gateway, struct err *err)
{
    const struct gateway_config *config = gateway->config;
    gateway->dev = strcmp(config->service.profile, "dev") == 0;
    gateway->bench = strcmp(config->service.profile, "bench") == 0;
    gateway->address_rate = (struct limit_rate){config->address_rate, 1000, config->address_burst};
    gateway->user_rate = (struct limit_rate){config->user_rate, 1000, config->user_burst};
    gateway->failed_rate = (struct limit_rate){config->failed_tokens_per_min, 60000, config->failed_tokens_per_min};
    (void)snprintf(gateway->listen, sizeof gateway->listen, "%s", config->service.listen);
    (void)pthread_mutex_init(&gateway->lock, NULL);
    gateway->limits = limits_open(BUCKETS);
    if (!networks_parse(config->trusted_proxies, &gateway->trusted, err))
        return err_set(err, &ERR_BAD_INPUT, "TRUSTED_PROXIES: %s", err->message);
    gateway->cors = cors_open(config->cors_origins, gateway->dev, err);
    gateway->routes = gateway->cors ? routes_load(config->routes_file, err) : NULL;
    if (!gateway->routes)
        return false;
    if (!*config->tls_cert_file != !*config->tls_key_file)
        return err_set(err, &ERR_BAD_INPUT, "TLS_CERT_FILE and TLS_KEY_FILE go together");
    if (*config->tls_cert_file && !(gateway->tls = tls_open(config->tls_cert_file, config->tls_key_file, err)))
        return false;
    gateway->docs = docs_open(config->docs_dir, config->openapi_file);
    return true;
}

static bool start_loops(struct gateway *gateway, struct err *err)
{
    int wanted = (int)gateway->config->threads;
    if (!wanted)
        wanted = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (wanted < 1)
        wanted = 1;
    gateway->loops = mem_new((size_t)wanted, sizeof(void *));
    for (int i = 0; i < wanted; i++) {
        struct loop *loop = loop_open(gateway, i, err);
        if (!loop)
            return false;
        if (i == 0) { /* port 0 means any: the other loops take the same */
            char *colon = strrchr(gateway->listen, ':');
            (void)snprintf(colon, sizeof gateway->listen - (size_t)(colon - gateway->listen), ":%d", loop_port(loop));
        }
        gateway->loops[i] = loop;
        if (!loop_start(loop, err)) {
            loop_release(&gateway->loops[i]);
            return false;
        }
        (void)pthread_mutex_lock(&gateway->lock);
        gateway->loop_count = i + 1;
        (void)pthread_mutex_unlock(&gateway->lock);
    }
    ask_loops(gateway, LOOP_INSTANCES); /* what changed while they were made */
    return true;
}

/* ---- reload and stop ---- */

static void on_reload(void *payload)
{
    struct gateway *gateway = payload;
    struct err err;
    struct routes *fresh = routes_load(gateway->config->routes_file, &err);
    if (fresh) {
        (void)pthread_mutex_lock(&gateway->lock);
        struct routes *old = gateway->routes;
        gateway->routes = fresh;
        (void)pthread_mutex_unlock(&gateway->lock);
        routes_release(&old);
        ask_loops(gateway, LOOP_ROUTES);
        log_event(LOG_INFO, "routes_reloaded");
    } else {
        log_event(LOG_ERROR, "routes_not_reloaded", LOG_TEXT("reason", err.message));
    }
    if (gateway->tls && !tls_reload(gateway->tls, &err))
        log_event(LOG_ERROR, "certificate_not_reloaded", LOG_TEXT("reason", err.message));
    else if (gateway->tls)
        log_event(LOG_INFO, "certificate_reloaded");
    docs_reload(gateway->docs);
}

static void sleep_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

/* Serves on with Connection: close, then takes no more, waits for answers, and ends streams and tunnels last. */
static void drain(struct gateway *gateway, struct registry_lease *lease)
{
    registry_drain(lease);
    atomic_store(&gateway->draining, true);
    if (gateway->config->listen_shared)
        loop_step_aside(gateway->loops[0], gateway->loop_count);
    int64_t until_ms = clock_monotonic_ms() + gateway->config->service.drain_seconds * 1000;
    while (clock_monotonic_ms() < until_ms)
        sleep_ms(LOOK_EVERY_MS);
    until_ms = clock_monotonic_ms() + FINISH_MS;
    do {
        ask_loops(gateway, LOOP_FINISH);
        sleep_ms(LOOK_EVERY_MS);
    } while (atomic_load(&gateway->connections) > atomic_load(&gateway->streams) && clock_monotonic_ms() < until_ms);
}

static void stop_loops(struct gateway *gateway)
{
    ask_loops(gateway, LOOP_STOP);
    for (int i = 0; i < gateway->loop_count; i++)
        loop_join(gateway->loops[i]);
}

static void gateway_close(struct gateway *gateway)
{
    registry_watch_release(&gateway->watch); /* its thread talks to the loops */
    for (int i = 0; i < gateway->loop_count; i++)
        loop_release(&gateway->loops[i]);
    free(gateway->loops);
    auth_feed_release(&gateway->feed);
    accesslog_release(&gateway->access_log);
    instances_release(&gateway->instances);
    keyset_release(&gateway->keys);
    revoked_release(&gateway->revoked);
    limits_release(&gateway->limits);
    cors_release(&gateway->cors);
    docs_release(&gateway->docs);
    tls_release(&gateway->tls);
    routes_release(&gateway->routes);
    (void)pthread_mutex_destroy(&gateway->lock);
}

static bool serve(struct gateway *gateway, struct err *err)
{
    const struct service_config *config = &gateway->config->service;
    const struct ready_check checks[] = {{"registry", admin_ready_registry, gateway},
                                         {"tokens", admin_ready_tokens, gateway},
                                         {"traffic", admin_ready_traffic, gateway},
                                         {0}};
    AUTO(http_server)
    admin = admin_server_start(config->admin_listen, checks, ADMIN_ROUTES, gateway, config->profile, err);
    if (!admin || !start_loops(gateway, err))
        return false;
    AUTO(registry_lease)
    lease = registry_announce(config->redis_url, "gateway", config->instance,
                              *config->advertise ? config->advertise : gateway->listen, config->weight, err);
    if (!lease)
        return false;
    log_event(LOG_INFO, "started", LOG_TEXT("listen", gateway->listen), LOG_I64("admin_port", http_server_port(admin)),
              LOG_I64("threads", gateway->loop_count), LOG_TEXT("profile", config->profile));
    bool fine = service_wait_for_stop(on_reload, gateway, err);
    if (fine)
        drain(gateway, lease);
    registry_lease_release(&lease);
    return fine;
}

static bool run(void *settings, struct err *err)
{
    const struct gateway_config *config = settings;
    struct gateway gateway = {.config = config};
    bool fine = read_settings(&gateway, err) && start_discovery(&gateway, err) && start_tokens(&gateway, err);
    if (fine && config->access_log)
        fine = (gateway.access_log = accesslog_open(config->service.instance, err)) != NULL;
    fine = fine && serve(&gateway, err);
    stop_loops(&gateway);
    gateway_close(&gateway);
    return fine;
}

int main(int argc, char **argv)
{
    static struct gateway_config config;
    return service_main("gateway", argc, argv, GATEWAY_SETTINGS, &config, &config.service, run);
}
