/* api_rankings.c - rankings, and the archive of finished rounds: for users. */
#include "api.h"
#include "app.h"
#include "codec.h"
#include "ranking.h"

#include <string.h>

enum {
    CURSOR_ROUNDS = 'g',
    CURSOR_PLACES = 'h',
    PLACE_MAX = 1 << 30,
    WINNERS_SHOWN = 3,
};

static void put_round_name(struct str *out, const struct seen_round *round)
{
    json_open(out, "round", '{');
    json_text(out, "id", round->id);
    json_i64(out, "number", round->number);
    json_i64(out, "participants", round->participants);
    if (round->closed_at_ms)
        json_time(out, "closed_at", round->closed_at_ms);
    json_close(out, '}');
}

static void put_nothing(struct str *out, const char *name)
{
    json_text(out, name, NULL);
}

static const struct texts *one_id(struct arena *arena, const char *id)
{
    struct texts *ids = ARENA_NEW(arena, texts);
    ids->items = arena_alloc(arena, sizeof *ids->items);
    ids->items[0] = id;
    ids->count = 1;
    return ids;
}

/* ---- rankings ---- */

/* The last ranked round: {round, items, me}; round null and no items before the first. */
static bool by_return(struct request *req, struct reply *reply, int64_t limit, struct err *err)
{
    const struct game_app *app = req->app;
    struct str *out = &reply->body;
    struct seen_round round;
    struct seen_place *places = NULL, *own = NULL;
    size_t count = 0, own_count = 0;
    bool found;
    if (!store_read_last_ranked(app->db, req->arena, &round, &found, err) ||
        (found && !store_read_places(app->db, req->arena, round.id, NULL, limit, &places, &count, err)) ||
        (found && !store_read_results_of(app->db, req->arena, req->identity->user_id, one_id(req->arena, round.id),
                                         &own, &own_count, err)))
        return false;
    json_open(out, NULL, '{');
    if (found)
        put_round_name(out, &round);
    else
        put_nothing(out, "round");
    json_open(out, "items", '[');
    for (size_t i = 0; i < count; i++)
        codec_place(out, &places[i]);
    json_close(out, ']');
    if (own_count)
        codec_report(out, "me", own, &round);
    else
        put_nothing(out, "me");
    json_close(out, '}');
    return true;
}

static bool by_rating(struct request *req, struct reply *reply, int64_t limit, struct err *err)
{
    const struct game_app *app = req->app;
    struct str *out = &reply->body;
    struct seen_place *places;
    size_t count;
    int64_t rating;
    if (!store_read_ratings(app->db, req->arena, limit, &places, &count, err) ||
        !store_read_rating_of(app->db, req->identity->user_id, &rating, err))
        return false;
    json_open(out, NULL, '{');
    json_open(out, "items", '[');
    for (size_t i = 0; i < count; i++)
        codec_rating(out, &places[i]);
    json_close(out, ']');
    json_open(out, "me", '{');
    json_i64(out, "rating", rating);
    json_text(out, "tier", ranking_tier_name(rating));
    json_close(out, '}');
    json_close(out, '}');
    return true;
}

/* GET /api/game/rankings?by=return or rating&limit= (1..100, default 5) */
bool game_rankings(struct request *req, struct reply *reply, struct err *err)
{
    const char *by = http_query(req, "by");
    int64_t limit;
    if (!http_query_i64(req, "limit", RANKING_TOLD, 1, PAGE_LIMIT_MAX, &limit, err))
        return false;
    if (by && strcmp(by, "return") != 0 && strcmp(by, "rating") != 0)
        return err_add_field(err, "by", "return or rating");
    const bool ok =
        by && strcmp(by, "rating") == 0 ? by_rating(req, reply, limit, err) : by_return(req, reply, limit, err);
    if (ok)
        reply_etag(req, reply);
    return ok;
}

/* ---- the archive ---- */

struct archive {
    struct seen_round *rounds;
    struct seen_place *winners, *own;
    size_t count, winner_count, own_count;
};

static bool read_archive(struct request *req, const struct page *page, struct archive *archive, struct err *err)
{
    const struct game_app *app = req->app;
    if (!store_read_rounds(app->db, req->arena, page->goes_on ? page->after.number : 0, page->limit + 1,
                           &archive->rounds, &archive->count, err))
        return false;
    struct texts ids = {arena_alloc(req->arena, (archive->count + 1) * sizeof(char *)), archive->count};
    for (size_t i = 0; i < archive->count; i++)
        ids.items[i] = archive->rounds[i].id;
    return store_read_winners(app->db, req->arena, &ids, WINNERS_SHOWN, &archive->winners, &archive->winner_count,
                              err) &&
           store_read_results_of(app->db, req->arena, req->identity->user_id, &ids, &archive->own, &archive->own_count,
                                 err);
}

