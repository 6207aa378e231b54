/* config.h - the settings of order-svc; README.md lists them. */
#ifndef MADANG_ORDER_CONFIG_H
#define MADANG_ORDER_CONFIG_H

#include "service.h"

struct order_config {
    struct service_config service;
    const char *db_url;
    int64_t db_connections;
    int64_t max_lag;          /* events that may wait for settlement; more: POST answers 503 */
    bool bundles;             /* write several commands in one message */
    int64_t rounds_kept_days; /* then a round leaves the schema */
};

extern const struct setting ORDER_SETTINGS[];

#endif
