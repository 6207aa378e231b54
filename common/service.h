/* service.h - the part of main() that all daemons share: arguments, settings, signals, the long wait, the drain.
 * One per process. */
#ifndef MADANG_SERVICE_H
#define MADANG_SERVICE_H

#include "config.h"
#include "errors.h"

/* Settings that every daemon has: embed as the member `service` and list SERVICE_SETTINGS(struct x_config, service). */
struct service_config {
    const char *listen;       /* host:port of the public side */
    const char *admin_listen; /* host:port of /healthz, /readyz, /metrics; never public */
    const char *advertise;    /* host:port told to the registry; "" = listen */
    const char *instance;     /* id in the registry and the log; "" = host name and random */
    const char *log_level;
    const char *profile; /* dev, bench, production */
    const char *redis_url;
    const char *kafka_brokers;
    const char *auth_url;          /* address of auth-svc when there is no registry; "" = ask the registry */
    const char *gateway_addresses; /* peers whose X-Forwarded-For is believed: comma-separated addresses */
    const char *otlp_url;          /* of a collector for traces; "" = none */
    const char *sentry_dsn;        /* of an error tracker; "" = none */
    int64_t instance_slot;         /* 0: take the lowest free number */
    int64_t weight;                /* its share of the requests, beside those of others */
    int64_t drain_seconds;         /* goes on serving this long after SIGTERM */
    int64_t workers;               /* threads that run handlers */
    int64_t queue;                 /* requests that may wait for a worker; more get 503 */
};

#define SERVICE_SETTINGS(type, member, default_port, default_admin_port, default_workers)                              \
    SETTING_TEXT(type, member.listen, "LISTEN", "127.0.0.1:" default_port, "host:port this service listens on"),       \
        SETTING_TEXT(type, member.admin_listen, "ADMIN_LISTEN", "127.0.0.1:" default_admin_port,                       \
                     "host:port of /healthz, /readyz and /metrics; never public"),                                     \
        SETTING_TEXT(type, member.advertise, "ADVERTISE", "",                                                          \
                     "host:port told to the registry; empty: LISTEN, of 0.0.0.0 this host's own"),                     \
        SETTING_TEXT(type, member.instance, "INSTANCE", "", "instance id; empty: host name and a random part"),        \
        SETTING_TEXT(type, member.log_level, "LOG_LEVEL", "info", "debug, info, warn or error"),                       \
        SETTING_TEXT(type, member.profile, "PROFILE", "production",                                                    \
                     "production, dev, or bench (no limits per address)"),                                             \
        SETTING_TEXT(type, member.redis_url, "REDIS_URL", "redis://127.0.0.1:6379",                                    \
                     "Redis: the registry and counters"),                                                              \
        SETTING_TEXT(type, member.kafka_brokers, "KAFKA_BROKERS", "127.0.0.1:9092", "Kafka brokers, host:port,..."),   \
        SETTING_TEXT(type, member.auth_url, "AUTH_URL", "", "auth-svc as http://host:port; empty: by the registry"),   \
        SETTING_TEXT(type, member.gateway_addresses, "GATEWAY_ADDRESSES", "127.0.0.1,::1",                             \
                     "peers whose X-Forwarded-For and X-Request-Id are believed"),                                     \
        SETTING_TEXT(type, member.otlp_url, "OTLP_URL", "",                                                            \
                     "collector for traces, http://host:4318/v1/traces (OTLP/HTTP, JSON); empty: none"),               \
        SETTING_SECRET_OPTIONAL(type, member.sentry_dsn, "SENTRY_DSN",                                                 \
                                "error tracker (Sentry's protocol), scheme://key@host/project; empty: none"),          \
        SETTING_I64(type, member.instance_slot, "INSTANCE_SLOT", "0", 0, 999,                                          \
                    "slot for Kafka membership; 0: lowest free"),                                                      \
        SETTING_I64(type, member.weight, "WEIGHT", "100", 1, 1000,                                                     \
                    "its share of the service's requests beside those of the other instances; a canary: 5"),           \
        SETTING_I64(type, member.drain_seconds, "DRAIN_SECONDS", "6", 0, 300, "serves on this long after SIGTERM"),    \
        SETTING_I64(type, member.workers, "WORKERS", default_workers, 1, 256, "threads that run handlers"),            \
        SETTING_I64(type, member.queue, "QUEUE", "1024", 1, 65536, "requests that may wait for a worker")

/* Parses --help, --version and --health (asks the process with the same settings; status 0 or 1), loads settings
 * (config_load into `config`), opens the log, blocks SIGTERM, SIGINT and SIGHUP, ignores SIGPIPE, fixes a missing
 * instance id, raises RLIMIT_NOFILE, calls run. The exit status for main(). `common` points into *config. */
int service_main(const char *name, int argc, char **argv, const struct setting *settings, void *config,
                 struct service_config *common, bool (*run)(void *config, struct err *err));

/* Waits for SIGTERM or SIGINT, or for service_fail(). True for a signal; false with the reason of service_fail.
 * on_reload (may be NULL) runs on this thread at each SIGHUP. */
bool service_wait_for_stop(void (*on_reload)(void *payload), void *payload, struct err *err);

/* Ends the process's wait from any thread: a fenced or fatal consumer. Only the first reason counts. */
void service_fail(const char *reason_format, ...) __attribute__((format(printf, 1, 2)));

/* For waits of our own: readable (POLLIN) once the service was told to stop. */
int service_stop_fd(void);
bool service_stopping(void);

/* Where others reach what listens at `address`: the same, but for the wildcards 0.0.0.0 and [::], which become this
 * host's own address (of its name: containers and pods have one). ERR_BAD_INPUT when there is none. */
bool service_reachable_address(const char *address, char out[96], struct err *err);
/* GET /healthz of the process that listens there, within 2 s: what --health does. */
bool service_ask_health(const char *admin_listen, struct err *err);

/* Splits "host:port" or "[v6]:port"; ERR_BAD_INPUT otherwise. `host` has room for 64 bytes. */
bool service_split_address(const char *address, char host[64], int *port, struct err *err);

#endif
