#include "config.h"

#include <string.h>

const struct setting NOTIFY_SETTINGS[] = {
    SERVICE_SETTINGS(struct notify_config, service, "7160", "7360", "8"),
    SETTING_SECRET(struct notify_config, db_url, "NOTIFY_DB_URL", "PostgreSQL URL of role madang_notify; never logged"),
    SETTING_TEXT(struct notify_config, public_url, "PUBLIC_URL", "http://localhost:8080",
                 "the gateway as clients see it; localhost: cookies without Secure"),
    SETTING_I64(struct notify_config, db_connections, "NOTIFY_DB_CONNECTIONS", "24", 1, 200,
                "connections to PostgreSQL; raised when the workers need more"),
    SETTING_I64(struct notify_config, keep_days, "NOTIFY_KEEP_DAYS", "90", 8, 3650, "notices are kept this long"),
    SETTING_I64(struct notify_config, delivery_keep_days, "NOTIFY_DELIVERY_KEEP_DAYS", "14", 8, 3650,
                "what became of each delivery is kept this long"),
    SETTING_I64(struct notify_config, attempts_max, "NOTIFY_ATTEMPTS_MAX", "60", 1, 1000,
                "attempts of one delivery before it is a dead letter"),
    SETTING_I64(struct notify_config, backoff_ms, "NOTIFY_BACKOFF_MS", "1000", 10, 600000,
                "wait before the second attempt; doubles up to 5 min, with jitter"),
    SETTING_I64(struct notify_config, streams_max, "NOTIFY_STREAMS_MAX", "20000", 1, 1000000,
                "event streams open at once on this instance"),
    SETTING_I64(struct notify_config, beat_seconds, "PRESENCE_BEAT_SECONDS", "30", 1, 3600,
                "a stream says this often that it is open"),
    SETTING_I64(struct notify_config, lease_seconds, "PRESENCE_LEASE_SECONDS", "90", 1, 3600,
                "without a beat a stream counts as closed after this"),
    CHANNELS_SETTINGS(struct notify_config, channels),
    {0},
};

bool notify_config_secure_cookies(const struct notify_config *config)
{
    static const char *const LOCAL[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};
    for (size_t i = 0; i < sizeof LOCAL / sizeof LOCAL[0]; i++) {
        const size_t length = strlen(LOCAL[i]);
        if (strncmp(config->public_url, LOCAL[i], length) == 0 && strchr(":/", config->public_url[length]))
            return false; /* strchr also finds the NUL: the bare host */
    }
    return true;
}
