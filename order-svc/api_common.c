#include "api_common.h"

#include "clock.h"
#include "fresh.h"
#include "store_reads.h"

enum { NEWEST = 4 };

bool may_come(const struct request *req, const char *id)
{
    const int64_t age_ms = clock_now_ms() - uuid_time_ms(id);
    return req->waited_ms < SOON_WAIT_MS && age_ms > -YOUNG_MS && age_ms < YOUNG_MS;
}

/* ---- markets ---- */

bool market_of_company(struct request *req, const char *company_id, const struct problem *problem,
                       struct catalog_market *market, int *index, struct err *err)
{
    const struct order_app *app = app_of(req);
    struct uuid company;
    bool found;
    if (!uuid_parse(company_id, &company))
        return err_set(err, problem, "there is no company %s", company_id);
    if (catalog_of_company(app->catalog, &company, market, index))
        return true;
    if (http_must_hand_over(req) || !store_market_of_company(app->db, company_id, market, &found, err))
        return false;
    if (found) {
        catalog_learn(app->catalog, market);
        return catalog_company_index(market, &company, index) ||
               err_set_internal(err, &ERR_INTERNAL, "a market without its company");
    }
    return may_come(req, company_id) ? http_try_again(req, SOON_LOOK_MS)
                                     : err_set(err, problem, "there is no company %s", company_id);
}

bool market_of_id(struct request *req, const struct uuid *id, struct catalog_market *market, struct err *err)
{
    const struct order_app *app = app_of(req);
    char text[UUID_TEXT_BYTES];
    bool found;
    if (catalog_of_id(app->catalog, id, market))
        return true;
    uuid_format(id, text);
    if (http_must_hand_over(req) || !store_market_of_id(app->db, text, market, &found, err))
        return false;
    if (found)
        catalog_learn(app->catalog, market);
    return found || err_set_retry(err, &ERR_NOT_YET, 1, "the market is not settled yet");
}

bool market_current(struct request *req, struct catalog_market *market, bool *found, struct err *err)
{
    const struct order_app *app = app_of(req);
    if (catalog_shall_look(app->catalog)) {
        struct catalog_market newest[NEWEST];
        size_t count;
        if (!store_markets_newest(app->db, newest, NEWEST, &count, err))
            return false;
        for (size_t i = 0; i < count; i++)
            catalog_learn(app->catalog, &newest[i]);
    }
    *found = catalog_current(app->catalog, market);
    return true;
}

/* ---- reads that show what was written ---- */

static bool fresh_for_current(struct request *req, struct err *err)
{
    struct catalog_market market;
    bool found;
    if (!market_current(req, &market, &found, err))
        return false;
    return !found || fresh_wait(app_of(req)->fresh, req, market.partition, err);
}

bool fresh_for_company(struct request *req, const char *company_id, struct err *err)
{
    struct catalog_market market;
    struct uuid company;
    if (company_id && uuid_parse(company_id, &company) &&
        catalog_of_company(app_of(req)->catalog, &company, &market, NULL))
        return fresh_wait(app_of(req)->fresh, req, market.partition, err);
    return fresh_for_current(req, err);
}

static bool fresh_for_order(struct request *req, const char *order_id, struct err *err)
{
    struct catalog_market market;
    struct uuid order;
    if (uuid_parse(order_id, &order) && catalog_of_order(app_of(req)->catalog, &order, &market))
        return fresh_wait(app_of(req)->fresh, req, market.partition, err);
    return fresh_for_current(req, err);
}

static bool has_ended(const struct order_row *row)
{
    return row && row->order.status != ORDER_OPEN && row->order.status != ORDER_PARTIAL;
}

bool fresh_order(struct request *req, const char *order_id, const struct order_row **row, struct err *err)
{
    struct pg_pool *db = app_of(req)->db;
    /* Once, not in each of the runs that wait. */
    if (!req->waited_ms && !store_order(db, req->arena, order_id, caller_of(req), row, err))
        return false;
    if (!req->waited_ms && has_ended(*row))
        return true;
    return fresh_for_order(req, order_id, err) && store_order(db, req->arena, order_id, caller_of(req), row, err);
}
