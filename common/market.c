#include "market_wire.h"

#include "utf8.h"

/* ---- bytes ---- */

uint64_t wire_take(struct wire *wire, unsigned size)
{
    uint64_t value = 0;
    if (wire->bad || (size_t)(wire->end - wire->at) < size) {
        wire->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)wire->at[i] << (8 * i);
    wire->at += size;
    return value;
}

uint8_t wire_enum(struct wire *wire, unsigned count)
{
    const uint64_t value = wire_take(wire, 1);
    if (value >= count)
        wire->bad = true;
    return wire->bad ? 0 : (uint8_t)value;
}

bool wire_bool(struct wire *wire)
{
    return wire_enum(wire, 2) == 1;
}

int64_t wire_count(struct wire *wire)
{
    const int64_t value = wire_i64(wire);
    if (value < 0)
        wire->bad = true;
    return wire->bad ? 0 : value;
}

struct uuid wire_uuid(struct wire *wire)
{
    struct uuid uuid = {{0}};
    if (wire->bad || (size_t)(wire->end - wire->at) < sizeof uuid.bytes) {
        wire->bad = true;
        return uuid;
    }
    memcpy(uuid.bytes, wire->at, sizeof uuid.bytes);
    wire->at += sizeof uuid.bytes;
    return uuid;
}

static bool text_fits(struct view text)
{
    for (size_t at = 0, size; at < text.length; at += size) {
        uint32_t code;
        size = utf8_decode(text.bytes + at, text.length - at, &code);
        if (!size || code < 0x20 || code == 0x7f)
            return false;
    }
    return true;
}

struct view wire_text(struct wire *wire)
{
    struct view text = {"", wire_enum(wire, MARKET_CLIENT_ID_MAX + 1)};
    if ((size_t)(wire->end - wire->at) < text.length)
        wire->bad = true;
    if (wire->bad || !text.length)
        return (struct view){"", 0};
    text.bytes = (const char *)wire->at;
    wire->at += text.length;
    if (!text_fits(text))
        wire->bad = true;
    return text;
}

uint8_t wire_shares(struct wire *wire, int64_t shares[MARKET_COMPANIES_MAX])
{
    const uint8_t count = wire_enum(wire, MARKET_COMPANIES_MAX + 1);
    for (unsigned i = 0; i < count; i++)
        shares[i] = wire_count(wire);
    return count;
}

void wire_put(struct str *out, uint64_t value, unsigned size)
{
    unsigned char bytes[8];
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    str_add_bytes(out, bytes, size);
}

void wire_put_uuid(struct str *out, const struct uuid *uuid)
{
    str_add_bytes(out, uuid->bytes, sizeof uuid->bytes);
}

void wire_put_shares(struct str *out, uint8_t count, const int64_t *shares)
{
    wire_put(out, count, 1);
    for (unsigned i = 0; i < count; i++)
        wire_put(out, (uint64_t)shares[i], 8);
}

void wire_put_order(struct str *out, const struct market_order *order)
{
    str_reserve(out, 64 + order->client_order_id.length);
    wire_put_uuid(out, &order->order_id);
    wire_put_uuid(out, &order->account);
    wire_put(out, order->company, 1);
    wire_put(out, order->side, 1);
    wire_put(out, order->type, 1);
    wire_put(out, order->tif, 1);
    wire_put(out, order->post_only, 1);
    wire_put(out, order->bot, 1);
    wire_put(out, (uint64_t)order->price, 8);
    wire_put(out, (uint64_t)order->quantity, 8);
    wire_put(out, order->client_order_id.length, 1);
    str_add_bytes(out, order->client_order_id.bytes, order->client_order_id.length);
}

void wire_order(struct wire *wire, struct market_order *order)
{
    order->order_id = wire_uuid(wire);
    order->account = wire_uuid(wire);
    order->company = (uint8_t)wire_take(wire, 1);
    order->side = wire_enum(wire, SIDE_SELL + 1);
    order->type = wire_enum(wire, TYPE_MARKET + 1);
    order->tif = wire_enum(wire, TIF_FOK + 1);
    order->post_only = wire_bool(wire);
    order->bot = wire_bool(wire);
    order->price = wire_i64(wire);
    order->quantity = wire_i64(wire);
    order->client_order_id = wire_text(wire);
}

void wire_put_rules(struct str *out, const struct market_rules *rules)
{
    wire_put(out, (uint64_t)rules->seed_cash, 8);
    wire_put(out, (uint64_t)rules->tick, 8);
    wire_put(out, (uint64_t)rules->price_min, 8);
    wire_put(out, (uint64_t)rules->price_max, 8);
    wire_put(out, rules->size_rule, 1);
    wire_put(out, rules->company_count, 1);
    for (unsigned i = 0; i < rules->company_count; i++) {
        wire_put_uuid(out, &rules->companies[i].id);
        wire_put(out, (uint64_t)rules->companies[i].initial_price, 8);
    }
}

/* False for rules that no book can follow: prices off the ladder, a ladder too long. */
static bool rules_fit(const struct market_rules *rules)
{
    const int64_t tick = rules->tick, least = rules->price_min, most = rules->price_max;
    if (tick < 1 || least < 1 || most < least || least % tick || (most - least) / tick >= MARKET_LEVELS_MAX)
        return false;
    for (unsigned i = 0; i < rules->company_count; i++) {
        const int64_t price = rules->companies[i].initial_price;
        if (price < least || price > most || price % tick)
            return false;
    }
    return rules->company_count > 0;
}

