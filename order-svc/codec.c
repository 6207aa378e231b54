#include "codec.h"

#include "ratio.h"
#include "uuid.h"

#include <string.h>
#include <time.h>

/* ---- orders ---- */

const char *const ORDER_STATUS_NAMES[ORDER_STATUSES + 1] = {
    [ORDER_ACCEPTED] = "accepted", [ORDER_OPEN] = "open",           [ORDER_PARTIAL] = "partial",
    [ORDER_FILLED] = "filled",     [ORDER_CANCELLED] = "cancelled", [ORDER_REJECTED] = "rejected",
};
const char *const SIDE_NAMES[] = {[SIDE_BUY] = "buy", [SIDE_SELL] = "sell", NULL};
const char *const TYPE_NAMES[] = {[TYPE_LIMIT] = "limit", [TYPE_MARKET] = "market", NULL};
const char *const TIF_NAMES[] = {[TIF_GTC] = "gtc", [TIF_IOC] = "ioc", [TIF_FOK] = "fok", NULL};

int name_index(const char *const *names, const char *name)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

void codec_order(struct str *out, const char *name, const struct order *order)
{
    str_reserve(out, 512);
    json_open(out, name, '{');
    json_text(out, "id", order->id);
    if (order->client_order_id)
        json_text(out, "client_order_id", order->client_order_id);
    json_text(out, "company_id", order->company_id);
    json_text(out, "side", SIDE_NAMES[order->side]);
    json_text(out, "type", TYPE_NAMES[order->type]);
    json_text(out, "time_in_force", TIF_NAMES[order->tif]);
    json_bool(out, "post_only", order->post_only);
    if (order->price)
        json_i64(out, "price", order->price);
    json_i64(out, "quantity", order->quantity);
    json_i64(out, "remaining", order->remaining);
    json_i64(out, "filled", order->filled);
    if (order->filled > 0)
        ratio_json_average(out, "average_price", order->paid, order->filled);
    json_text(out, "status", ORDER_STATUS_NAMES[order->status]);
    if (order->reason)
        json_text(out, "reason", order->reason);
    json_time(out, "created_at", order->created_ms);
    json_time(out, "updated_at", order->updated_ms);
    json_close(out, '}');
}

void codec_accepted(struct str *out, const char *order_id)
{
    json_open(out, NULL, '{');
    if (order_id) {
        json_text(out, "id", order_id);
        json_text(out, "status", ORDER_STATUS_NAMES[ORDER_ACCEPTED]);
    }
    json_close(out, '}');
}

/* ---- companies ---- */

void codec_company(struct str *out, const char *name, const struct company *company)
{
    json_open(out, name, '{');
    json_text(out, "id", company->id);
    json_text(out, "name", company->name ? company->name : "");
    json_i64(out, "price", company->price);
    json_i64(out, "initial_price", company->initial_price);
    ratio_json(out, "change_pct", ratio_change(company->price, company->initial_price));
    json_bool(out, "halted", company->halted);
    json_close(out, '}');
}

/* ---- bodies ---- */

/* Numbers are decoded whole: the bounds, which differ from field to field in their words, are looked at below. */
static const struct field ORDER_WISH_FIELDS[] = {
    FIELD_UUID(struct order_wish, company_id, .required = true),
    FIELD_TEXT(struct order_wish, side, .required = true, .one_of = SIDE_NAMES),
    FIELD_TEXT(struct order_wish, type, .required = true, .one_of = TYPE_NAMES),
    FIELD_I64(struct order_wish, quantity, .required = true, .min = 1, .max = MARKET_QUANTITY_MAX),
    FIELD_I64(struct order_wish, price, FIELD_SEEN(struct order_wish, price_seen), .min = INT64_MIN, .max = INT64_MAX),
    FIELD_TEXT(struct order_wish, time_in_force, .one_of = TIF_NAMES),
    FIELD_BOOL(struct order_wish, post_only),
    FIELD_TEXT(struct order_wish, client_order_id, .min = 1, .max = MARKET_CLIENT_ID_MAX),
    {0},
};

static bool has_control(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            return true;
    return false;
}

