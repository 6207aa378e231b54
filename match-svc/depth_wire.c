#include "clock.h"
#include "depth_state.h"
#include "json.h"
#include "market.h"
#include "mem.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

static const char *const PHASE_NAMES[] = {"setup", "open", "closed", NULL};
static const char *const SIDE_NAMES[] = {"buy", "sell", NULL};

enum { STATE_ARENA = 1 << 20 };

const char *depth_phase_name(enum depth_phase phase)
{
    return PHASE_NAMES[phase];
}

/* ---- writing ---- */

static void put_uuid(struct str *out, const char *name, const struct uuid *uuid)
{
    char text[UUID_TEXT_BYTES];
    uuid_format(uuid, text);
    json_text(out, name, text);
}

static void put_side(struct str *out, const char *name, const struct depth_side *side)
{
    json_open(out, name, '[');
    for (size_t i = 0; i < side->count; i++) {
        json_open(out, NULL, '[');
        json_i64(out, NULL, side->levels[i].price);
        json_i64(out, NULL, side->levels[i].quantity);
        json_close(out, ']');
    }
    json_close(out, ']');
}

static void put_trades(struct str *out, const struct depth_trades *trades)
{
    json_open(out, "trades", '[');
    for (size_t i = 0; i < trades->count; i++) {
        const struct depth_trade *trade = &trades->items[i];
        json_open(out, NULL, '{');
        json_i64(out, "number", trade->number);
        json_i64(out, "price", trade->price);
        json_i64(out, "quantity", trade->quantity);
        json_text(out, "taker_side", SIDE_NAMES[trade->taker_side]);
        json_time(out, "at", trade->at_ms);
        json_close(out, '}');
    }
    json_close(out, ']');
}

void depth_encode(struct str *out, const struct depth_state *state)
{
    char id[UUID_TEXT_BYTES];
    uuid_new(id);
    json_open(out, NULL, '{');
    json_i64(out, "v", 1);
    json_text(out, "id", id);
    json_time(out, "at", state->at_ms);
    json_text(out, "kind", "depth");
    put_uuid(out, "market", &state->market);
    put_uuid(out, "company", &state->company);
    json_i64(out, "index", state->index);
    json_i64(out, "seq", state->seq);
    json_text(out, "phase", depth_phase_name(state->phase));
    json_i64(out, "price", state->price);
    json_i64(out, "initial_price", state->initial_price);
    json_i64(out, "volume", state->volume);
    json_i64(out, "high", state->high);
    json_i64(out, "low", state->low);
    json_bool(out, "halted", state->halted);
    put_side(out, "bids", &state->bids);
    put_side(out, "asks", &state->asks);
    put_trades(out, &state->trades);
    json_close(out, '}');
}

/* ---- reading ---- */

struct form {
    int64_t v, index, seq, price, initial_price, volume, high, low;
    const char *at, *market, *company, *phase, *kind, *bids, *asks, *trades;
    bool halted;
};

#define WHOLE(member, ...) FIELD_I64(struct form, member, .required = true, .max = INT64_MAX, ##__VA_ARGS__)

static const struct field FIELDS[] = {
    FIELD_TEXT(struct form, kind, .required = true),
    FIELD_I64(struct form, v, .required = true, .min = 1, .max = INT32_MAX),
    FIELD_TEXT(struct form, at, .required = true, .max = CLOCK_TEXT_BYTES),
    FIELD_UUID(struct form, market, .required = true),
    FIELD_UUID(struct form, company, .required = true),
    FIELD_I64(struct form, index, .required = true, .min = 0, .max = MARKET_COMPANIES_MAX - 1),
    WHOLE(seq, .min = 1),
    FIELD_TEXT(struct form, phase, .required = true, .one_of = PHASE_NAMES),
    WHOLE(price, .min = 0),
    WHOLE(initial_price, .min = 1),
    WHOLE(volume, .min = 0),
    WHOLE(high, .min = 0),
    WHOLE(low, .min = 0),
    FIELD_BOOL(struct form, halted, .required = true),
    FIELD_RAW(struct form, bids, .required = true),
    FIELD_RAW(struct form, asks, .required = true),
    FIELD_RAW(struct form, trades, .required = true),
    {0},
};

static bool bad(struct err *err, const char *what)
{
    return err_set(err, &ERR_BAD_INPUT, "%s", what);
}

static void tree_release(cJSON **tree)
{
    cJSON_Delete(*tree);
}

