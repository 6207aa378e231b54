#include "clock.h"
#include "depth_state.h"
#include "json.h"
#include "market.h"
#include "mem.h"
#include "scan.h"

#include <time.h>

static const char *const PHASE_NAMES[] = {"setup", "open", "closed", NULL};
static const char *const SIDE_NAMES[] = {"buy", "sell", NULL};

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

/* ---- reading: one pass, for a start reads many of them ---- */

static bool bad(struct err *err, const char *what)
{
    return err_set(err, &ERR_BAD_INPUT, "%s", what);
}

/* Which of the names the next text is. */
static bool read_name(struct scan *scan, const char *const *names, int *found)
{
    struct view text;
    if (!scan_text(scan, &text))
        return false;
    for (*found = 0; names[*found]; (*found)++)
        if (view_equals(text, view_of(names[*found])))
            return true;
    return false;
}

static bool read_uuid(struct scan *scan, struct uuid *uuid)
{
    char copy[UUID_TEXT_BYTES] = "";
    struct view text;
    if (!scan_text(scan, &text) || text.length != sizeof copy - 1)
        return false;
    memcpy(copy, text.bytes, text.length);
    return uuid_parse(copy, uuid);
}

static bool read_digits(const char *at, int count, int *value)
{
    for (*value = 0; count > 0; count--, at++) {
        if (*at < '0' || *at > '9')
            return false;
        *value = *value * 10 + *at - '0';
    }
    return true;
}

/* As clock_format writes it: 2026-01-31T23:59:59.123Z */
static bool read_time(struct scan *scan, int64_t *at_ms)
{
    static const char FORM[] = "0000-00-00T00:00:00.000Z";
    struct view text;
    struct tm tm = {0};
    int ms;
    if (!scan_text(scan, &text) || text.length != sizeof FORM - 1)
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (FORM[i] != '0' && FORM[i] != text.bytes[i])
            return false;
    const char *at = text.bytes;
    if (!read_digits(at, 4, &tm.tm_year) || !read_digits(at + 5, 2, &tm.tm_mon) ||
        !read_digits(at + 8, 2, &tm.tm_mday) || !read_digits(at + 11, 2, &tm.tm_hour) ||
        !read_digits(at + 14, 2, &tm.tm_min) || !read_digits(at + 17, 2, &tm.tm_sec) || !read_digits(at + 20, 3, &ms))
        return false;
    if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *at_ms = (int64_t)timegm(&tm) * 1000 + ms;
    return true;
}

static bool read_from(struct scan *scan, int64_t least, int64_t *value)
{
    return scan_i64(scan, value) && *value >= least;
}

/* Best first, no price twice. */
static bool read_side(struct scan *scan, bool falling, struct depth_side *side)
{
    side->count = 0;
    for (bool first = true; scan_item(scan, &first); side->count++) {
        struct depth_level *level = &side->levels[side->count];
        bool inner = true;
        if (side->count == DEPTH_LEVELS || !scan_item(scan, &inner) || !read_from(scan, 1, &level->price) ||
            !scan_item(scan, &inner) || !read_from(scan, 1, &level->quantity) || scan_item(scan, &inner))
            return false;
        if (side->count > 0 && (falling ? level->price >= level[-1].price : level->price <= level[-1].price))
            return false;
    }
    return !scan->broken;
}

enum { TRADE_NUMBER = 1, TRADE_PRICE = 2, TRADE_QUANTITY = 4, TRADE_SIDE = 8, TRADE_AT = 16, TRADE_ALL = 31 };

static bool read_trade(struct scan *scan, struct depth_trade *trade)
{
    struct view name;
    int side = 0, seen = 0;
    for (bool first = true; scan_member(scan, &first, &name);) {
        if (view_equals(name, VIEW("number")) && read_from(scan, 1, &trade->number))
            seen |= TRADE_NUMBER;
        else if (view_equals(name, VIEW("price")) && read_from(scan, 1, &trade->price))
            seen |= TRADE_PRICE;
        else if (view_equals(name, VIEW("quantity")) && read_from(scan, 1, &trade->quantity))
            seen |= TRADE_QUANTITY;
        else if (view_equals(name, VIEW("taker_side")) && read_name(scan, SIDE_NAMES, &side))
            seen |= TRADE_SIDE;
        else if (view_equals(name, VIEW("at")) && read_time(scan, &trade->at_ms))
            seen |= TRADE_AT;
        else
            return false;
    }
    trade->taker_side = (uint8_t)side;
    return seen == TRADE_ALL;
}

