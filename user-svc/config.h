/* config.h - the settings of user-svc; README.md lists them. */
#ifndef MADANG_USER_CONFIG_H
#define MADANG_USER_CONFIG_H

#include "objstore.h"
#include "service.h"

struct user_config {
    struct service_config service;
    const char *db_url;
    int64_t db_connections;
    int64_t friends_max;           /* of one person */
    int64_t picture_grace_seconds; /* a replaced picture can still be read this long */
    struct objstore_config files;
};

extern const struct setting USER_SETTINGS[];

#endif