/* An array of at most `most`; NULL when it is none. */
static cJSON *read_list(const char *text, int most)
{
    cJSON *tree = cJSON_Parse(text);
    if (tree && cJSON_IsArray(tree) && cJSON_GetArraySize(tree) <= most)
        return tree;
    cJSON_Delete(tree);
    return NULL;
}

/* A whole number above 0 that a double holds exactly; prices, quantities and numbers of trades are far below. */
static bool read_number(const cJSON *value, int64_t *out)
{
    if (!cJSON_IsNumber(value) || value->valuedouble < 1 || value->valuedouble > 9007199254740991.0 ||
        floor(value->valuedouble) != value->valuedouble)
        return false;
    *out = (int64_t)value->valuedouble;
    return true;
}

static bool read_side(const char *text, bool falling, struct depth_side *side, struct err *err)
{
    __attribute__((cleanup(tree_release))) cJSON *tree = read_list(text, DEPTH_LEVELS);
    if (!tree)
        return bad(err, "bids and asks are lists");
    side->count = 0;
    for (const cJSON *item = tree->child; item; item = item->next) {
        struct depth_level *level = &side->levels[side->count];
        if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2 || !read_number(item->child, &level->price) ||
            !read_number(item->child->next, &level->quantity))
            return bad(err, "a level is [price, quantity]");
        if (side->count > 0 && (falling ? level->price >= level[-1].price : level->price <= level[-1].price))
            return bad(err, "levels stand best first");
        side->count++;
    }
    return true;
}

/* Times are always written by clock_format. */
static bool read_time(const char *text, int64_t *at_ms)
{
    struct tm tm = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    int ms = 0, used = 0;
    if (!rest || sscanf(rest, ".%3dZ%n", &ms, &used) != 1 || used != 5 || rest[used] || ms < 0)
        return false;
    *at_ms = (int64_t)timegm(&tm) * 1000 + ms;
    return true;
}

static const char *member_text(const cJSON *item, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, name));
}

static bool read_trade(const cJSON *item, struct depth_trade *trade)
{
    const char *side = member_text(item, "taker_side");
    trade->taker_side = side && strcmp(side, SIDE_NAMES[SIDE_SELL]) == 0 ? SIDE_SELL : SIDE_BUY;
    return side && strcmp(side, SIDE_NAMES[trade->taker_side]) == 0 &&
           read_number(cJSON_GetObjectItemCaseSensitive(item, "number"), &trade->number) &&
           read_number(cJSON_GetObjectItemCaseSensitive(item, "price"), &trade->price) &&
           read_number(cJSON_GetObjectItemCaseSensitive(item, "quantity"), &trade->quantity) &&
           read_time(member_text(item, "at"), &trade->at_ms);
}

static bool read_trades(const char *text, struct depth_trades *trades, struct err *err)
{
    __attribute__((cleanup(tree_release))) cJSON *tree = read_list(text, DEPTH_TRADES);
    if (!tree)
        return bad(err, "trades are a list");
    trades->count = 0;
    for (const cJSON *item = tree->child; item; item = item->next) {
        struct depth_trade trade;
        if (!read_trade(item, &trade))
            return bad(err, "a trade is {number, price, quantity, taker_side, at}");
        const bool first = trades->count == 0;
        if (trades_add(trades, &trade) != TRADES_MORE && !first)
            return bad(err, "trades are numbered without holes");
    }
    return true;
}

static enum depth_phase find_phase(const char *name)
{
    int phase = 0;
    while (strcmp(PHASE_NAMES[phase], name) != 0)
        phase++; /* one_of has found it */
    return (enum depth_phase)phase;
}

bool depth_decode(struct view bytes, struct depth_state *state, struct err *err)
{
    AUTO(arena) arena = arena_open(STATE_ARENA);
    struct form form;
    if (!JSON_DECODE_LENIENT(arena, bytes, FIELDS, &form, err))
        return false;
    if (strcmp(form.kind, "depth") != 0 || form.v != 1)
        return bad(err, "not a depth of version 1");
    (void)uuid_parse(form.market, &state->market);
    (void)uuid_parse(form.company, &state->company);
    state->index = (int)form.index;
    state->seq = form.seq;
    state->phase = find_phase(form.phase);
    state->price = form.price;
    state->initial_price = form.initial_price;
    state->volume = form.volume;
    state->high = form.high;
    state->low = form.low;
    state->halted = form.halted;
    if (!read_time(form.at, &state->at_ms))
        return bad(err, "at is no time");
    return read_side(form.bids, true, &state->bids, err) && read_side(form.asks, false, &state->asks, err) &&
           read_trades(form.trades, &state->trades, err);
}
