#include "backend.h"

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "token.h"

#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REDIS_CONNECTIONS = 4,
    CONNECTIONS_BESIDE_WORKERS = 3, /* outbox relay, topic worker, sweeper */
    TOKEN_CACHE_ENTRIES = 1024,
    SLOTS_MAX = 100,
    SLOT_WAIT_MS = 10000,
    SLOT_PATIENCE = 30, /* looks, one a second */
    CHECKS_MAX = 16,
    START_LOOK_MS = 50, /* how often readiness is looked at before the first announcement */
    ANNOUNCED_MAX = 4,
    KEEP_LOOK_MS = 1000, /* how often the slot's lock is looked at afterwards */
};

struct backend {
    struct backend_options options; /* constant after open */
    struct pg_pool *db;
    struct pg_lock *slot_lock;
    int slot, slot_refusals;
    struct redis *redis;
    struct registry_watch *watch;
    struct keyset *keys;
    struct revoked *revoked;
    struct auth_feed *feed;
    struct token_verifier *tokens;
    struct ticket_gate *tickets; /* made at the first call */
    pthread_mutex_t tickets_lock;
    struct kafka_producer *producer;
    struct announced {
        char *service, *address;
        struct registry_lease *lease;
    } announced[ANNOUNCED_MAX]; /* more addresses of this process */
    /* while it serves */
    struct outbox_relay *relay;
    struct kafka_worker *worker;
    struct kafka_listener *listener;
    struct http_server *http, *admin;
    struct registry_lease *lease;
    struct ready_check checks[CHECKS_MAX];
    pthread_t keeper;
    bool keeper_runs;
    atomic_bool keeper_stop;
};

/* ---- finding auth-svc ---- */

static bool find_auth(void *payload, char *address, size_t size)
{
    const struct backend *backend = payload;
    const struct service_config *config = backend->options.config;
    if (backend->options.is_auth) {
        (void)snprintf(address, size, "%s", config->listen);
        return true;
    }
    static const char SCHEME[] = "http://";
    if (*config->auth_url) {
        bool named = strncmp(config->auth_url, SCHEME, sizeof SCHEME - 1) == 0;
        (void)snprintf(address, size, "%s", config->auth_url + (named ? sizeof SCHEME - 1 : 0));
        return true;
    }
    return registry_pick(backend->watch, "auth-svc", address, size);
}

static void want_keys(void *payload)
{
    struct backend *backend = payload;
    auth_feed_refresh(backend->feed);
}

/* ---- the instance slot: what makes a restarted process the same Kafka member ---- */

/* INSTANCE_SLOT names the slot: a predecessor that was killed gives its lock back in a moment. */
static bool slot_claim_named(struct backend *backend, struct err *err)
{
    const struct backend_options *options = &backend->options;
    const int slot = (int)options->config->instance_slot;
    const int64_t until_ms = clock_monotonic_ms() + SLOT_WAIT_MS;
    while (!pg_lock_try(backend->slot_lock, options->name, slot)) {
        if (clock_monotonic_ms() > until_ms || service_stopping())
            return err_set_internal(err, &ERR_UNAVAILABLE, "INSTANCE_SLOT: another %s has slot %d", options->name,
                                    slot);
        (void)poll(NULL, 0, START_LOOK_MS);
    }
    backend->slot = slot;
    return true;
}

static bool slot_claim_lowest(struct backend *backend, struct err *err)
{
    const struct backend_options *options = &backend->options;
    for (int slot = 1; slot <= SLOTS_MAX; slot++) {
        if (pg_lock_try(backend->slot_lock, options->name, slot)) {
            backend->slot = slot;
            return true;
        }
    }
    return err_set_internal(err, &ERR_UNAVAILABLE, "no free instance slot of %s below %d", options->name,
                            SLOTS_MAX + 1);
}

static bool slot_claim(struct backend *backend, struct err *err)
{
    backend->slot_lock = pg_lock_open(backend->options.db_url, err);
    if (!backend->slot_lock)
        return false;
    return backend->options.config->instance_slot > 0 ? slot_claim_named(backend, err)
                                                      : slot_claim_lowest(backend, err);
}

