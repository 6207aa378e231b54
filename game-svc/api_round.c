/* api_round.c - the round that runs: open to everybody. */
#include "api.h"
#include "app.h"
#include "codec.h"

#include <stdlib.h>

enum { NEWS_MOST = 500 };

/* GET /api/game/round -> the round that is set up or open, or else the last one; 404 before the first. */
bool game_round(struct request *req, struct reply *reply, struct err *err)
{
    const struct game_app *app = req->app;
    struct seen_round round;
    if (!store_read_current(app->db, req->arena, &round, err))
        return false;
    reply_header(reply, "Cache-Control", "no-store"); /* it carries the time */
    json_open(&reply->body, NULL, '{');
    codec_round_members(&reply->body, &round);
    json_time(&reply->body, "server_time", round.now_ms);
    json_close(&reply->body, '}');
    return true;
}

struct priced {
    const struct seen_company *company;
    struct company_price price;
};

/* By change, falling; equal ones as the market counts them. */
static int compare_change(const void *left, const void *right)
{
    const struct priced *a = left, *b = right;
    if (a->price.change_bp != b->price.change_bp)
        return a->price.change_bp > b->price.change_bp ? -1 : 1;
    return a->company->index < b->company->index ? -1 : 1;
}

static struct priced *price_all(const struct game_app *app, struct arena *arena, const struct seen_company *list,
                                size_t count)
{
    struct priced *priced = arena_alloc(arena, (count + 1) * sizeof *priced);
    struct depth_state *state = ARENA_NEW(arena, depth_state);
    for (size_t i = 0; i < count; i++) {
        const bool known = depth_find(app->depth, list[i].id, state);
        priced[i] = (struct priced){&list[i], codec_price(&list[i], known ? state : NULL)};
    }
    if (count > 0)
        qsort(priced, count, sizeof *priced, compare_change);
    return priced;
}

/* GET /api/game/companies -> {round_id, items} of the current round, the highest change first; ETag. */
bool game_companies(struct request *req, struct reply *reply, struct err *err)
{
    const struct game_app *app = req->app;
    struct seen_round round;
    struct seen_company *list;
    size_t count;
    if (!store_read_current(app->db, req->arena, &round, err) ||
        !store_read_companies(app->db, req->arena, round.id, &list, &count, err))
        return false;
    const struct priced *priced = price_all(app, req->arena, list, count);
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "round_id", round.id);
    json_open(&reply->body, "items", '[');
    for (size_t i = 0; i < count; i++)
        codec_company(&reply->body, priced[i].company, &priced[i].price);
    json_close(&reply->body, ']');
    json_close(&reply->body, '}');
    reply_etag(req, reply);
    return true;
}

/* GET /api/game/news -> {round_id, items} of the current round, the latest first; ETag. */
bool game_news(struct request *req, struct reply *reply, struct err *err)
{
    const struct game_app *app = req->app;
    struct seen_round round;
    struct seen_news *list;
    size_t count;
    if (!store_read_current(app->db, req->arena, &round, err) ||
        !store_read_news(app->db, req->arena, round.id, NEWS_MOST, &list, &count, err))
        return false;
    json_open(&reply->body, NULL, '{');
    json_text(&reply->body, "round_id", round.id);
    json_open(&reply->body, "items", '[');
    for (size_t i = 0; i < count; i++)
        codec_news(&reply->body, &list[i]);
    json_close(&reply->body, ']');
    json_close(&reply->body, '}');
    reply_etag(req, reply);
    return true;
}