bool codec_order_wish(struct arena *arena, struct view body, struct order_wish *wish, struct market_order *order,
                      struct err *err)
{
    if (!JSON_DECODE(arena, body, ORDER_WISH_FIELDS, wish, err))
        return false;
    *order = (struct market_order){.quantity = wish->quantity, .price = wish->price, .post_only = wish->post_only};
    order->side = (uint8_t)name_index(SIDE_NAMES, wish->side);
    order->type = (uint8_t)name_index(TYPE_NAMES, wish->type);
    order->tif = order->type == TYPE_MARKET ? TIF_IOC : TIF_GTC;
    if (wish->time_in_force)
        order->tif = (uint8_t)name_index(TIF_NAMES, wish->time_in_force);
    if (order->type == TYPE_LIMIT && !wish->price)
        err_add_field(err, "/price", wish->price_seen ? "not zero" : "needed with type limit");
    if (order->type == TYPE_MARKET && wish->price_seen && wish->price)
        err_add_field(err, "/price", "not with type market");
    if (order->type == TYPE_MARKET && order->tif == TIF_GTC)
        err_add_field(err, "/time_in_force", "a market order never rests: ioc or fok");
    if (wish->client_order_id) {
        order->client_order_id = view_of(wish->client_order_id);
        if (order->client_order_id.length > MARKET_CLIENT_ID_MAX || has_control(wish->client_order_id))
            err_add_field(err, "/client_order_id", "at most %d bytes, no control characters", MARKET_CLIENT_ID_MAX);
    }
    return err->problem == NULL;
}

static const struct field AMEND_WISH_FIELDS[] = {
    FIELD_I64(struct amend_wish, price, .min = 1, .max = INT64_MAX),
    FIELD_I64(struct amend_wish, quantity, .min = 1, .max = MARKET_QUANTITY_MAX),
    {0},
};

bool codec_amend_wish(struct arena *arena, struct view body, struct amend_wish *wish, struct err *err)
{
    if (!JSON_DECODE(arena, body, AMEND_WISH_FIELDS, wish, err))
        return false;
    return wish->price || wish->quantity || err_set(err, &ERR_BAD_INPUT, "price, quantity or both");
}

bool codec_price_fits(int64_t price, const struct market_rules *rules, struct err *err)
{
    if (!price || (price >= rules->price_min && price <= rules->price_max))
        return true;
    return err_add_field(err, "/price", "must be from %lld to %lld", (long long)rules->price_min,
                         (long long)rules->price_max);
}

/* ---- times ---- */

/* `count` digits at *text, which moves on; -1 when they are not there. */
static int digits(const char **text, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return -1;
        value = value * 10 + (**text - '0');
    }
    return value;
}

static bool after(const char **text, char mark)
{
    if (**text != mark)
        return false;
    (*text)++;
    return true;
}

/* Decimals of a second as milliseconds, cut. */
static int decimals(const char **text)
{
    int ms = 0, count = 0;
    for (; **text >= '0' && **text <= '9' && count < 9; (*text)++, count++)
        if (count < 3)
            ms = ms * 10 + (**text - '0');
    for (int i = count; i < 3; i++)
        ms *= 10;
    return count ? ms : -1;
}

bool codec_time(const char *text, int64_t *at_ms)
{
    struct tm tm = {0}, back;
    const int year = digits(&text, 4), month = after(&text, '-') ? digits(&text, 2) : -1;
    const int day = month >= 0 && after(&text, '-') ? digits(&text, 2) : -1;
    const int hour = day >= 0 && after(&text, 'T') ? digits(&text, 2) : -1;
    const int minute = hour >= 0 && after(&text, ':') ? digits(&text, 2) : -1;
    const int second = minute >= 0 && after(&text, ':') ? digits(&text, 2) : -1;
    const int ms = second < 0 ? -1 : after(&text, '.') ? decimals(&text) : 0;
    if (ms < 0 || year < 1970 || hour > 23 || minute > 59 || second > 59 || !after(&text, 'Z') || *text)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = second;
    const time_t at = timegm(&tm);
    if (!gmtime_r(&at, &back) || back.tm_mon != month - 1 || back.tm_mday != day)
        return false; /* no such day */
    *at_ms = (int64_t)at * 1000 + ms;
    return true;
}