/* PostgreSQL restarted: the lock went with its connection, and the same slot is claimed again. While the database
 * answers and someone else keeps it, two members would carry one name: then this process ends. A session of ours that
 * the server has not noticed to be dead yet looks the same, so it gets SLOT_PATIENCE looks. */
static void slot_keep(struct backend *backend)
{
    if (pg_lock_held(backend->slot_lock))
        return;
    if (pg_lock_try(backend->slot_lock, backend->options.name, backend->slot)) {
        backend->slot_refusals = 0;
        log_event(LOG_INFO, "slot_claimed_again", LOG_I64("slot", backend->slot));
    } else if (pg_pool_ready(backend->db) && ++backend->slot_refusals > SLOT_PATIENCE) {
        service_fail("slot %d of %s was taken by another process", backend->slot, backend->options.name);
    }
}

/* ---- open ---- */

/* The feed starts before the server that asks this. */
static bool tokens_ready(void *payload)
{
    const struct backend *backend = payload;
    return auth_feed_ready(backend->feed);
}

static bool tokens_open(struct backend *backend, struct err *err)
{
    backend->keys = keyset_open();
    backend->revoked = revoked_open();
    backend->tokens = token_verifier_open(&(struct token_options){.keys = backend->keys,
                                                                  .revoked = backend->revoked,
                                                                  .issuer = TOKEN_ISSUER,
                                                                  .audience = TOKEN_AUDIENCE,
                                                                  .cache_entries = TOKEN_CACHE_ENTRIES,
                                                                  .unknown_kid = want_keys,
                                                                  .ready = tokens_ready,
                                                                  .payload = backend},
                                          err);
    return backend->tokens != NULL;
}

static bool stores_open(struct backend *backend, struct err *err)
{
    const struct backend_options *options = &backend->options;
    const struct service_config *config = options->config;
    int least = (int)config->workers + CONNECTIONS_BESIDE_WORKERS;
    int connections = options->db_connections > least ? options->db_connections : least;
    backend->db = pg_pool_open(options->db_url, options->schema, connections, err);
    if (!backend->db || !migrate_up(backend->db, options->migrations, err) || !slot_claim(backend, err))
        return false;
    if (!kafka_ensure_topics(config->kafka_brokers, options->topics, err))
        return false;
    backend->producer = kafka_producer_open(config->kafka_brokers, config->instance, err);
    backend->redis = backend->producer ? redis_open(config->redis_url, REDIS_CONNECTIONS, err) : NULL;
    backend->watch = backend->redis ? registry_watch_start(config->redis_url, NULL, NULL, err) : NULL;
    return backend->watch != NULL;
}

struct backend *backend_open(const struct backend_options *options, struct err *err)
{
    AUTO(backend) backend = MEM_NEW(backend);
    backend->options = *options;
    pthread_mutex_init(&backend->tickets_lock, NULL);
    if (!stores_open(backend, err) || !tokens_open(backend, err))
        return NULL;
    return TAKE(backend);
}

void backend_release(struct backend **backend)
{
    struct backend *b = *backend;
    if (!b)
        return;
    auth_feed_release(&b->feed);
    ticket_gate_release(&b->tickets);
    pthread_mutex_destroy(&b->tickets_lock);
    token_verifier_release(&b->tokens);
    revoked_release(&b->revoked);
    keyset_release(&b->keys);
    registry_watch_release(&b->watch);
    redis_release(&b->redis);
    kafka_producer_release(&b->producer);
    pg_lock_release(&b->slot_lock);
    pg_pool_release(&b->db);
    for (size_t i = 0; i < ANNOUNCED_MAX; i++) {
        free(b->announced[i].service);
        free(b->announced[i].address);
    }
    free(b);
    *backend = NULL;
}

struct pg_pool *backend_db(struct backend *backend)
{
    return backend->db;
}
struct redis *backend_redis(struct backend *backend)
{
    return backend->redis;
}
struct registry_watch *backend_watch(struct backend *backend)
{
    return backend->watch;
}
struct kafka_producer *backend_producer(struct backend *backend)
{
    return backend->producer;
}
struct outbox_relay *backend_relay(struct backend *backend)
{
    return backend->relay;
}
struct keyset *backend_keys(struct backend *backend)
{
    return backend->keys;
}
struct token_verifier *backend_tokens(struct backend *backend)
{
    return backend->tokens;
}
struct revoked *backend_revoked(struct backend *backend)
{
    return backend->revoked;
}
int backend_slot(const struct backend *backend)
{
    return backend->slot;
}

