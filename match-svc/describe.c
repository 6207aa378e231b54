#include "describe.h"

#include "mem.h"

#include <inttypes.h>

static const char *const SIDES[] = {"buy", "sell"};
static const char *const TYPES[] = {"limit", "market"};
static const char *const TIFS[] = {"gtc", "ioc", "fok"};
static const char *const COMMANDS[MARKET_COMMANDS] = {"none",  "open",   "start",      "deposit", "place",
                                                      "amend", "cancel", "cancel_all", "halt",    "close"};
static const char *const EVENTS[MARKET_EVENTS] = {"none",     "opened",        "started", "deposited", "accepted",
                                                  "repeated", "rejected",      "trade",   "amended",   "done",
                                                  "halted",   "cancelled_all", "closed",  "accounts",  "hash"};

/* ---- members: each begins with its comma ---- */

static void put_text(struct str *out, const char *name, const char *value)
{
    str_printf(out, ",\"%s\":\"%s\"", name, value);
}

static void put_number(struct str *out, const char *name, int64_t value)
{
    str_printf(out, ",\"%s\":%" PRId64, name, value);
}

static void put_bool(struct str *out, const char *name, bool value)
{
    str_printf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

static void put_id(struct str *out, const char *name, const struct uuid *id)
{
    char text[UUID_TEXT_BYTES];
    uuid_format(id, text);
    put_text(out, name, text);
}

static void put_numbers(struct str *out, const char *name, const int64_t *values, unsigned count)
{
    str_printf(out, ",\"%s\":[", name);
    for (unsigned i = 0; i < count; i++)
        str_printf(out, "%s%" PRId64, i ? "," : "", values[i]);
    str_add_char(out, ']');
}

static void put_rules(struct str *out, const struct market_rules *rules)
{
    put_number(out, "seed_cash", rules->seed_cash);
    put_number(out, "tick", rules->tick);
    put_number(out, "price_min", rules->price_min);
    put_number(out, "price_max", rules->price_max);
    put_bool(out, "size_rule", rules->size_rule);
    str_add(out, ",\"companies\":[");
    for (unsigned i = 0; i < rules->company_count; i++) {
        char text[UUID_TEXT_BYTES];
        uuid_format(&rules->companies[i].id, text);
        str_printf(out, "%s{\"id\":\"%s\",\"initial_price\":%" PRId64 "}", i ? "," : "", text,
                   rules->companies[i].initial_price);
    }
    str_add_char(out, ']');
}

static void put_order(struct str *out, const struct market_order *order)
{
    put_id(out, "order_id", &order->order_id);
    put_id(out, "account", &order->account);
    put_number(out, "company", order->company);
    put_text(out, "side", SIDES[order->side & 1]);
    put_text(out, "type", TYPES[order->type & 1]);
    put_text(out, "tif", order->tif < ARRAY_LENGTH(TIFS) ? TIFS[order->tif] : "?");
    put_bool(out, "post_only", order->post_only);
    put_bool(out, "bot", order->bot);
    put_number(out, "price", order->price);
    put_number(out, "quantity", order->quantity);
    if (!order->client_order_id.length)
        return;
    str_add(out, ",\"client_order_id\":");
    str_add_json(out, order->client_order_id.bytes, order->client_order_id.length);
}

/* ---- commands ---- */

static void put_command(struct str *out, const struct market_command *command)
{
    switch (command->kind) {
    case MARKET_OPEN:
        put_rules(out, &command->open);
        break;
    case MARKET_DEPOSIT:
        put_id(out, "deposit_id", &command->deposit.deposit_id);
        put_id(out, "account", &command->deposit.account);
        put_number(out, "cash", command->deposit.cash);
        put_numbers(out, "shares", command->deposit.shares, command->deposit.company_count);
        break;
    case MARKET_PLACE:
        put_order(out, &command->order);
        break;
    case MARKET_AMEND:
        put_id(out, "order_id", &command->order.order_id);
        put_id(out, "account", &command->order.account);
        put_number(out, "price", command->order.price);
        put_number(out, "quantity", command->order.quantity);
        break;
    case MARKET_CANCEL:
        put_id(out, "order_id", &command->order.order_id);
        put_id(out, "account", &command->order.account);
        break;
    case MARKET_CANCEL_ALL:
        put_id(out, "account", &command->cancel_all.account);
        break;
    case MARKET_HALT:
        put_number(out, "company", command->halt.company);
        put_bool(out, "on", command->halt.on);
        break;
    default:
        break;
    }
}

void describe_command(struct str *out, const struct market_command *command)
{
    char market[UUID_TEXT_BYTES];
    uuid_format(&command->market, market);
    str_printf(out, "{\"kind\":\"%s\",\"market\":\"%s\",\"source\":\"%" PRIu64 "\",\"n\":%" PRIu64,
               COMMANDS[command->kind], market, command->source, command->n);
    put_command(out, command);
    str_add_char(out, '}');
}

/* ---- events ---- */

static void put_order_event(struct str *out, const struct market_event *event)
{
    put_order(out, &event->order.order);
    put_number(out, "remaining", event->order.remaining);
    put_number(out, "filled", event->order.filled);
    put_number(out, "paid", event->order.paid);
    put_text(out, "command", event->order.command < MARKET_COMMANDS ? COMMANDS[event->order.command] : "?");
    put_text(out, "reason", market_reason_name(event->order.reason));
    put_bool(out, "kept_priority", event->order.kept_priority);
    put_number(out, "limit", event->order.limit);
}

static void put_trade(struct str *out, const struct market_event *event)
{
    put_number(out, "company", event->trade.company);
    put_text(out, "taker_side", SIDES[event->trade.taker_side & 1]);
    put_number(out, "number", event->trade.number);
    put_number(out, "price", event->trade.price);
    put_number(out, "quantity", event->trade.quantity);
    put_id(out, "maker_order", &event->trade.maker_order);
    put_id(out, "taker_order", &event->trade.taker_order);
    put_id(out, "maker", &event->trade.maker);
    put_id(out, "taker", &event->trade.taker);
    put_number(out, "maker_remaining", event->trade.maker_remaining);
    put_number(out, "taker_remaining", event->trade.taker_remaining);
}

static void put_accounts(struct str *out, const struct market_event *event)
{
    str_add(out, ",\"accounts\":[");
    for (uint32_t i = 0; i < event->accounts.count; i++) {
        const struct market_account *account = &event->accounts.accounts[i];
        char text[UUID_TEXT_BYTES];
        uuid_format(&account->account, text);
        str_printf(out, "%s{\"account\":\"%s\",\"bot\":%s,\"cash\":%" PRId64 "}", i ? "," : "", text,
                   account->bot ? "true" : "false", account->cash);
    }
    str_add_char(out, ']');
}

static void put_event(struct str *out, const struct market_event *event)
{
    switch (event->kind) {
    case MARKET_OPENED:
        put_rules(out, &event->opened);
        break;
    case MARKET_ACCEPTED:
    case MARKET_REPEATED:
    case MARKET_REJECTED:
    case MARKET_AMENDED:
    case MARKET_DONE:
        put_order_event(out, event);
        break;
    case MARKET_TRADE:
        put_trade(out, event);
        break;
    case MARKET_DEPOSITED:
        put_id(out, "deposit_id", &event->deposit.deposit_id);
        put_id(out, "account", &event->deposit.account);
        put_number(out, "cash", event->deposit.cash);
        put_numbers(out, "shares", event->deposit.shares, event->deposit.company_count);
        break;
    case MARKET_HALTED:
        put_number(out, "company", event->halt.company);
        put_bool(out, "on", event->halt.on);
        break;
    case MARKET_CANCELLED_ALL:
        put_id(out, "account", &event->cancelled_all.account);
        put_number(out, "count", event->cancelled_all.count);
        break;
    case MARKET_CLOSED:
        put_numbers(out, "last_prices", event->closed.last_prices, event->closed.company_count);
        break;
    case MARKET_ACCOUNTS:
        put_accounts(out, event);
        break;
    case MARKET_HASH:
        str_printf(out, ",\"commands\":%" PRIu64 ",\"hash\":\"%" PRIu64 "\"", event->hash.commands, event->hash.hash);
        break;
    default:
        break;
    }
}

void describe_event(struct str *out, const struct market_event *event)
{
    str_printf(out, "{\"seq\":%" PRId64 ",\"kind\":\"%s\"", event->seq, EVENTS[event->kind]);
    put_event(out, event);
    str_add_char(out, '}');
}
