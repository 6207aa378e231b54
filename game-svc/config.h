/* config.h - the settings of game-svc; README.md lists them. */
#ifndef MADANG_GAME_CONFIG_H
#define MADANG_GAME_CONFIG_H

#include "service.h"

struct game_config {
    struct service_config service;
    const char *db_url;
    int64_t db_connections;

    bool game; /* off: no new round begins */
    bool hold; /* the next round is opened and never closed */
    bool align;
    bool bots;
    bool size_rule;
    int64_t setup_seconds, open_seconds, break_seconds;
    int64_t companies, seed_cash, book_factor;
    int64_t news_seconds, refill_seconds, countdown_seconds;
    int64_t bot_strength; /* percent */
    int64_t bot_delay_ms, bot_gap_ms;
    int64_t result_wait_seconds;
};

extern const struct setting GAME_SETTINGS[];

#endif