struct ticket_gate *backend_tickets(struct backend *backend, struct err *err)
{
    pthread_mutex_lock(&backend->tickets_lock);
    if (!backend->tickets)
        backend->tickets = ticket_gate_open(&(struct ticket_gate_options){.keys = backend->keys,
                                                                          .revoked = backend->revoked,
                                                                          .unknown_kid = want_keys,
                                                                          .ready = tokens_ready,
                                                                          .payload = backend,
                                                                          .redis = backend->redis},
                                            err);
    struct ticket_gate *tickets = backend->tickets;
    pthread_mutex_unlock(&backend->tickets_lock);
    return tickets;
}

bool backend_announce(struct backend *backend, const char *service, const char *address, struct err *err)
{
    for (size_t i = 0; i < ANNOUNCED_MAX; i++) {
        if (!backend->announced[i].service) {
            backend->announced[i].service = mem_text(service);
            backend->announced[i].address = mem_text(address);
            return true;
        }
    }
    return err_set_internal(err, &ERR_INTERNAL, "at most %d more addresses can be announced", ANNOUNCED_MAX);
}

/* ---- serve ---- */

static void add_check(struct backend *backend, const char *name, bool (*check)(void *), void *payload)
{
    for (size_t i = 0; i < CHECKS_MAX - 1; i++) {
        if (!backend->checks[i].name) {
            backend->checks[i] = (struct ready_check){name, check, payload};
            return;
        }
    }
    abort(); /* a service with more checks raises CHECKS_MAX */
}

static bool all_ready(const struct backend *backend)
{
    for (const struct ready_check *check = backend->checks; check->name; check++)
        if (!check->check(check->payload))
            return false;
    return true;
}

static bool not_stopping(void *payload)
{
    (void)payload;
    return !service_stopping();
}

/* All names of this process; the service's own comes last, so that it says "ready" once. */
static bool announce(struct backend *backend, const char *address, struct err *err)
{
    const struct service_config *config = backend->options.config;
    for (struct announced *more = backend->announced; more < backend->announced + ANNOUNCED_MAX && more->service;
         more++) {
        if (!more->lease)
            more->lease = registry_announce(config->redis_url, more->service, config->instance, more->address,
                                            config->weight, err);
        if (!more->lease)
            return false;
    }
    backend->lease =
        registry_announce(config->redis_url, backend->options.name, config->instance, address, config->weight, err);
    return backend->lease != NULL;
}

/* Announces the instance once it is ready, then keeps the slot. */
static void *keep(void *payload)
{
    struct backend *backend = payload;
    const struct service_config *config = backend->options.config;
    const int64_t started_ms = clock_monotonic_ms();
    struct pollfd stop = {.fd = service_stop_fd(), .events = POLLIN};
    while (!atomic_load(&backend->keeper_stop)) {
        if (!backend->lease && all_ready(backend)) {
            struct err err = {0};
            const char *address = *config->advertise ? config->advertise : config->listen;
            if (!announce(backend, address, &err)) {
                log_err("announce_failed", &err);
            } else {
                log_event(LOG_INFO, "ready", LOG_TEXT("address", address),
                          LOG_I64("after_ms", clock_monotonic_ms() - started_ms), LOG_TEXT("profile", config->profile));
                (void)malloc_trim(0); /* reading compacted topics leaves holes that nothing else fills for long */
            }
        }
        slot_keep(backend);
        if (poll(&stop, 1, backend->lease ? KEEP_LOOK_MS : START_LOOK_MS) > 0)
            break;
    }
    return NULL;
}

