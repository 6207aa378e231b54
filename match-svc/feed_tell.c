#include "feed_tell.h"

#include "json.h"
#include "market.h"
#include "ratio.h"

static void open_frame(struct str *out, const char *type, enum feed_channel channel, const struct uuid *company)
{
    char id[UUID_TEXT_BYTES];
    uuid_format(company, id);
    json_open(out, NULL, '{');
    json_text(out, "type", type);
    json_text(out, "channel", feed_channel_name(channel));
    json_text(out, "company", id);
}

static void put_level(struct str *out, const struct depth_level *level)
{
    json_open(out, NULL, '[');
    json_i64(out, NULL, level->price);
    json_i64(out, NULL, level->quantity);
    json_close(out, ']');
}

void tell_side(struct str *out, const char *name, const struct depth_side *side, size_t levels)
{
    json_open(out, name, '[');
    for (size_t i = 0; i < side->count && i < levels; i++)
        put_level(out, &side->levels[i]);
    json_close(out, ']');
}

/* ---- book ---- */

void tell_book_snapshot(struct str *out, const struct depth_state *state, int64_t seq)
{
    open_frame(out, "snapshot", FEED_BOOK, &state->company);
    json_i64(out, "seq", seq);
    tell_side(out, "bids", &state->bids, DEPTH_LEVELS);
    tell_side(out, "asks", &state->asks, DEPTH_LEVELS);
    json_close(out, '}');
}

static void put_changes(struct str *out, const char *name, const struct depth_changes *changes)
{
    json_open(out, name, '[');
    for (size_t i = 0; i < changes->count; i++)
        put_level(out, &changes->levels[i]);
    json_close(out, ']');
}

bool tell_book_delta(struct str *out, const struct depth_state *before, int64_t prev_seq,
                     const struct depth_state *after)
{
    struct depth_changes bids, asks;
    depth_diff(&before->bids, &after->bids, true, &bids);
    depth_diff(&before->asks, &after->asks, false, &asks);
    if (bids.count + asks.count == 0)
        return false;
    open_frame(out, "delta", FEED_BOOK, &after->company);
    json_i64(out, "seq", after->seq);
    json_i64(out, "prev_seq", prev_seq);
    put_changes(out, "bids", &bids);
    put_changes(out, "asks", &asks);
    json_close(out, '}');
    return true;
}

/* ---- ticker ---- */

bool tell_ticker_differs(const struct depth_state *before, const struct depth_state *after)
{
    return before->price != after->price || before->initial_price != after->initial_price ||
           before->volume != after->volume || before->high != after->high || before->low != after->low ||
           before->halted != after->halted || before->phase != after->phase;
}

void tell_figures(struct str *out, const struct depth_state *state)
{
    json_i64(out, "price", state->price);
    json_i64(out, "initial_price", state->initial_price);
    ratio_json(out, "change_pct", ratio_change(state->price, state->initial_price));
    json_i64(out, "volume", state->volume);
    json_i64(out, "high", state->high);
    json_i64(out, "low", state->low);
    json_bool(out, "halted", state->halted);
    json_text(out, "phase", depth_phase_name(state->phase));
}

void tell_ticker(struct str *out, const struct depth_state *state, bool snapshot)
{
    open_frame(out, snapshot ? "snapshot" : "delta", FEED_TICKER, &state->company);
    json_i64(out, "seq", state->seq);
    tell_figures(out, state);
    json_close(out, '}');
}

/* ---- trades ---- */

void tell_trades(struct str *out, const struct uuid *company, const struct depth_trade *trades, size_t count,
                 bool snapshot)
{
    open_frame(out, snapshot ? "snapshot" : "delta", FEED_TRADES, company);
    json_i64(out, "seq", count ? trades[count - 1].number : 0);
    json_open(out, "trades", '[');
    for (size_t i = 0; i < count; i++) {
        json_open(out, NULL, '{');
        json_i64(out, "seq", trades[i].number);
        json_i64(out, "price", trades[i].price);
        json_i64(out, "quantity", trades[i].quantity);
        json_text(out, "taker_side", trades[i].taker_side == SIDE_BUY ? "buy" : "sell");
        json_time(out, "at", trades[i].at_ms);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
}

/* ---- the rest ---- */

void tell_end(struct str *out, const char *type, enum feed_channel channel, const struct uuid *company)
{
    open_frame(out, type, channel, company);
    json_close(out, '}');
}

void tell_pong(struct str *out, int64_t at_ms)
{
    json_open(out, NULL, '{');
    json_text(out, "type", "pong");
    json_time(out, "at", at_ms);
    json_close(out, '}');
}

void tell_error(struct str *out, const struct err *err, const struct feed_ask *ask)
{
    json_open(out, NULL, '{');
    json_text(out, "type", "error");
    json_text(out, "code", err->problem->code);
    json_text(out, "detail", *err->message ? err->message : err->problem->title);
    if (ask && ask->op != FEED_PING) {
        char id[UUID_TEXT_BYTES];
        uuid_format(&ask->company, id);
        json_text(out, "channel", feed_channel_name(ask->channel));
        json_text(out, "company", id);
    }
    if (err->field_count > 0) {
        json_open(out, "errors", '[');
        for (int i = 0; i < err->field_count; i++) {
            json_open(out, NULL, '{');
            json_text(out, "pointer", err->fields[i].pointer);
            json_text(out, "detail", err->fields[i].message);
            json_close(out, '}');
        }
        json_close(out, ']');
    }
    json_close(out, '}');
}
