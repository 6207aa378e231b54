#include "api.h"

#include "api_common.h"
#include "ratio.h"
#include "store_reads.h"

#include <stdlib.h>

static int64_t gain_hundredths(const struct holding *holding)
{
    return holding->cost > 0 ? ratio_change(holding->company.price * holding->quantity, holding->cost) : 0;
}

/* By gain, falling; equal ones in the market's order. */
static int by_gain(const void *left, const void *right)
{
    const struct holding *a = left, *b = right;
    const int64_t gain_a = gain_hundredths(a), gain_b = gain_hundredths(b);
    if (gain_a != gain_b)
        return gain_a > gain_b ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static void print_holding(struct str *out, const struct holding *holding)
{
    json_open(out, NULL, '{');
    codec_company(out, "company", &holding->company);
    json_i64(out, "quantity", holding->quantity);
    json_i64(out, "available", holding->quantity - holding->reserved);
    ratio_json_average(out, "average_price", holding->cost, holding->quantity);
    json_i64(out, "price", holding->company.price);
    ratio_json(out, "gain_pct", gain_hundredths(holding));
    json_close(out, '}');
}

static void print_portfolio(struct str *out, const char *market_id, const struct portfolio *portfolio)
{
    int64_t total = portfolio->cash;
    for (size_t i = 0; i < portfolio->count; i++)
        total += portfolio->holdings[i].company.price * portfolio->holdings[i].quantity;
    json_open(out, NULL, '{');
    json_text(out, "market", market_id);
    json_i64(out, "cash", portfolio->cash);
    json_i64(out, "available_cash", portfolio->cash - portfolio->reserved);
    json_i64(out, "total_asset", total);
    ratio_json(out, "return_pct", portfolio->seed_cash > 0 ? ratio_change(total, portfolio->seed_cash) : 0);
    json_i64(out, "rating", portfolio->rating);
    json_text(out, "tier", portfolio->tier);
    json_open(out, "holdings", '[');
    for (size_t i = 0; i < portfolio->count; i++)
        print_holding(out, &portfolio->holdings[i]);
    json_close(out, ']');
    json_i64(out, "seq", portfolio->seq);
    json_close(out, '}');
}

/* GET /api/portfolio -> the caller's account in the running market, else in the last one. Before the first order that
 * is the seed money; before the first market there is nothing. */
bool portfolio_view(struct request *req, struct reply *reply, struct err *err)
{
    struct portfolio portfolio = {.tier = "bronze"};
    struct catalog_market market;
    bool found;
    if (!fresh_for_company(req, NULL, err) || !market_current(req, &market, &found, err))
        return false;
    if (found && !store_portfolio(app_of(req)->db, req->arena, market.id_text, caller_of(req), &portfolio, err))
        return false;
    if (portfolio.count)
        qsort(portfolio.holdings, portfolio.count, sizeof portfolio.holdings[0], by_gain);
    print_portfolio(&reply->body, found ? market.id_text : NULL, &portfolio);
    return true;
}
