/* config.h - the settings of notify-svc; README.md lists them. */
#ifndef MADANG_NOTIFY_CONFIG_H
#define MADANG_NOTIFY_CONFIG_H

#include "channels.h"
#include "service.h"

struct notify_config {
    struct service_config service;
    const char *db_url;
    const char *public_url; /* the gateway as clients see it */
    int64_t db_connections;
    int64_t keep_days;          /* notices */
    int64_t delivery_keep_days; /* rows of deliveries that are over */
    int64_t attempts_max;       /* of one delivery */
    int64_t backoff_ms;         /* before the second attempt; doubles */
    int64_t streams_max;        /* open at once on this instance */
    struct channels_config channels;
    int64_t beat_seconds, lease_seconds; /* of presence, for each stream */
};

extern const struct setting NOTIFY_SETTINGS[];

/* Cookies are Secure unless the public address is this machine. */
bool notify_config_secure_cookies(const struct notify_config *config);

#endif
