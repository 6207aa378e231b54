#include "events.h"

#include "topics.h"

const char *const ORDER_TOPICS[] = {TOPIC_ACCOUNTS, TOPIC_MARKET_COMMANDS, TOPIC_MARKET_EVENTS, TOPIC_GAME_EVENTS,
                                    NULL};

const struct kafka_subscription ORDER_SUBSCRIPTIONS[] = {
    {0},
};
