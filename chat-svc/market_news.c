#include "market_news.h"

#include "json.h"
#include "mem.h"
#include "ratio.h"

struct news {
    struct arena *arena;
    const struct market_events *record;
    const struct market_companies *companies;
    bool (*is_here)(void *payload, const struct uuid *user);
    void *payload;
    struct market_lines *out;
};

static const char *const SIDES[] = {"buy", "sell"};
static const char *const TYPES[] = {"limit", "market"};
static const char *const TIFS[] = {"gtc", "ioc", "fok"};

static void put_uuid(struct str *out, const char *name, const struct uuid *id)
{
    char text[UUID_TEXT_BYTES];
    uuid_format(id, text);
    json_text(out, name, text);
}

/* NULL: the market was not announced yet. */
static const char *company_id(const struct news *news, uint8_t company)
{
    return company < news->companies->count && *news->companies->ids[company] ? news->companies->ids[company] : NULL;
}

static void begin(const struct news *news, struct str *out, const char *type, int64_t seq)
{
    json_open(out, NULL, '{');
    json_text(out, "type", type);
    put_uuid(out, "market", &news->record->market);
    json_i64(out, "seq", seq);
    json_time(out, "at", news->record->at_ms);
    json_open(out, type, '{');
}

static void tell(struct news *news, const struct uuid *user, struct str *body)
{
    struct market_lines *out = news->out;
    json_close(body, '}');
    json_close(body, '}');
    if (out->count == out->room) {
        out->room = out->room ? out->room * 2 : 16;
        struct market_line *grown = arena_alloc(news->arena, out->room * sizeof *grown);
        if (out->count)
            memcpy(grown, out->items, out->count * sizeof *grown);
        out->items = grown;
    }
    out->items[out->count++] =
        (struct market_line){*user, arena_bytes(news->arena, body->bytes, body->length), body->length};
}

/* ---- orders ---- */

static const char *status_of(const struct market_event *event)
{
    switch (event->kind) {
    case MARKET_REJECTED:
        return "rejected";
    case MARKET_DONE:
        return event->order.reason == REASON_FILLED ? "filled" : "cancelled";
    default:
        return event->order.filled > 0 ? "partial" : "open";
    }
}

static void put_order(const struct news *news, struct str *out, const struct market_event *event)
{
    const struct market_order *order = &event->order.order;
    const int64_t filled = event->order.filled;
    put_uuid(out, "id", &order->order_id);
    if (order->client_order_id.length) {
        json_text(out, "client_order_id",
                  arena_bytes(news->arena, order->client_order_id.bytes, order->client_order_id.length));
    }
    json_text(out, "company_id", company_id(news, order->company));
    json_text(out, "side", SIDES[order->side == SIDE_SELL]);
    json_text(out, "type", TYPES[order->type == TYPE_MARKET]);
    json_text(out, "time_in_force", TIFS[order->tif <= TIF_FOK ? order->tif : TIF_GTC]);
    json_bool(out, "post_only", order->post_only);
    if (order->price > 0)
        json_i64(out, "price", order->price);
    json_i64(out, "quantity", order->quantity);
    json_i64(out, "remaining", event->order.remaining);
    json_i64(out, "filled", filled);
    if (filled > 0)
        ratio_json_average(out, "average_price", event->order.paid, filled);
    json_text(out, "status", status_of(event));
    if (event->order.reason != REASON_NONE)
        json_text(out, "reason", market_reason_name((enum market_reason)event->order.reason));
}

static bool ends_later(const struct news *news, uint32_t from, const struct uuid *order_id)
{
    for (uint32_t i = from; i < news->record->count; i++) {
        const struct market_event *event = &news->record->events[i];
        if (event->kind == MARKET_DONE && memcmp(&event->order.order.order_id, order_id, sizeof *order_id) == 0)
            return true;
    }
    return false;
}

/* A refused change or cancel leaves the order as it was: that is for who asked, in the reply. */
static bool is_told(const struct news *news, uint32_t at)
{
    const struct market_event *event = &news->record->events[at];
    switch (event->kind) {
    case MARKET_ACCEPTED:
    case MARKET_AMENDED:
        return !ends_later(news, at + 1, &event->order.order.order_id);
    case MARKET_REJECTED:
        return event->order.command == MARKET_PLACE;
    default:
        return event->kind == MARKET_DONE;
    }
}

static void tell_order(struct news *news, uint32_t at)
{
    const struct market_event *event = &news->record->events[at];
    const struct market_order *order = &event->order.order;
    if (order->bot || !is_told(news, at) || !news->is_here(news->payload, &order->account))
        return;
    AUTO_STR body = {0};
    begin(news, &body, "order", event->seq);
    put_order(news, &body, event);
    tell(news, &order->account, &body);
}

/* ---- fills ---- */

static void tell_fill(struct news *news, const struct market_event *event, bool maker)
{
    const struct uuid *user = maker ? &event->trade.maker : &event->trade.taker;
    if (!news->is_here(news->payload, user))
        return;
    const char *company = company_id(news, event->trade.company);
    const bool sells = (event->trade.taker_side == SIDE_SELL) != maker;
    AUTO_STR body = {0};
    begin(news, &body, "fill", event->seq);
    if (company) /* as GET /api/fills has it */
        json_text(&body, "id", arena_printf(news->arena, "%s:%lld", company, (long long)event->trade.number));
    json_i64(&body, "number", event->trade.number);
    put_uuid(&body, "order_id", maker ? &event->trade.maker_order : &event->trade.taker_order);
    json_text(&body, "company_id", company);
    json_text(&body, "side", SIDES[sells]);
    json_i64(&body, "price", event->trade.price);
    json_i64(&body, "quantity", event->trade.quantity);
    json_i64(&body, "remaining", maker ? event->trade.maker_remaining : event->trade.taker_remaining);
    json_bool(&body, "maker", maker);
    tell(news, user, &body);
}

void market_news(struct arena *arena, const struct market_events *record, const struct market_companies *companies,
                 bool (*is_here)(void *payload, const struct uuid *user), void *payload, struct market_lines *out)
{
    struct news news = {arena, record, companies, is_here, payload, out};
    for (uint32_t i = 0; i < record->count; i++) {
        const struct market_event *event = &record->events[i];
        switch (event->kind) {
        case MARKET_TRADE:
            tell_fill(&news, event, true);
            tell_fill(&news, event, false);
            break;
        case MARKET_ACCEPTED:
        case MARKET_AMENDED:
        case MARKET_REJECTED:
        case MARKET_DONE:
            tell_order(&news, i);
            break;
        default:
            break;
        }
    }
}
