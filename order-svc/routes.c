#include "routes.h"

#include "api.h"
#include "app.h"
#include "catalog.h"
#include "entry.h"
#include "fresh.h"

const struct route ORDER_ROUTES[] = {
    /* method  path                  who may call  handler */
    {"POST", "/api/orders", AUTH_USER, order_create, 0},
    {"GET", "/api/orders", AUTH_USER, order_list, 0},
    {"DELETE", "/api/orders", AUTH_USER, order_cancel_all, 0},
    {"GET", "/api/orders/:id", AUTH_USER, order_view, 0},
    {"PATCH", "/api/orders/:id", AUTH_USER, order_amend, 0},
    {"DELETE", "/api/orders/:id", AUTH_USER, order_cancel, 0},
    {"GET", "/api/fills", AUTH_USER, fill_list, 0},
    {"GET", "/api/portfolio", AUTH_USER, portfolio_view, 0},
    {"GET", "/api/trades", AUTH_OPEN, trade_list, 0},
    {"GET", "/api/candles", AUTH_OPEN, candle_list, 0},
    {0},
};

const handler_fn ORDER_QUICK[] = {order_create, order_amend, order_cancel, NULL};

/* Whose verdict it is, and which markets there are: cheap for all that is others'. */
static void hear_market_events(void *app, const struct kafka_batch *batch)
{
    const struct order_app *order = app;
    for (size_t i = 0; i < batch->count; i++) {
        catalog_hear(order->catalog, batch->partition, batch->records[i].payload);
        entry_hear(order->pending, &batch->records[i]);
    }
    if (!batch->count)
        return;
    const struct kafka_record *last = &batch->records[batch->count - 1];
    struct fresh_news news = {
        .first_offset = batch->records[0].offset, .next_offset = last->offset + 1, .records = batch->count};
    int first_kind;
    if (!market_events_head(last->payload, &news.last, &first_kind)) /* a poison record is the workers' matter */
        news.last.command_offset = -1;
    news.last.command_offset -= last->unfinished != NULL; /* that offset is not answered yet */
    fresh_heard(order->fresh, batch->partition, &news);
}

const struct kafka_listening ORDER_LISTENING[] = {
    {.topic = TOPIC_MARKET_EVENTS, .hear = hear_market_events, .from = LISTEN_FROM_NOW},
    {0},
};
