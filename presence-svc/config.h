/* config.h - the settings of presence-svc; README.md lists them. */
#ifndef MADANG_PRESENCE_CONFIG_H
#define MADANG_PRESENCE_CONFIG_H

#include "service.h"

struct presence_config {
    struct service_config service;
    const char *db_url;
    int64_t db_connections;
    int64_t lease_seconds; /* a connection's lease is at most this long */
    int64_t down_seconds;  /* a user goes so long after the last connection's close */
};

extern const struct setting PRESENCE_SETTINGS[];

#endif
