/* backend.h - what every service behind the gateway is made of, wired once: pool and migrations, Redis and registry,
 * token checks, producer and outbox relay, workers, HTTP and admin servers, and the order in which they start and stop.
 *
 *     AUTO(backend) backend = backend_open(&options, err);     // stores answer, schema is current, tokens can be
 * checked app.db = backend_db(backend); return backend && backend_serve(backend, &parts, err);   // until SIGTERM; then
 * drains and stops in order
 *
 * Start: listeners, workers, HTTP; announced once all checks are true. Stop: registry says draining (all names);
 * parts.draining, and streams end; DRAIN_SECONDS of serving with Connection: close; HTTP ends what is in flight;
 * listeners end; workers leave their group; the relay sends what is left; the producer flushes; the registry key goes;
 * pools close. */
#ifndef MADANG_BACKEND_H
#define MADANG_BACKEND_H

#include "http.h"
#include "kafka.h"
#include "migrate.h"
#include "outbox.h"
#include "pg.h"
#include "redis.h"
#include "registry.h"
#include "service.h"
#include "ticket.h"

struct backend;

struct backend_options {
    const char *name; /* "user-svc" */
    const struct service_config *config;
    const char *db_url, *schema;
    int db_connections; /* raised to the number of workers when lower (a worker never waits for a connection) */
    const struct migration *migrations;
    const char *const *topics; /* NULL-ended: those it reads or writes, created when missing */
    bool is_auth;              /* auth-svc: follows itself for keys and revocations */
};

struct backend *backend_open(const struct backend_options *options, struct err *err);
void backend_release(struct backend **backend);

struct pg_pool *backend_db(struct backend *backend);
struct redis *backend_redis(struct backend *backend);
struct registry_watch *backend_watch(struct backend *backend);
struct kafka_producer *backend_producer(struct backend *backend);
struct outbox_relay *backend_relay(struct backend *backend);
struct keyset *backend_keys(struct backend *backend);
struct token_verifier *backend_tokens(struct backend *backend); /* of access tokens: sockets check their own */
struct revoked *backend_revoked(struct backend *backend);       /* lent: sessions that have ended, as auth-svc says */
int backend_slot(const struct backend *backend);                /* INSTANCE_SLOT, or the lowest free one */

/* Verifies and spends tickets of sockets and streams (ticket.h). Lent; made at the first call, NULL with err when that
 * fails. */
struct ticket_gate *backend_tickets(struct backend *backend, struct err *err);
/* Announces a second address of this process under another name ("chat-ws": its sockets), beside the service's own:
 * from when it is ready until it drains. Before backend_serve(). The texts are copied. */
bool backend_announce(struct backend *backend, const char *service, const char *address, struct err *err);

struct backend_parts {
    const struct route *routes;
    const handler_fn *quick;                 /* http_options.quick; may be NULL */
    const struct kafka_listening *listening; /* topics that every instance hears; may be NULL */
    void (*draining)(
        void *app); /* after the registry says so, before HTTP ends: sockets stop taking new ones; may be NULL */
    void (*stopping)(
        void *app);      /* after the drain time, before HTTP, listeners and workers end: sockets close; may be NULL */
    int connections_max; /* of HTTP; 0: http.h's default */
    const struct kafka_subscription *subscriptions; /* may be NULL */
    const struct ready_check *checks;               /* more than the backend's own; may be NULL */
    const char *metrics_prefix;
    void *app;
};
/* True after a stop by signal; false when it could not start or service_fail() was called. */
bool backend_serve(struct backend *backend, const struct backend_parts *parts, struct err *err);

#endif