/* Numbered without holes. */
static bool read_trades(struct scan *scan, struct depth_trades *trades)
{
    trades->count = 0;
    for (bool first = true; scan_item(scan, &first);) {
        struct depth_trade trade;
        const bool begins = trades->count == 0;
        if (trades->count == DEPTH_TRADES || !read_trade(scan, &trade) ||
            (trades_add(trades, &trade) != TRADES_MORE && !begins))
            return false;
    }
    return !scan->broken;
}

/* ---- the members of a record ---- */

static bool member_v(struct scan *scan, struct depth_state *state)
{
    (void)state;
    int64_t version;
    return scan_i64(scan, &version) && version == 1;
}

static bool member_kind(struct scan *scan, struct depth_state *state)
{
    (void)state;
    struct view kind;
    return scan_text(scan, &kind) && view_equals(kind, VIEW("depth"));
}

static bool member_at(struct scan *scan, struct depth_state *state)
{
    return read_time(scan, &state->at_ms);
}

static bool member_market(struct scan *scan, struct depth_state *state)
{
    return read_uuid(scan, &state->market);
}

static bool member_company(struct scan *scan, struct depth_state *state)
{
    return read_uuid(scan, &state->company);
}

static bool member_index(struct scan *scan, struct depth_state *state)
{
    int64_t index;
    const bool fits = read_from(scan, 0, &index) && index < MARKET_COMPANIES_MAX;
    state->index = fits ? (int)index : 0;
    return fits;
}

static bool member_seq(struct scan *scan, struct depth_state *state)
{
    return read_from(scan, 1, &state->seq);
}

static bool member_phase(struct scan *scan, struct depth_state *state)
{
    int phase;
    const bool known = read_name(scan, PHASE_NAMES, &phase);
    state->phase = known ? (enum depth_phase)phase : DEPTH_SETUP;
    return known;
}

static bool member_price(struct scan *scan, struct depth_state *state)
{
    return read_from(scan, 0, &state->price);
}

static bool member_initial_price(struct scan *scan, struct depth_state *state)
{
    return read_from(scan, 1, &state->initial_price);
}

static bool member_volume(struct scan *scan, struct depth_state *state)
{
    return read_from(scan, 0, &state->volume);
}

static bool member_high(struct scan *scan, struct depth_state *state)
{
    return read_from(scan, 0, &state->high);
}

static bool member_low(struct scan *scan, struct depth_state *state)
{
    return read_from(scan, 0, &state->low);
}

static bool member_halted(struct scan *scan, struct depth_state *state)
{
    return scan_bool(scan, &state->halted);
}

static bool member_bids(struct scan *scan, struct depth_state *state)
{
    return read_side(scan, true, &state->bids);
}

static bool member_asks(struct scan *scan, struct depth_state *state)
{
    return read_side(scan, false, &state->asks);
}

static bool member_trades(struct scan *scan, struct depth_state *state)
{
    return read_trades(scan, &state->trades);
}

/* All of them are needed, once each. */
static const struct {
    const char *name;
    bool (*read)(struct scan *scan, struct depth_state *state);
} MEMBERS[] = {
    {"v", member_v},
    {"kind", member_kind},
    {"at", member_at},
    {"market", member_market},
    {"company", member_company},
    {"index", member_index},
    {"seq", member_seq},
    {"phase", member_phase},
    {"price", member_price},
    {"initial_price", member_initial_price},
    {"volume", member_volume},
    {"high", member_high},
    {"low", member_low},
    {"halted", member_halted},
    {"bids", member_bids},
    {"asks", member_asks},
    {"trades", member_trades},
};

static size_t find_member(struct view name)
{
    size_t at = 0;
    while (at < ARRAY_LENGTH(MEMBERS) && !view_equals(name, view_of(MEMBERS[at].name)))
        at++;
    return at;
}

bool depth_decode(struct view bytes, struct depth_state *state, struct err *err)
{
    struct scan scan = {bytes.bytes, bytes.bytes + bytes.length, false};
    struct view name;
    uint32_t seen = 0;
    for (bool first = true; scan_member(&scan, &first, &name);) {
        const size_t member = find_member(name);
        if (member == ARRAY_LENGTH(MEMBERS)) {
            if (!scan_skip(&scan)) /* of a newer sender */
                return bad(err, "no JSON");
        } else if (seen & 1U << member || !MEMBERS[member].read(&scan, state)) {
            return err_set(err, &ERR_BAD_INPUT, "%s is not what a depth has", MEMBERS[member].name);
        } else {
            seen |= 1U << member;
        }
    }
    if (!scan_ended(&scan))
        return bad(err, "no JSON");
    return seen == (1U << ARRAY_LENGTH(MEMBERS)) - 1 || bad(err, "something is missing");
}
