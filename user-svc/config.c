#include "config.h"

const struct setting USER_SETTINGS[] = {
    SERVICE_SETTINGS(struct user_config, service, "7120", "7320", "8"),
    SETTING_SECRET(struct user_config, db_url, "USER_DB_URL", "PostgreSQL URL of role madang_user; never logged"),
    SETTING_I64(struct user_config, db_connections, "USER_DB_CONNECTIONS", "12", 1, 200,
                "connections to PostgreSQL; raised when the workers need more"),
    SETTING_I64(struct user_config, friends_max, "FRIENDS_MAX", "5000", 1, 1000000, "friends of one person"),
    SETTING_I64(struct user_config, picture_grace_seconds, "PICTURE_GRACE_SECONDS", "60", 0, 86400,
                "a replaced picture can still be read this long"),
    OBJSTORE_SETTINGS(struct user_config, files),
    {0},
};
