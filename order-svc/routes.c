#include "routes.h"

const struct route ORDER_ROUTES[] = {
    {0},
};

const struct kafka_listening ORDER_LISTENING[] = {
    {0},
};