static bool parts_start(struct backend *backend, const struct backend_parts *parts, struct err *err)
{
    const struct backend_options *options = &backend->options;
    const struct service_config *config = options->config;
    backend->relay = outbox_relay_start(backend->db, backend->producer, err);
    if (!backend->relay)
        return false;
    if (parts->listening) {
        backend->listener =
            kafka_listener_start(config->kafka_brokers, config->instance, parts->listening, parts->app, err);
        if (!backend->listener)
            return false;
    }
    if (parts->subscriptions) {
        backend->worker = kafka_worker_start(&(struct kafka_worker_options){.brokers = config->kafka_brokers,
                                                                            .group = options->name,
                                                                            .service = options->name,
                                                                            .slot = backend->slot,
                                                                            .subscriptions = parts->subscriptions,
                                                                            .app = parts->app,
                                                                            .producer = backend->producer},
                                             err);
        if (!backend->worker)
            return false;
    }
    backend->feed = auth_feed_start(
        &(struct auth_feed_options){
            .keys = backend->keys, .revoked = backend->revoked, .find = find_auth, .payload = backend},
        err);
    if (!backend->feed)
        return false;
    backend->http = http_server_start(&(struct http_options){.listen = config->listen,
                                                             .routes = parts->routes,
                                                             .quick = parts->quick,
                                                             .app = parts->app,
                                                             .tokens = backend->tokens,
                                                             .gateway_addresses = config->gateway_addresses,
                                                             .workers = (int)config->workers,
                                                             .queue = (int)config->queue,
                                                             .connections_max = parts->connections_max,
                                                             .metrics_prefix = parts->metrics_prefix},
                                      err);
    return backend->http != NULL;
}

static bool admin_start(struct backend *backend, const struct backend_parts *parts, struct err *err)
{
    add_check(backend, "serving", not_stopping, NULL);
    add_check(backend, "postgres", pg_pool_ready, backend->db);
    add_check(backend, "kafka", kafka_producer_ready, backend->producer);
    add_check(backend, "auth_feed", auth_feed_ready, backend->feed);
    add_check(backend, "registry", registry_watch_ready, backend->watch);
    if (backend->listener)
        add_check(backend, "listener", kafka_listener_ready, backend->listener);
    if (backend->worker)
        add_check(backend, "copies", kafka_worker_ready, backend->worker);
    for (const struct ready_check *check = parts->checks; check && check->name; check++)
        add_check(backend, check->name, check->check, check->payload);
    const struct service_config *config = backend->options.config;
    backend->admin = admin_server_start(config->admin_listen, backend->checks, NULL, NULL, config->profile, err);
    return backend->admin != NULL;
}

static void drain(struct backend *backend, const struct backend_parts *parts)
{
    for (size_t i = 0; i < ANNOUNCED_MAX; i++)
        if (backend->announced[i].lease)
            registry_drain(backend->announced[i].lease);
    registry_drain(backend->lease);
    if (parts->draining)
        parts->draining(parts->app);
    http_server_drain(backend->http);
    const int64_t until = clock_monotonic_ms() + backend->options.config->drain_seconds * 1000;
    log_event(LOG_INFO, "draining", LOG_I64("seconds", backend->options.config->drain_seconds));
    for (int64_t left; (left = until - clock_monotonic_ms()) > 0;)
        (void)poll(NULL, 0, (int)left);
}

static void parts_stop(struct backend *backend, const struct backend_parts *parts)
{
    if (parts->stopping)
        parts->stopping(parts->app);
    http_server_release(&backend->http);
    http_server_release(&backend->admin); /* its checks look at what ends next */
    kafka_listener_release(&backend->listener);
    kafka_worker_release(&backend->worker);
    outbox_relay_release(&backend->relay);
    for (size_t i = 0; i < ANNOUNCED_MAX; i++)
        registry_lease_release(&backend->announced[i].lease);
    registry_lease_release(&backend->lease);
    auth_feed_release(&backend->feed);
}

bool backend_serve(struct backend *backend, const struct backend_parts *parts, struct err *err)
{
    bool good = parts_start(backend, parts, err) && admin_start(backend, parts, err);
    if (good) {
        backend->keeper_runs = pthread_create(&backend->keeper, NULL, keep, backend) == 0;
        good = backend->keeper_runs || err_set_internal(err, &ERR_INTERNAL, "no thread for the keeper");
    }
    if (good)
        good = service_wait_for_stop(NULL, NULL, err);
    if (backend->keeper_runs) {
        atomic_store(&backend->keeper_stop, true);
        (void)pthread_join(backend->keeper, NULL);
    }
    if (good && backend->lease)
        drain(backend, parts);
    parts_stop(backend, parts);
    return good;
}