static void put_archived(struct str *out, const struct archive *archive, const struct seen_round *round)
{
    const struct seen_place *mine = NULL;
    json_open(out, NULL, '{');
    codec_round_members(out, round);
    json_i64(out, "participants", round->participants);
    json_open(out, "winners", '[');
    for (size_t i = 0; i < archive->winner_count; i++)
        if (strcmp(archive->winners[i].round_id, round->id) == 0)
            codec_place(out, &archive->winners[i]);
    json_close(out, ']');
    for (size_t i = 0; i < archive->own_count && !mine; i++)
        if (strcmp(archive->own[i].round_id, round->id) == 0)
            mine = &archive->own[i];
    if (mine)
        codec_report(out, "me", mine, round);
    else
        put_nothing(out, "me");
    json_close(out, '}');
}

/* GET /api/game/rounds -> page of finished rounds, the latest first: the first places, and what came of me. */
bool game_rounds(struct request *req, struct reply *reply, struct err *err)
{
    struct page page;
    struct archive archive = {0};
    if (!page_read(req, CURSOR_ROUNDS, INT64_MAX, &page, err) || !read_archive(req, &page, &archive, err))
        return false;
    const bool more = archive.count > (size_t)page.limit;
    const size_t shown = more ? (size_t)page.limit : archive.count;
    page_open(&reply->body);
    for (size_t i = 0; i < shown; i++)
        put_archived(&reply->body, &archive, &archive.rounds[i]);
    const struct cursor last = {.kind = CURSOR_ROUNDS, .number = more ? archive.rounds[shown - 1].number : 0};
    page_close(&reply->body, more ? &last : NULL);
    return true;
}

static bool put_places(struct request *req, struct reply *reply, const struct seen_round *round,
                       const struct page *page, struct err *err)
{
    const struct game_app *app = req->app;
    struct str *out = &reply->body;
    struct seen_place *places;
    size_t count;
    char text[CURSOR_TEXT_BYTES];
    if (!store_read_places(app->db, req->arena, round->id, page_after(page), page->limit + 1, &places, &count, err))
        return false;
    const bool more = count > (size_t)page->limit;
    const size_t shown = more ? (size_t)page->limit : count;
    json_open(out, "places", '[');
    for (size_t i = 0; i < shown; i++)
        codec_place(out, &places[i]);
    json_close(out, ']');
    if (more) {
        struct cursor last = {.kind = CURSOR_PLACES, .number = places[shown - 1].place};
        memcpy(last.id, places[shown - 1].user_id, sizeof last.id);
        cursor_print(&last, text);
    }
    json_text(out, "next_cursor", more ? text : NULL);
    return true;
}

static bool put_companies(struct request *req, struct reply *reply, const struct seen_round *round, struct err *err)
{
    const struct game_app *app = req->app;
    struct seen_company *list;
    size_t count;
    struct depth_state *state = ARENA_NEW(req->arena, depth_state);
    if (!store_read_companies(app->db, req->arena, round->id, &list, &count, err))
        return false;
    json_open(&reply->body, "companies", '[');
    for (size_t i = 0; i < count; i++) {
        const bool known = depth_find(app->depth, list[i].id, state);
        const struct company_price price = codec_price(&list[i], known ? state : NULL);
        codec_company(&reply->body, &list[i], &price);
    }
    json_close(&reply->body, ']');
    return true;
}

/* GET /api/game/rounds/:id -> the round with its companies, a page of its places, and my report card (null when I took
 * no part, or it is not ranked yet). */
bool game_round_view(struct request *req, struct reply *reply, struct err *err)
{
    const struct game_app *app = req->app;
    const char *id = http_param_uuid(req, "id", err);
    struct page page;
    struct seen_round round;
    struct seen_place *own;
    size_t own_count;
    if (!id || !page_read(req, CURSOR_PLACES, PLACE_MAX, &page, err) ||
        !store_read_round(app->db, req->arena, id, &round, err) ||
        !store_read_results_of(app->db, req->arena, req->identity->user_id, one_id(req->arena, id), &own, &own_count,
                               err))
        return false;
    json_open(&reply->body, NULL, '{');
    codec_round_members(&reply->body, &round);
    json_bool(&reply->body, "ranked", round.ranked);
    json_i64(&reply->body, "participants", round.participants);
    if (!put_companies(req, reply, &round, err) || !put_places(req, reply, &round, &page, err))
        return false;
    if (own_count)
        codec_report(&reply->body, "me", own, &round);
    else
        put_nothing(&reply->body, "me");
    json_close(&reply->body, '}');
    reply_etag(req, reply);
    return true;
}
