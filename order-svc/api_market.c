/* What everybody may see of a company: trades and candles. Both are read from what is settled. */
#include "api.h"

#include "api_common.h"
#include "clock.h"
#include "mem.h"
#include "problems.h"
#include "store_reads.h"

#include <string.h>

enum { TRADES_KIND = 't', CANDLES_MAX = 2000 };

static bool company_of_query(struct request *req, const char **company_id, struct catalog_market *market, int *index,
                             struct err *err)
{
    struct uuid parsed;
    const char *text = http_query(req, "company");
    if (!text || !uuid_parse(text, &parsed))
        return err_add_field(err, "company", "must be a company's id");
    *company_id = text;
    return market_of_company(req, text, &ERR_UNKNOWN_COMPANY, market, index, err);
}

/* ---- trades ---- */

/* GET /api/trades?company= -> page of trades, newest first; seq is the trade's number in its company, without holes. */
bool trade_list(struct request *req, struct reply *reply, struct err *err)
{
    struct catalog_market market;
    struct trade_list list;
    struct page page;
    const char *company_id = NULL;
    if (!page_read(req, TRADES_KIND, INT64_MAX, &page, err) ||
        !company_of_query(req, &company_id, &market, NULL, err) ||
        !store_trades(app_of(req)->db, req->arena, company_id, page.goes_on ? page.after.number : INT64_MAX, page.limit,
                      &list, err))
        return false;
    const size_t shown = list.count > (size_t)page.limit ? (size_t)page.limit : list.count;
    page_open(&reply->body);
    for (size_t i = 0; i < shown; i++) {
        json_open(&reply->body, NULL, '{');
        json_i64(&reply->body, "seq", list.items[i].number);
        json_i64(&reply->body, "price", list.items[i].price);
        json_i64(&reply->body, "quantity", list.items[i].quantity);
        json_text(&reply->body, "taker_side", list.items[i].taker_side);
        json_time(&reply->body, "at", list.items[i].at_ms);
        json_close(&reply->body, '}');
    }
    const struct cursor last = {.kind = TRADES_KIND, .number = shown ? list.items[shown - 1].number : 0};
    page_close(&reply->body, list.count > shown ? &last : NULL);
    return true;
}

/* ---- candles ---- */

static const struct interval {
    const char *name;
    int64_t ms;
} INTERVALS[] = {{"1s", 1000}, {"5s", 5000}, {"1m", 60000}};

static bool read_interval(struct request *req, int64_t *step_ms, struct err *err)
{
    const char *name = http_query(req, "interval");
    *step_ms = INTERVALS[0].ms;
    if (!name)
        return true;
    for (size_t i = 0; i < ARRAY_LENGTH(INTERVALS); i++) {
        *step_ms = INTERVALS[i].ms;
        if (strcmp(INTERVALS[i].name, name) == 0)
            return true;
    }
    return err_add_field(err, "interval", "1s, 5s or 1m");
}

static bool read_time(struct request *req, const char *name, int64_t default_ms, int64_t *at_ms, struct err *err)
{
    const char *text = http_query(req, name);
    *at_ms = default_ms;
    return !text || codec_time(text, at_ms) || err_add_field(err, name, "a time as 2026-01-31T23:59:59Z");
}

/* The steps from..to: within the market's life, begun ones included; `to` is the end of the last. */
struct span {
    int64_t from_ms, to_ms, step_ms;
};

static bool read_span(struct request *req, const struct catalog_market *market, struct span *span, struct err *err)
{
    const int64_t step_ms = span->step_ms, now_ms = clock_now_ms();
    const int64_t begin_ms = market->started_ms ? market->started_ms : market->opened_ms;
    const int64_t end_ms = market->closed_ms && market->closed_ms < now_ms ? market->closed_ms : now_ms;
    const int64_t most_ms = CANDLES_MAX * step_ms;
    const int64_t default_ms = end_ms - begin_ms < most_ms ? begin_ms : end_ms - most_ms + step_ms;
    if (!read_time(req, "to", end_ms + 1, &span->to_ms, err) ||
        !read_time(req, "from", default_ms, &span->from_ms, err))
        return false;
    if (span->from_ms > span->to_ms)
        return err_add_field(err, "from", "not after `to`");
    span->from_ms = span->from_ms > begin_ms ? span->from_ms : begin_ms;
    span->to_ms = span->to_ms < end_ms + 1 ? span->to_ms : end_ms + 1;
    span->from_ms = span->from_ms / step_ms * step_ms;
    span->to_ms = (span->to_ms + step_ms - 1) / step_ms * step_ms;
    if (span->to_ms < span->from_ms)
        span->to_ms = span->from_ms;
    if ((span->to_ms - span->from_ms) / step_ms > CANDLES_MAX)
        return err_add_field(err, "from", "at most %d candles: ask for less time or a wider interval", CANDLES_MAX);
    return true;
}

static void print_candle(struct str *out, const struct candle *candle)
{
    json_open(out, NULL, '{');
    json_time(out, "at", candle->at_ms);
    json_i64(out, "open", candle->open);
    json_i64(out, "high", candle->high);
    json_i64(out, "low", candle->low);
    json_i64(out, "close", candle->close);
    json_i64(out, "volume", candle->volume);
    json_close(out, '}');
}

/* A step without a trade stays at the last close. */
static void print_candles(struct str *out, const struct span *span, const struct candles *candles, int64_t price)
{
    size_t next = 0;
    for (int64_t at_ms = span->from_ms; at_ms < span->to_ms; at_ms += span->step_ms) {
        struct candle candle = {at_ms, price, price, price, price, 0};
        if (next < candles->count && candles->items[next].at_ms == at_ms)
            candle = candles->items[next++];
        price = candle.close;
        print_candle(out, &candle);
    }
}

/* GET /api/candles?company=&interval=1s|5s|1m&from=&to= -> {items: [{at, open, high, low, close, volume}]} from the
 * market's start to its close or to now, without gaps. */
bool candle_list(struct request *req, struct reply *reply, struct err *err)
{
    struct catalog_market market = {0};
    struct candles candles;
    struct span span;
    const char *company_id = NULL;
    int index = 0;
    if (!read_interval(req, &span.step_ms, err) || !company_of_query(req, &company_id, &market, &index, err) ||
        !read_span(req, &market, &span, err) ||
        !store_candles(app_of(req)->db, req->arena, company_id, span.from_ms, span.to_ms, span.step_ms, &candles, err))
        return false;
    str_reserve(&reply->body, (size_t)((span.to_ms - span.from_ms) / span.step_ms + 1) * 128);
    json_open(&reply->body, NULL, '{');
    json_open(&reply->body, "items", '[');
    print_candles(&reply->body, &span, &candles,
                  candles.before ? candles.before : market.rules.companies[index].initial_price);
    json_close(&reply->body, ']');
    json_close(&reply->body, '}');
    return true;
}
