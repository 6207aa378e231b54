#include "config.h"

#include "market.h"

_Static_assert(MARKET_COMPANIES_MAX == 16, "the bound of GAME_COMPANIES");

const struct setting GAME_SETTINGS[] = {
    SERVICE_SETTINGS(struct game_config, service, "7190", "7390", "4"),
    SETTING_SECRET(struct game_config, db_url, "GAME_DB_URL", "PostgreSQL URL of role madang_game; never logged"),
    SETTING_I64(struct game_config, db_connections, "GAME_DB_CONNECTIONS", "8", 1, 200,
                "connections to PostgreSQL; raised when the workers need more"),
    SETTING_BOOL(struct game_config, game, "GAME", "on", "off: the running round is ended, no new one begins"),
    SETTING_BOOL(struct game_config, hold, "GAME_HOLD", "off",
                 "on: a fresh round is opened at once and stays open, without a clock"),
    SETTING_BOOL(struct game_config, align, "GAME_ALIGN", "off", "rounds begin at multiples of their length"),
    SETTING_I64(struct game_config, setup_seconds, "GAME_SETUP_SECONDS", "60", 1, 86400, "from set-up to trading"),
    SETTING_I64(struct game_config, open_seconds, "GAME_OPEN_SECONDS", "300", 1, 86400, "trading"),
    SETTING_I64(struct game_config, break_seconds, "GAME_BREAK_SECONDS", "360", 1, 86400, "from close to next set-up"),
    SETTING_I64(struct game_config, companies, "GAME_COMPANIES", "3", 1, 16, "companies of a round"),
    SETTING_I64(struct game_config, seed_cash, "GAME_SEED_CASH", "10000000", 10000, 1000000000000,
                "won that everybody starts a round with"),
    SETTING_I64(struct game_config, book_factor, "GAME_BOOK_FACTOR", "1000", 1, 100000,
                "opening book: up to this / (price / 10,000) shares at each price"),
    SETTING_BOOL(struct game_config, size_rule, "GAME_SIZE_RULE", "off",
                 "orders must be smaller than all that rests on the other side"),
    SETTING_BOOL(struct game_config, bots, "GAME_BOTS", "on", "bots refill the book and follow the news"),
    SETTING_I64(struct game_config, bot_strength, "GAME_BOT_STRENGTH", "100", 1, 1000,
                "size of the bots' orders, in percent"),
    SETTING_I64(struct game_config, refill_seconds, "GAME_REFILL_SECONDS", "2", 1, 3600, "between two refills"),
    SETTING_I64(struct game_config, news_seconds, "GAME_NEWS_SECONDS", "10", 1, 3600, "between two news lines"),
    SETTING_I64(struct game_config, bot_delay_ms, "GAME_BOT_DELAY_MS", "3000", 0, 60000,
                "from a news line to the bots' first order: this, or up to two thirds more"),
    SETTING_I64(struct game_config, bot_gap_ms, "GAME_BOT_GAP_MS", "1500", 0, 60000,
                "between two of the six orders that follow a news line"),
    SETTING_I64(struct game_config, countdown_seconds, "GAME_COUNTDOWN_SECONDS", "15", 1, 3600,
                "between two announcements of the time left"),
    SETTING_I64(struct game_config, result_wait_seconds, "GAME_RESULT_WAIT_SECONDS", "60", 0, 86400,
                "the next round waits so long for the result of the last one; then the result comes later"),
    {0},
};
