/* config.h - the settings of chat-svc; README.md lists them. */
#ifndef MADANG_CHAT_CONFIG_H
#define MADANG_CHAT_CONFIG_H

#include "objstore.h"
#include "service.h"

struct chat_config {
    struct service_config service;
    const char *db_url;
    int64_t db_connections;
    bool friends_only; /* DMs and groups need friendship */
    bool lane;         /* lane.h */
    struct objstore_config files;
    /* sockets */
    const char *ws_listen, *ws_advertise;
    int64_t ws_connections_max;
    int64_t ws_output_max;               /* bytes that may wait for a slow reader */
    int64_t ws_gather_ms;                /* between two rounds of writing */
    int64_t connect_seconds;             /* to send CONNECT */
    int64_t ws_beat_ms;                  /* heart-beats that we offer and ask for */
    int64_t beat_seconds, lease_seconds; /* presence */
    int64_t verdict_ms;                  /* how long a send waits for its verdict */
};

extern const struct setting CHAT_SETTINGS[];

#endif
