/* config.h - the gateway's settings; README.md lists them with their reasons. */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H

#include "service.h"

struct gateway_config {
    struct service_config service;
    int64_t threads; /* 0: one per core */
    const char *routes_file, *docs_dir, *openapi_file;
    const char *upstreams;       /* service=host:port,...: instances beside those of the registry */
    const char *cors_origins;    /* exact origins, comma-separated */
    const char *trusted_proxies; /* addresses or networks whose Forwarded headers are believed */
    const char *tls_cert_file, *tls_key_file;
    bool access_log;
    bool listen_shared;
    int64_t trace_percent;
    int64_t connections_max, connections_per_address, in_flight_max;
    int64_t header_timeout_ms, body_idle_ms, body_rate, keep_alive_ms, send_stall_ms, tunnel_idle_ms;
    int64_t connect_timeout_ms, upstream_idle_ms;
    int64_t address_rate, address_burst, user_rate, user_burst, failed_tokens_per_min, streams_per_user;
    int64_t token_cache, cache_kb;
};

extern const struct setting GATEWAY_SETTINGS[];

#endif
