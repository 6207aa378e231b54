#include "config.h"

const struct setting ORDER_SETTINGS[] = {
    SERVICE_SETTINGS(struct order_config, service, "7180", "7380", "8"),
    SETTING_SECRET(struct order_config, db_url, "ORDER_DB_URL", "PostgreSQL URL of role madang_order; never logged"),
    SETTING_I64(struct order_config, db_connections, "ORDER_DB_CONNECTIONS", "16", 1, 200,
                "connections to PostgreSQL; raised when the workers need more"),
    SETTING_I64(struct order_config, max_lag, "ORDER_MAX_LAG", "20000", 1, 10000000,
                "records of a market that may wait for settlement; beyond it new orders are refused with 503"),
    SETTING_BOOL(struct order_config, bundles, "KAFKA_BUNDLES", "on",
                 "several records of one market in one message; off while instances run that know none"),
    SETTING_I64(struct order_config, rounds_kept_days, "ROUNDS_KEPT_DAYS", "30", 1, 3650,
                "a round's orders, trades and ledger are deleted this long after its close"),
    {0},
};
