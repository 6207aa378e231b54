#include "config.h"

#define PUSH_I64(member, name, standard, min, max, help)                                                               \
    SETTING_I64(struct push_config, member, name, standard, min, max, help)

const struct setting PUSH_SETTINGS[] = {
    SERVICE_SETTINGS(struct push_config, service, "7150", "7350", "4"),
    SETTING_SECRET(struct push_config, db_url, "PUSH_DB_URL", "PostgreSQL URL of role madang_push; never logged"),
    PUSH_I64(db_connections, "PUSH_DB_CONNECTIONS", "10", 1, 200,
             "connections to PostgreSQL; raised when the workers need more"),
    SETTING_SECRET_OPTIONAL(
        struct push_config, fcm_credentials, "FCM_CREDENTIALS",
        "service account of FCM as JSON (or FCM_CREDENTIALS_FILE); empty: tokens get nothing, the local sink does"),
    SETTING_TEXT(struct push_config, fcm_url, "FCM_URL", "https://fcm.googleapis.com", "where FCM answers"),
    SETTING_SECRET_OPTIONAL(
        struct push_config, vapid_private_key, "VAPID_PRIVATE_KEY",
        "P-256 private key as base64url of 32 bytes; empty: subscriptions get nothing, the local sink does"),
    SETTING_TEXT(struct push_config, vapid_subject, "VAPID_SUBJECT", "mailto:push@madang.local",
                 "whom a push service may write to: mailto: or https:"),
    SETTING_TEXT(struct push_config, web_hosts, "PUSH_WEB_HOSTS",
                 "fcm.googleapis.com,*.push.services.mozilla.com,*.push.apple.com,*.notify.windows.com",
                 "hosts of subscriptions; *.x: any below x; *: any with a public address"),
    SETTING_TEXT(struct push_config, ca_file, "PUSH_CA_FILE", "", "certificates to believe; empty: the system's"),
    SETTING_BOOL(struct push_config, allow_inner, "PUSH_ALLOW_INNER", "off",
                 "tests only: subscriptions may point to loopback and to any port"),
    PUSH_I64(per_minute, "PUSH_PER_MINUTE", "600000", 1, 100000000,
             "FCM sends a minute, of this process: the project's quota divided by the instances"),
    PUSH_I64(streams, "PUSH_STREAMS", "100", 1, 1000, "sends in flight at once, for FCM and for web push each"),
    PUSH_I64(send_timeout_ms, "PUSH_SEND_TIMEOUT_MS", "15000", 100, 60000, "one send at most"),
    PUSH_I64(claim_seconds, "PUSH_CLAIM_SECONDS", "60", 1, 3600,
             "after this another instance takes over what one has in hand"),
    PUSH_I64(backoff_ms, "PUSH_BACKOFF_MS", "10000", 10, 3600000,
             "delay after the first failure of a provider; doubles"),
    PUSH_I64(quota_backoff_ms, "PUSH_QUOTA_BACKOFF_MS", "60000", 10, 3600000,
             "least delay when a quota is used up and no Retry-After says more"),
    PUSH_I64(queue_max, "PUSH_QUEUE_MAX", "100000", 1, 10000000,
             "sends that may wait; beyond, the oldest of low value goes"),
    PUSH_I64(devices_max, "PUSH_DEVICES_MAX", "20", 1, 100,
             "devices of one user; beyond, the one put longest ago goes"),
    PUSH_I64(presence_wait_ms, "PUSH_PRESENCE_WAIT_MS", "2000", 0, 60000,
             "a user who seems to be online is looked at again after this, then gets nothing"),
    PUSH_I64(keep_hours, "PUSH_KEEP_HOURS", "48", 25, 8760,
             "finished sends and what makes a request known stay this long (topic: 24 h)"),
    {0},
};
