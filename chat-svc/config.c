#include "config.h"

const struct setting CHAT_SETTINGS[] = {
    SERVICE_SETTINGS(struct chat_config, service, "7130", "7330", "8"),
    SETTING_SECRET(struct chat_config, db_url, "CHAT_DB_URL", "PostgreSQL URL of role madang_chat; never logged"),
    SETTING_I64(struct chat_config, db_connections, "CHAT_DB_CONNECTIONS", "16", 1, 200,
                "connections to PostgreSQL; raised when the workers need more"),
    SETTING_BOOL(struct chat_config, friends_only, "CHAT_FRIENDS_ONLY", "on",
                 "direct rooms and groups take only friends"),
    SETTING_TEXT(struct chat_config, ws_listen, "WS_LISTEN", "127.0.0.1:0",
                 "host:port of the sockets; port 0: any free one"),
    SETTING_TEXT(struct chat_config, ws_advertise, "WS_ADVERTISE", "",
                 "host:port of the sockets told to the registry; empty: WS_LISTEN"),
    SETTING_I64(struct chat_config, ws_connections_max, "WS_CONNECTIONS_MAX", "20000", 1, 1000000,
                "sockets of this instance"),
    SETTING_I64(struct chat_config, ws_output_max, "WS_OUTPUT_MAX", "262144", 4096, 16777216,
                "bytes that may wait for a slow reader before it is cut"),
    SETTING_I64(
        struct chat_config, ws_gather_ms, "WS_GATHER_MS", "0", 0, 1000,
        "least time between two rounds of writing to sockets: frames that come meanwhile share a write; a frame "
        "after a silence leaves at once"),
    SETTING_I64(struct chat_config, connect_seconds, "WS_CONNECT_SECONDS", "10", 1, 300, "time to send CONNECT"),
    SETTING_I64(struct chat_config, ws_beat_ms, "WS_BEAT_MS", "10000", 1000, 600000,
                "heart-beats of STOMP, both ways; three missing ones end a socket"),
    SETTING_I64(struct chat_config, beat_seconds, "PRESENCE_BEAT_SECONDS", "30", 1, 3600,
                "how often open sockets tell presence"),
    SETTING_I64(struct chat_config, lease_seconds, "PRESENCE_LEASE_SECONDS", "90", 2, 7200,
                "how long presence believes a silent socket"),
    SETTING_I64(struct chat_config, verdict_ms, "CHAT_VERDICT_MS", "5000", 100, 30000,
                "how long a change waits for its verdict before 202"),
    OBJSTORE_SETTINGS(struct chat_config, files),
    {0},
};