void wire_rules(struct wire *wire, struct market_rules *rules)
{
    rules->seed_cash = wire_count(wire);
    rules->tick = wire_i64(wire);
    rules->price_min = wire_i64(wire);
    rules->price_max = wire_i64(wire);
    rules->size_rule = wire_bool(wire);
    rules->company_count = wire_enum(wire, MARKET_COMPANIES_MAX + 1);
    for (unsigned i = 0; i < rules->company_count; i++) {
        rules->companies[i].id = wire_uuid(wire);
        rules->companies[i].initial_price = wire_i64(wire);
    }
    if (!wire->bad && !rules_fit(rules))
        wire->bad = true;
}

/* ---- commands: what follows the head, per kind ---- */

static void put_nothing(struct str *out, const struct market_command *command)
{
    (void)out;
    (void)command;
}

static void take_nothing(struct wire *wire, struct market_command *command)
{
    (void)wire;
    (void)command;
}

static void put_open(struct str *out, const struct market_command *command)
{
    wire_put_rules(out, &command->open);
}

static void take_open(struct wire *wire, struct market_command *command)
{
    wire_rules(wire, &command->open);
}

static void put_deposit(struct str *out, const struct market_command *command)
{
    wire_put_uuid(out, &command->deposit.deposit_id);
    wire_put_uuid(out, &command->deposit.account);
    wire_put(out, (uint64_t)command->deposit.cash, 8);
    wire_put_shares(out, command->deposit.company_count, command->deposit.shares);
}

static void take_deposit(struct wire *wire, struct market_command *command)
{
    command->deposit.deposit_id = wire_uuid(wire);
    command->deposit.account = wire_uuid(wire);
    command->deposit.cash = wire_count(wire);
    command->deposit.company_count = wire_shares(wire, command->deposit.shares);
}

static void put_place(struct str *out, const struct market_command *command)
{
    wire_put_order(out, &command->order);
}

static void take_place(struct wire *wire, struct market_command *command)
{
    wire_order(wire, &command->order);
}

static void put_cancel(struct str *out, const struct market_command *command)
{
    wire_put_uuid(out, &command->order.order_id);
    wire_put_uuid(out, &command->order.account);
}

static void take_cancel(struct wire *wire, struct market_command *command)
{
    command->order.order_id = wire_uuid(wire);
    command->order.account = wire_uuid(wire);
    command->order.client_order_id = (struct view){"", 0};
}

static void put_amend(struct str *out, const struct market_command *command)
{
    put_cancel(out, command);
    wire_put(out, (uint64_t)command->order.price, 8);
    wire_put(out, (uint64_t)command->order.quantity, 8);
}

static void take_amend(struct wire *wire, struct market_command *command)
{
    take_cancel(wire, command);
    command->order.price = wire_i64(wire);
    command->order.quantity = wire_i64(wire);
}

static void put_cancel_all(struct str *out, const struct market_command *command)
{
    wire_put_uuid(out, &command->cancel_all.account);
}

static void take_cancel_all(struct wire *wire, struct market_command *command)
{
    command->cancel_all.account = wire_uuid(wire);
}

static void put_halt(struct str *out, const struct market_command *command)
{
    wire_put(out, command->halt.company, 1);
    wire_put(out, command->halt.on, 1);
}

static void take_halt(struct wire *wire, struct market_command *command)
{
    command->halt.company = (uint8_t)wire_take(wire, 1);
    command->halt.on = wire_bool(wire);
}

static const struct {
    void (*put)(struct str *out, const struct market_command *command);
    void (*take)(struct wire *wire, struct market_command *command);
} COMMAND_FORMS[MARKET_COMMANDS] = {
    [MARKET_OPEN] = {put_open, take_open},
    [MARKET_START] = {put_nothing, take_nothing},
    [MARKET_DEPOSIT] = {put_deposit, take_deposit},
    [MARKET_PLACE] = {put_place, take_place},
    [MARKET_AMEND] = {put_amend, take_amend},
    [MARKET_CANCEL] = {put_cancel, take_cancel},
    [MARKET_CANCEL_ALL] = {put_cancel_all, take_cancel_all},
    [MARKET_HALT] = {put_halt, take_halt},
    [MARKET_CLOSE] = {put_nothing, take_nothing},
};

void market_command_encode(struct str *out, const struct market_command *command)
{
    wire_put(out, MARKET_VERSION, 1);
    wire_put(out, command->kind, 1);
    wire_put_uuid(out, &command->market);
    wire_put(out, command->source, 8);
    wire_put(out, command->n, 8);
    COMMAND_FORMS[command->kind].put(out, command);
}

bool market_command_decode(struct view bytes, struct market_command *command, struct err *err)
{
    const unsigned char *start = (const unsigned char *)bytes.bytes;
    struct wire wire = {start, start + bytes.length, bytes.length > MARKET_RECORD_MAX};
    *command = (struct market_command){0};
    if (wire_take(&wire, 1) != MARKET_VERSION)
        wire.bad = true;
    command->kind = wire_enum(&wire, MARKET_COMMANDS);
    command->market = wire_uuid(&wire);
    command->source = wire_take(&wire, 8);
    command->n = wire_take(&wire, 8);
    if (!wire.bad && COMMAND_FORMS[command->kind].take)
        COMMAND_FORMS[command->kind].take(&wire, command);
    else
        wire.bad = true;
    if (wire.bad || wire.at != wire.end)
        return err_set(err, &ERR_BAD_INPUT, "not a command of a market (%zu bytes)", bytes.length);
    return true;
}
