#include "config.h"

const struct setting PRESENCE_SETTINGS[] = {
    SERVICE_SETTINGS(struct presence_config, service, "7140", "7340", "4"),
    SETTING_SECRET(struct presence_config, db_url, "PRESENCE_DB_URL",
                   "PostgreSQL URL of role madang_presence; never logged"),
    SETTING_I64(struct presence_config, db_connections, "PRESENCE_DB_CONNECTIONS", "8", 1, 200,
                "connections to PostgreSQL; raised when the workers need more"),
    SETTING_I64(struct presence_config, lease_seconds, "PRESENCE_LEASE_SECONDS", "90", 1, 3600,
                "a connection that is silent for so long is over; signals may ask for less"),
    SETTING_I64(struct presence_config, down_seconds, "PRESENCE_DOWN_SECONDS", "5", 0, 60,
                "goes offline so long after the last connection's close"),
    {0},
};
