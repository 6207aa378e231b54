#include "config.h"

#define TEXT(member, name, value, help) SETTING_TEXT(struct gateway_config, member, name, value, help)
#define I64(member, name, value, min, max, help) SETTING_I64(struct gateway_config, member, name, value, min, max, help)
#define BOOL(member, name, value, help) SETTING_BOOL(struct gateway_config, member, name, value, help)

const struct setting GATEWAY_SETTINGS[] = {
    SERVICE_SETTINGS(struct gateway_config, service, "8080", "9080", "4"),
    I64(threads, "THREADS", "0", 0, 128, "threads that carry connections; 0: one per core"),
    TEXT(routes_file, "ROUTES_FILE", "", "prefixes and their services; empty: the built-in table"),
    TEXT(docs_dir, "DOCS_DIR", "", "folder of the files served below /docs; empty: 404"),
    TEXT(openapi_file, "OPENAPI_FILE", "", "file served as /openapi.yaml; empty: openapi.yaml of DOCS_DIR"),
    TEXT(upstreams, "UPSTREAMS", "", "service=host:port,...: instances beside those of the registry"),
    TEXT(cors_origins, "CORS_ORIGINS", "",
         "origins whose pages may call, comma-separated; in dev any localhost port too"),
    TEXT(trusted_proxies, "TRUSTED_PROXIES", "",
         "addresses or networks (a.b.c.d/n) whose Forwarded headers are believed"),
    TEXT(tls_cert_file, "TLS_CERT_FILE", "", "certificate chain (PEM); with TLS_KEY_FILE the public side speaks TLS"),
    TEXT(tls_key_file, "TLS_KEY_FILE", "", "its private key (PEM)"),
    BOOL(access_log, "ACCESS_LOG", "on", "one JSON line per request on standard error"),
    I64(connections_max, "MAX_CONNECTIONS", "16384", 1, 1000000, "open client connections"),
    I64(connections_per_address, "MAX_CONNECTIONS_PER_ADDRESS", "512", 1, 1000000,
        "open connections of one address (not in bench)"),
    I64(in_flight_max, "MAX_IN_FLIGHT", "2048", 1, 1000000, "requests that one thread carries at once; more get 503"),
    I64(header_timeout_ms, "HEADER_TIMEOUT_MS", "10000", 10, 3600000, "for a request's head to arrive"),
    I64(body_idle_ms, "BODY_IDLE_MS", "30000", 10, 3600000, "between two pieces of a request's body"),
    I64(body_rate, "BODY_RATE", "512", 0, 1000000, "bytes a second that a body must bring, over BODY_IDLE_MS"),
    I64(keep_alive_ms, "KEEP_ALIVE_MS", "60000", 10, 3600000, "an idle connection is kept"),
    I64(send_stall_ms, "SEND_STALL_MS", "30000", 10, 3600000, "for a client to take something of what it asked for"),
    I64(tunnel_idle_ms, "TUNNEL_IDLE_MS", "300000", 10, 86400000, "a tunnel or stream without a byte is kept"),
    I64(connect_timeout_ms, "CONNECT_TIMEOUT_MS", "1000", 10, 60000, "for an instance to take a connection"),
    I64(upstream_idle_ms, "UPSTREAM_IDLE_MS", "20000", 10, 3600000, "an idle connection to an instance is kept"),
    I64(address_rate, "ADDRESS_RATE", "100", 1, 100000, "requests a second and address (not in bench)"),
    I64(address_burst, "ADDRESS_BURST", "200", 1, 1000000, "requests at once of an address (not in bench)"),
    I64(user_rate, "USER_RATE", "200", 1, 100000, "requests a second and user"),
    I64(user_burst, "USER_BURST", "400", 1, 1000000, "requests at once of a user"),
    I64(failed_tokens_per_min, "FAILED_TOKENS_PER_MIN", "50", 1, 100000,
        "wrong tokens a minute and address (not in bench)"),
    I64(streams_per_user, "STREAMS_PER_USER", "20", 1, 100000, "open streams and sockets of a user"),
    I64(token_cache, "TOKEN_CACHE", "16384", 0, 1048576, "verified tokens that each thread remembers"),
    I64(cache_kb, "CACHE_KB", "4096", 0, 1048576, "kept answers of each thread, in KiB"),
    {0},
};
