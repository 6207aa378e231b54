#include "api_market.h"

#include "app.h"
#include "feed_tell.h"
#include "json.h"
#include "mem.h"
#include "table.h"

enum { LEVELS_DEFAULT = 11 }; /* as many as the game's page shows */

/* The caller's; NULL with not_found. */
static struct table_state *find(struct request *req, struct err *err)
{
    const struct match_app *app = req->app;
    struct uuid company;
    const char *id = http_param_uuid(req, "company", err);
    if (!id || !uuid_parse(id, &company))
        return NULL;
    struct table_state *state = table_get(app->table, &company);
    if (!state)
        err_set(err, &ERR_NOT_FOUND, "no such company in a running round");
    return state;
}

bool market_book(struct request *req, struct reply *reply, struct err *err)
{
    int64_t levels;
    if (!http_query_i64(req, "depth", LEVELS_DEFAULT, 1, DEPTH_LEVELS, &levels, err))
        return false;
    AUTO(table_state) found = find(req, err);
    if (!found)
        return false;
    const struct depth_state *state = table_state_of(found);
    json_open(&reply->body, NULL, '{');
    json_i64(&reply->body, "seq", state->seq);
    tell_side(&reply->body, "bids", &state->bids, (size_t)levels);
    tell_side(&reply->body, "asks", &state->asks, (size_t)levels);
    json_close(&reply->body, '}');
    reply_etag(req, reply);
    return true;
}

bool market_ticker(struct request *req, struct reply *reply, struct err *err)
{
    AUTO(table_state) found = find(req, err);
    if (!found)
        return false;
    const struct depth_state *state = table_state_of(found);
    json_open(&reply->body, NULL, '{');
    json_i64(&reply->body, "seq", state->seq);
    tell_figures(&reply->body, state);
    json_close(&reply->body, '}');
    reply_etag(req, reply);
    return true;
}
