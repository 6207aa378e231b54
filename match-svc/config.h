/* config.h - the settings of match-svc; README.md lists them. */
#ifndef MADANG_MATCH_CONFIG_H
#define MADANG_MATCH_CONFIG_H

#include "service.h"

struct match_config {
    struct service_config service;
    const char *db_url;
    int64_t db_connections;
    /* markets */
    int64_t snapshot_commands, snapshot_seconds;
    int64_t linger_seconds;           /* how long a closed market stays in memory */
    int64_t orders_max, accounts_max; /* of a market that is opened from now on */
    bool bundles;                     /* write several records in one message */
    /* sockets */
    const char *ws_listen, *ws_advertise;
    int64_t ws_connections_max;
    int64_t ws_output_max; /* bytes that may wait for a slow reader */
    int64_t slow_seconds;  /* a reader may be behind so long */
    /* what everybody may look at */
    int64_t depth_ms;           /* between two states of a company */
    int64_t feed_ms;            /* between two turns of telling viewers */
    int64_t depth_keep_seconds; /* how long a closed market's companies stay */
    int64_t depth_idle_days;    /* those of one that was never closed, after its last change */
};

extern const struct setting MATCH_SETTINGS[];

#endif
